from pathlib import Path
from typing import Any

import pytest

from nsbench.recipes.files import shipped
from nsbench.recipes.recipe import load_recipe, load_variants
from nsbench.training.fine_tune import fine_tuning
from nsbench.training.resolve import shares_teacher
from nsbench.util.errors import NsbenchError
from tests.conftest import TINY_RECIPE


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_load_and_survive_a_round_trip(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    copy = tmp_path / f"{name}.toml"
    copy.write_text(recipe.to_toml())
    assert load_recipe(str(copy)) == recipe
    assert recipe.name == name


@pytest.mark.parametrize("name", [f"imagenet-b{n}" for n in range(8)] + ["imagenet-l2"])
def test_evaluation_crops_leave_32_px_as_the_official_ones_do(name: str) -> None:
    recipe = load_recipe(name)
    tuned = [fine_tuning(g, 10**6) for g in recipe.generations if g.fine_tune]
    for generation in [*recipe.generations, *tuned]:
        size = generation.preprocessing(recipe.data)
        assert size.resize_size == size.image_size + 32


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
        ("defaults.epoch=1", "unknown key 'defaults.epoch'; did you mean 'defaults.epochs'?"),
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
        ("generations.0.unlabeled_noise.flip=0", "generation 0 has no pseudo-labeled images"),
        ("generations.1.unlabeled_noise.flipp=0", "unknown key 'generations.1.unlabeled_noise.fli"),
        ("generations.1.unlabeled_noise.flip=2", "key 'generations.1.unlabeled_noise.flip' is 2"),
        ("defaults.unlabeled_noise.dropout=1", "'generations.1.unlabeled_noise.dropout' is 1"),
    ],
)
def test_wrong_recipes(tiny_recipe: Path, setting: str, sentence: str) -> None:
    with pytest.raises(NsbenchError) as caught:
        load_recipe(str(tiny_recipe), [setting])
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"--set {setting}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["seed=1", "sed=1"], "--set sed=1: unknown key 'sed'; did you mean 'seed'?"),
        (["defaults.lr=-1"], "--set defaults.lr=-1: the key 'generations.0.lr' is -1, but"),
        (["data.labels_per_class='x'"], "--set data.labels_per_class='x': the key"),
        (["sed=1", "defaults.ir=1"], "--set sed=1 defaults.ir=1: unknown key"),
    ],
)
def test_a_wrong_setting_is_at_fault_and_not_the_file(settings: list[str], sentence: str) -> None:
    with pytest.raises(NsbenchError) as caught:
        load_recipe("quickstart", settings)
    assert str(caught.value).startswith(sentence)


def test_a_wrong_file_is_at_fault_and_not_the_settings(tiny_recipe: Path) -> None:
    tiny_recipe.write_text(tiny_recipe.read_text().replace("seed", "sed") + "sed = 1\n")
    with pytest.raises(NsbenchError, match=r"tiny\.toml: unknown key 'generations"):
        load_recipe(str(tiny_recipe), ["workers=1"])


def test_students_need_unlabeled_images(tiny_recipe: Path) -> None:
    text = tiny_recipe.read_text()
    tiny_recipe.write_text("\n".join(x for x in text.splitlines() if "unlabeled =" not in x))
    with pytest.raises(NsbenchError, match=r"data\.unlabeled"):
        load_recipe(str(tiny_recipe))


def test_an_unknown_recipe_offers_the_nearest() -> None:
    with pytest.raises(NsbenchError, match="did you mean 'quickstart'"):
        load_recipe("quickstrat")


