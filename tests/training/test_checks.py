"""What is found wrong with a recipe before anything is trained."""

import re
from pathlib import Path

import pytest
import torch

from nsbench.recipes.recipe import load_recipe
from nsbench.training.checks import check
from nsbench.util.errors import NsbenchError


@pytest.mark.parametrize(
    ("settings", "processes", "sentence"),
    [
        (["defaults.batch_size=4"], 3, "0 has 4 labeled images, which 3 processes .* 3 divides"),
        (["generations.1.unlabeled_ratio=0.5"], 2, "1 has 25 pseudo-labeled .* 2 divides them"),
        (["generations.0.fine_tune={image_size=48, lr=1, batch_size=7}"], 2, "0 has 7 labeled"),
        (["defaults.accumulate=50"], 1, r"one image of 32 px .*lower accumulate \(now 50\)"),
        (["generations.0.batch_size=2"], 2, "one image of 32 px .* of 'test_efficientnet'"),
    ],
)
def test_steps_that_cannot_be_divided(
    settings: list[str], processes: int, sentence: str, tiny_recipe: Path
) -> None:
    recipe = load_recipe(str(tiny_recipe), settings)
    with pytest.raises(NsbenchError, match=sentence):
        check(recipe, 10, 200, torch.device("cpu"), processes)


def test_one_image_at_a_time_where_it_can_be(tiny_recipe: Path) -> None:
    larger = ["defaults.accumulate=50", "defaults.image_size=64"]
    without = [
        "defaults.accumulate=50",
        "defaults.arch=test_vit",
        "defaults.model_args.img_size=32",
    ]
    for settings in (larger, without):
        recipe = load_recipe(str(tiny_recipe), settings)
        check(recipe, 10, 200, torch.device("cpu"), 1)


def test_a_run_that_only_warms_up_is_told_of(
    tiny_recipe: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = load_recipe(str(tiny_recipe), ["generations.1.warmup_epochs=2.0"])
    check(recipe, 10, 200, torch.device("cpu"), 1)
    said = capfd.readouterr().err
    assert "generation 1 warms up in all its 4 steps" in said
    assert "generation 0" not in said


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["defaults.loss=sum", "defaults.unlabeled_ratio=3"], "about 4 times .* about 0.025 "),
        (["defaults.loss=mean", "defaults.unlabeled_ratio=3"], "about 2 times .* about 0.05 "),
        (["generations.1.loss=sum", "generations.1.unlabeled_ratio=0.5"], "about 1.5 times"),
        (["defaults.loss=sum", "defaults.optimizer=lars"], "about 2 times .* 'lars' makes larger"),
    ],
)
def test_a_sum_of_losses_with_an_optimizer_that_follows_it_is_told_of(
    settings: list[str], words: str, tiny_recipe: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = load_recipe(str(tiny_recipe), ["defaults.optimizer=sgd", "defaults.lr=0.1", *settings])
    check(recipe, 10, 200, torch.device("cpu"), 1)
    said = capfd.readouterr().err
    assert re.search(rf"warning: .* the gradient of generation 1 is {words}", said)
    assert "set loss = 'concat', or lr to" in said
    assert said.count("warning") == 1


@pytest.mark.parametrize(
    "settings",
    [
        [],  # the default loss
        ["defaults.loss=sum", "defaults.optimizer=rmsproptf"],
        ["defaults.loss=sum", "generations.1.lr=0.05"],
        ["generations.0.loss=sum"],  # without unlabeled images there is nothing to add
    ],
)
def test_losses_of_the_size_of_the_teachers_are_not_told_of(
    settings: list[str], tiny_recipe: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = load_recipe(str(tiny_recipe), ["defaults.optimizer=sgd", "defaults.lr=0.1", *settings])
    check(recipe, 10, 200, torch.device("cpu"), 1)
    assert "warning" not in capfd.readouterr().err
