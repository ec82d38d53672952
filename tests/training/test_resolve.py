"""What a command trains, from what users write."""

from pathlib import Path

import pytest

from nsbench.recipes.recipe import load_recipe
from nsbench.training.resolve import base_of, resolve, shares_teacher, write_variant
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_json


def test_a_recipe_goes_into_the_folder_of_its_name() -> None:
    resolved = resolve("quickstart", settings=["seed=7"])
    assert resolved.folder == Path("runs/quickstart")
    assert (resolved.recipe.seed, resolved.beside) == (7, [])
    assert resolve("quickstart", out="elsewhere").folder == Path("elsewhere")
    assert resolve(resolved.recipe).recipe is resolved.recipe


def test_variants_are_those_of_the_file_in_its_order() -> None:
    every = resolve("quickstart", variants=["all"]).beside
    assert [variant.number for variant in every] == list(range(len(every)))
    named = resolve("quickstart", variants=[every[1].name, every[0].name]).beside
    assert [variant.name for variant in named] == [every[0].name, every[1].name]
    assert all(variant.recipe != resolve("quickstart").recipe for variant in named)


def test_what_cannot_be_resolved_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match="name a recipe, or a run folder"):
        resolve(None)
    with pytest.raises(NsbenchError, match=r"holds no recipe\.toml"):
        resolve(None, resume=tmp_path)
    with pytest.raises(NsbenchError, match="variants are part of a recipe.s file"):
        resolve(load_recipe("quickstart"), variants=["all"])
    with pytest.raises(NsbenchError, match="no-such"):
        resolve("quickstart", variants=["no-such"])


def test_a_variant_shares_the_teacher_of_its_run_or_has_its_own(tmp_path: Path) -> None:
    base = resolve("quickstart").recipe
    assert shares_teacher(load_recipe("quickstart", ["pseudo_labels.balance=false"]), base)
    assert not shares_teacher(load_recipe("quickstart", ["seed=5"]), base)
    variant = resolve("quickstart", variants=["all"]).beside[0]
    own, shared = (tmp_path / "run" / "variants" / name for name in ("own", "shared"))
    for folder in (own, shared):
        folder.mkdir(parents=True)
        write_variant(folder, variant, folder is shared)
    assert base_of(own) is None
    assert base_of(tmp_path / "run") is None
    with pytest.raises(NsbenchError, match="shares the teacher .*, which is not there"):
        base_of(shared)
    write_json(tmp_path / "run" / "generation-0" / "model.json", {})
    assert base_of(shared) == tmp_path / "run"