def test_noise_of_pseudo_labeled_images_reaches_students_alone(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    settings = ["defaults.unlabeled_noise={crop='center', dropout=0.0}", "defaults.flip=0.25"]
    recipe = load_recipe(str(tiny_recipe), settings)
    teacher, student = recipe.generations
    assert teacher == load_recipe(str(tiny_recipe), ["defaults.flip=0.25"]).generations[0]
    assert (student.crop, student.dropout) == ("pad", 0.2)
    other = student.for_unlabeled
    assert (other.crop, other.dropout, other.drop_path, other.flip) == ("center", 0.0, 0.2, 0.25)
    assert other.unlabeled_noise is None
    assert teacher.for_unlabeled == teacher
    (tmp_path / "copy.toml").write_text(recipe.to_toml())
    assert load_recipe(str(tmp_path / "copy.toml")).generations == recipe.generations
    # one of a generation, also key by key
    own = load_recipe(str(tiny_recipe), ["generations.1.unlabeled_noise.flip=0.0"])
    assert own.generations[1].for_unlabeled.flip == 0.0


def test_evaluation_crop_follows_the_training_crop(tiny_recipe: Path) -> None:
    def crop_pct(*settings: str) -> float:
        recipe = load_recipe(str(tiny_recipe), list(settings))
        return recipe.generations[0].preprocessing(recipe.data).crop_pct

    assert crop_pct() == 1.0
    assert crop_pct("defaults.crop=random-resized") == 0.875
    assert crop_pct("defaults.crop_pct=0.9") == 0.9


VARIANTS = """
[[variants]]
name = "plain"
set = ["generations.1.randaugment=''", "defaults.dropout=0"]

[[variants]]
name = "short"
generations = 1
set = ["seed=3", "generations.0.model_args.x=1"]
"""


def test_variants_are_the_recipe_with_their_settings(tiny_recipe: Path) -> None:
    base = load_recipe(str(tiny_recipe), ["defaults.lr=0.5"])
    tiny_recipe.write_text(tiny_recipe.read_text() + VARIANTS)
    # they are no part of the recipe itself
    assert load_recipe(str(tiny_recipe), ["defaults.lr=0.5"]) == base
    variants = load_variants(str(tiny_recipe), ["defaults.lr=0.5"])
    assert list(variants) == ["plain", "short"]
    plain, short = (recipe for _, recipe in variants.values())
    assert [g.randaugment for g in plain.generations] == [base.generations[0].randaugment, ""]
    assert [g.dropout for g in plain.generations] == [0.0, 0.0]
    assert [g.lr for g in plain.generations] == [0.5, 0.5]
    assert (plain.name, plain.seed, plain.data) == ("tiny-plain", 0, base.data)
    assert (short.seed, len(short.generations)) == (3, 1)
    assert short.generations[0].model_args == {"x": 1}
    assert base.generations[0].model_args == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('name = "a"\nset = ["defaults.drpout=0"]', "unknown key 'defaults.drpout'; did you mean"),
        (
            'name = "a"\nset = ["generations.2.lr=1"]',
            "variant 'a': --set generations.2.lr=1: there",
        ),
        ('name = "a"\nset = ["seed"]', "variant 'a': --set seed: write key=value"),
        ('name = "a"\nset = ["seed=x"]', "variant 'a': the key 'seed' is 'x'"),
        ('name = "../a"\nset = ["seed=1"]', "the key 'variants.0.name' is '../a'"),
        ('name = "a"\nset = []', "the key 'variants.0.set'"),
        ('name = "a"', "the key 'variants.0.set' is missing"),
        ('name = "a"\nset = ["seed=1"]\nwhy = 1', "unknown key 'variants.0.why'"),
        (
            'name = "a"\nset = ["seed=1"]\n[[variants]]\nname = "A"\nset = ["seed=2"]',
            "two variants are named 'a'",
        ),
    ],
)
def test_wrong_variants_are_found_when_the_recipe_is_loaded(
    tiny_recipe: Path, text: str, sentence: str
) -> None:
    tiny_recipe.write_text(f"{tiny_recipe.read_text()}\n[[variants]]\n{text}\n")
    with pytest.raises(NsbenchError) as caught:
        load_recipe(str(tiny_recipe))
    assert sentence in str(caught.value)
    assert str(tiny_recipe) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in shipped() if load_variants(name)])
