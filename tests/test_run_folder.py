from pathlib import Path

from nsbench.run_folder import generation_folders, run_name, variant_folders
from nsbench.util.files import write_json
from nsbench.util.sealed import write_record


def test_generations_are_in_order_of_number(tmp_path: Path) -> None:
    for index in (10, 2, 0):
        write_json(tmp_path / f"generation-{index}" / "model.json", {})
    (tmp_path / "generation-3").mkdir()  # not finished
    names = [folder.name for folder in generation_folders(tmp_path)]
    assert names == ["generation-0", "generation-2", "generation-10"]


def test_variants_are_runs_in_the_order_of_the_recipe(tmp_path: Path) -> None:
    for number, name in enumerate(("b", "a")):
        folder = tmp_path / "x" / "variants" / name
        folder.mkdir(parents=True)
        (folder / "recipe.toml").write_text("")
        write_record(folder / "variant.json", {"number": number})
    found = variant_folders(tmp_path / "x")
    assert [folder.name for folder in found] == ["b", "a"]
    assert [run_name(folder) for folder in (tmp_path / "x", *found)] == ["x", "x/b", "x/a"]
    (found[0] / "recipe.toml").unlink()
    assert variant_folders(tmp_path / "x") == found[1:]
