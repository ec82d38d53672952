from pathlib import Path

import pytest

from nsbench.errors import NsbenchError
from nsbench.recipe import load_recipe, shipped


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_load_and_survive_a_round_trip(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    copy = tmp_path / f"{name}.toml"
    copy.write_text(recipe.to_toml())
    assert load_recipe(str(copy)) == recipe
    assert recipe.name == name


def test_there_is_the_quickstart() -> None:
    assert "quickstart" in shipped()
    assert len(load_recipe("quickstart").generations) == 3


def test_defaults_reach_every_generation_and_can_be_overridden(tiny_recipe: Path) -> None:
    recipe = load_recipe(str(tiny_recipe))
    assert [g.epochs for g in recipe.generations] == [8.0, 1.0]
    assert [g.lr for g in recipe.generations] == [2e-3, 2e-3]


def test_settings_reach_generations_and_defaults(tiny_recipe: Path) -> None:
    settings = ["seed=7", "generations.1.epochs=3", "defaults.lr=0.5"]
    recipe = load_recipe(str(tiny_recipe), settings)
    assert recipe.seed == 7
    assert [g.epochs for g in recipe.generations] == [8.0, 3.0]
    assert [g.lr for g in recipe.generations] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("sed=1", "unknown key 'sed'; did you mean 'seed'?"),
        ("defaults.epoch=1", "unknown key 'defaults.epoch'; did you mean 'epochs'?"),
        ("generations.0.rach=1", "unknown key 'generations.0.rach'; did you mean 'arch'?"),
        ("seed=one", "the key 'seed' is 'one'"),
        ("defaults.dropout=1.5", "the key 'generations.0.dropout' is 1.5"),
        ("generations=3", "the key 'generations' is 3"),
        ("generations=[]", "the key 'generations'"),
        ("pseudo_labels.labels=medium", "the key 'pseudo_labels.labels' is 'medium'"),
        ("data.unlabeled.sorce=x", "unknown key 'data.unlabeled.sorce'; did you mean 'source'?"),
        ("generations.1.unlabeled_ratio=0", "'generations.1.unlabeled_ratio'"),
        ("data.mean=[0.1]", "the key 'data.mean'"),
        ("defaults.lr=nan", "the key 'generations.0.lr'"),
    ],
)
def test_wrong_recipes(tiny_recipe: Path, setting: str, sentence: str) -> None:
    with pytest.raises(NsbenchError) as caught:
        load_recipe(str(tiny_recipe), [setting])
    assert sentence in str(caught.value)
    assert str(tiny_recipe) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_students_need_unlabeled_images(tiny_recipe: Path) -> None:
    text = tiny_recipe.read_text()
    tiny_recipe.write_text("\n".join(x for x in text.splitlines() if "unlabeled =" not in x))
    with pytest.raises(NsbenchError, match=r"data\.unlabeled"):
        load_recipe(str(tiny_recipe))


def test_an_unknown_recipe_offers_the_nearest() -> None:
    with pytest.raises(NsbenchError, match="did you mean 'quickstart'"):
        load_recipe("quickstrat")


def test_evaluation_crop_follows_the_training_crop(tiny_recipe: Path) -> None:
    def crop_pct(*settings: str) -> float:
        recipe = load_recipe(str(tiny_recipe), list(settings))
        return recipe.generations[0].preprocessing(recipe.data).crop_pct

    assert crop_pct() == 1.0
    assert crop_pct("defaults.crop=random-resized") == 0.875
    assert crop_pct("defaults.crop_pct=0.9") == 0.9