def test_students_of_shipped_variants_share_the_first_teacher(name: str) -> None:
    base = load_recipe(name)
    for variant, recipe in load_variants(name).values():
        assert shares_teacher(recipe, base), variant.name
        assert recipe != base.model_copy(update={"name": recipe.name}), variant.name


@pytest.mark.parametrize("name", ["quickstart", "cifar10-4k"])
def test_table_6_takes_noise_from_the_unlabeled_images_alone(name: str) -> None:
    student, variants = load_recipe(name).generations[1], load_variants(name)
    without: dict[str, dict[str, Any]] = {
        "no-augmentation": {"crop": "center", "flip": 0.0, "randaugment": "", "random_erasing": 0},
        "no-dropout": {"dropout": 0.0},
    }
    if student.drop_path:
        without["no-stochastic-depth"] = {"drop_path": 0.0}
    without["no-noise"] = {key: off for keys in without.values() for key, off in keys.items()}
    for variant, keys in without.items():
        found = variants[variant][1].generations[1]
        assert found.model_copy(update={"unlabeled_noise": None}) == student
        assert found.for_unlabeled == student.model_copy(update=keys)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["defaults.epochs=3"], "sets steps, which count instead: set defaults.steps"),
        (["generations.1.epochs=3"], "which count instead: set generations.1.steps"),
        (["generations.0.lr=1.0", "generations.1.lr=1.0", "generations.2.lr=1.0",
          "defaults.lr=0.5"], "as each generation sets lr itself: set generations.0.lr and so on"),
    ],
)  # fmt: skip
def test_a_setting_without_effect_is_told(settings: list[str], sentence: str) -> None:
    with pytest.warns(UserWarning, match=sentence):
        load_recipe("quickstart", settings)


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("lr=1", "defaults.lr"),
        ("learning_rate=1", "defaults.lr"),
        ("batch-size=64", "defaults.batch_size"),
        ("epochs=3", "defaults.epochs"),
        ("weight-decay=0", "defaults.weight_decay"),
        ("model='resnet50'", "defaults.arch"),
        ("labels_per_class=5", "data.labels_per_class"),
        ("threshold=0.5", "pseudo_labels.min_confidence"),
        ("data.lr=1", "defaults.lr"),
        ("defaults.seed=1", "seed"),
        ("defaults.learning_rate=1", "defaults.lr"),
        ("num_workers=1", "workers"),
        ("generations.0.learning_rate=1", "lr"),
    ],
)
def test_a_key_in_the_wrong_place_leads_to_the_right_one(setting: str, meant: str) -> None:
    with pytest.raises(NsbenchError) as caught:
        load_recipe("quickstart", [setting])
    key = setting.partition("=")[0]
    assert str(caught.value).endswith(f"unknown key '{key}'; did you mean '{meant}'?")


TUNED = "[generations.fine_tune]\nimage_size = 48\nepochs = 1"


@pytest.mark.parametrize(
    "keys", ["", "warm_start = true", "image_size = 48", "arch = 'test_vit'", TUNED]
)
def test_an_ensemble_is_the_last_generation_after_a_teacher(keys: str, tiny_recipe: Path) -> None:
    head, second, _ = TINY_RECIPE.rpartition("[[generations]]")
    ensemble = f"{head}{second}\nensemble = true\n"
    tiny_recipe.write_text(ensemble + (keys or "[[generations]]\n"))
    with pytest.raises(
        NsbenchError, match=r"generations\.1\.ensemble' is true, but an ensemble is"
    ):
        load_recipe(str(tiny_recipe))
    tiny_recipe.write_text(ensemble)
    assert load_recipe(str(tiny_recipe)).generations[1].unlabeled_batch == 0
    with pytest.raises(NsbenchError, match=r"generations\.0\.ensemble' is true"):
        load_recipe(str(tiny_recipe), ["generations.0.ensemble=true"])
    with pytest.raises(NsbenchError, match=r"generations\.1\.ensemble' is true"):
        load_recipe(str(tiny_recipe), ["generations.0.fine_tune={image_size=48, epochs=1}"])
