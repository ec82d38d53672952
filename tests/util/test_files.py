import json
import os
import subprocess
from pathlib import Path

import pytest

from nsbench.util import files
from nsbench.util.errors import NsbenchError


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "file.bin"
    files.write_bytes(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(NsbenchError, match=r"cannot write .*file\.bin: No space left"):
            files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file.bin"]


def test_a_path_through_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NsbenchError, match="cannot write"):
        files.write_text(tmp_path / "file" / "below", "x")


def test_fingerprints_ignore_order_and_notice_values() -> None:
    assert files.fingerprint({"a": 1, "b": [2]}) == files.fingerprint({"b": [2], "a": 1})
    assert files.fingerprint({"a": 1}) != files.fingerprint({"a": 2})


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(NsbenchError, match=r"cannot read .*x\.json"):
        files.read_json(tmp_path / "x.json")


def test_generations_are_in_order_of_number(tmp_path: Path) -> None:
    for index in (10, 2, 0):
        files.write_json(tmp_path / f"generation-{index}" / "model.json", {})
    (tmp_path / "generation-3").mkdir()  # not finished
    names = [folder.name for folder in files.generation_folders(tmp_path)]
    assert names == ["generation-0", "generation-2", "generation-10"]


def test_the_environment_is_plain_json() -> None:
    found = files.environment("cpu")
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["torch"]
    assert found["device"] == "cpu"


def test_the_commit_is_that_of_the_checkout() -> None:
    top = Path(files.__file__).parents[2]
    if not (top / ".git").exists():
        pytest.skip("not a git checkout")
    head = subprocess.run(
        ["git", "-C", str(top), "rev-parse", "HEAD"], capture_output=True, text=True
    ).stdout.strip()
    found = files.git_commit()
    assert found is not None
    assert found.removesuffix("-dirty") == head


def test_leftovers_are_told_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:  # as a killed process leaves them
        patch.setattr(os, "replace", lambda *_: None)
        patch.setattr(os, "unlink", lambda _: None)
        files.write_bytes(tmp_path / "cat.JPEG", b"", sync=False)
    assert [files.is_temporary(name) for name in os.listdir(tmp_path)] == [True]
    assert not any(
        map(files.is_temporary, ("cat.JPEG", ".DS_Store", ".env.template", "nsbench.json", ".."))
    )


def test_variants_are_runs_in_the_order_of_the_recipe(tmp_path: Path) -> None:
    for number, name in enumerate(("b", "a")):
        folder = tmp_path / "x" / "variants" / name
        folder.mkdir(parents=True)
        (folder / "recipe.toml").write_text("")
        (folder / "variant.json").write_text(f'{{"number": {number}}}')
    found = files.variant_folders(tmp_path / "x")
    assert [folder.name for folder in found] == ["b", "a"]
    assert [files.run_name(folder) for folder in (tmp_path / "x", *found)] == ["x", "x/b", "x/a"]
    (found[0] / "recipe.toml").unlink()
    assert files.variant_folders(tmp_path / "x") == found[1:]
