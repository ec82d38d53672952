"""What the recipe of a control has in common with that of the student."""

from pathlib import Path

import pytest

from nsbench.recipes.recipe import Recipe, load_controls
from nsbench.training.schedule import steps_of, warmup_of
from nsbench.util.errors import NsbenchError

CHAIN = """
name = "chain"

[data]
labeled = "digits"
unlabeled = "digits"

[defaults]
arch = "test_resnet"
image_size = 32
batch_size = 10
unlabeled_ratio = 3
epochs = 6
warmup_epochs = 1
schedule = "staircase"
decay_epochs = 0.5

[[generations]]
epochs = 4

[[generations]]
randaugment = "paper-m5-n1"
warm_start = true

[[generations]]
arch = "test_efficientnet"
"""
ALL = """
[[controls]]
kind = "labeled-only"

[[controls]]
kind = "labeled-only"
name = "labeled-only-2"
generation = 2

[[controls]]
kind = "oracle"

[[controls]]
kind = "wide-from-teacher"

[[controls]]
kind = "longer-teacher"

[[controls]]
kind = "ensemble"
"""


def recipes(folder: Path, text: str, settings: list[str] | None = None) -> dict[str, Recipe]:
    (folder / "chain.toml").write_text(text)
    listed = load_controls(str(folder / "chain.toml"), settings)
    return {name: recipe for name, (_, recipe) in listed.items()}


def test_labeled_only_has_all_of_the_student_but_its_unlabeled_images(tmp_path: Path) -> None:
    found = recipes(tmp_path, CHAIN + ALL)
    student = Recipe.model_validate(found["oracle"].model_dump()).generations[1]
    (control,) = found["labeled-only"].generations
    assert control.unlabeled_batch == 0
    assert control.batch_size == 40 == student.batch_size + student.unlabeled_batch
    assert not control.warm_start
    for images in (100, 103):
        steps = steps_of(student, images)
        assert steps_of(control, images) == steps
        assert warmup_of(control, steps, images) == warmup_of(student, steps, images)
        # Steps of a stair: epochs times images, over the labeled images of a step.
        stair = student.decay_epochs * images / student.batch_size
        assert control.decay_epochs * images / control.batch_size == stair
    ours = {
        "batch_size",
        "unlabeled_ratio",
        "epochs",
        "decay_epochs",
        "warmup_epochs",
        "warm_start",
    }
    assert control.model_dump(exclude=ours) == student.model_dump(exclude=ours)
    (second,) = found["labeled-only-2"].generations
    assert second.arch == "test_efficientnet"


def test_steps_are_kept_as_steps(tmp_path: Path) -> None:
    settings = ["defaults.steps=50", "generations.0.steps=20"]
    found = recipes(tmp_path, CHAIN + ALL, settings)
    assert found["labeled-only"].generations[0].steps == 50
    # 20 steps of 10 images, and as many more as 50 of 40 are.
    assert found["longer-teacher"].generations[0].steps == 20 + 200


def test_the_other_controls(tmp_path: Path) -> None:
    found = recipes(tmp_path, CHAIN + ALL)
    (longer,) = found["longer-teacher"].generations
    assert longer.epochs == 4 + 4 * 6
    assert longer.randaugment != "paper-m5-n1"
    assert [g.arch for g in found["wide-from-teacher"].generations] == [
        "test_resnet",
        "test_efficientnet",
    ]
    first, second = found["ensemble"].generations
    assert second == first.model_copy(update={"ensemble": True})
    assert (second.unlabeled_batch, found["oracle"].generations[1].unlabeled_batch) == (0, 30)
    assert found["oracle"].pseudo_labels.labels == "true"
    assert found["oracle"].generations[1].randaugment == "paper-m5-n1"
    assert {recipe.name for recipe in found.values()} == {f"chain-{name}" for name in found}


@pytest.mark.parametrize(
    ("text", "settings", "sentence"),
    [
        ('kind = "wider"', [], "controls.0.kind"),
        (
            'kind = "oracle"\ngeneration = 3',
            [],
            "'oracle' is of generation 3, but the last",
        ),
        (
            'kind = "ensemble"',
            ["generations.0.fine_tune={image_size=48, epochs=1}"],
            "of first teachers that are not fine-tuned",
        ),
        ('kind = "oracle"\n[[controls]]\nkind = "oracle"', [], "two controls are named 'oracle'"),
        ('kind = "oracle"\nname = "../x"', [], "controls.0.name"),
        (
            'kind = "longer-teacher"',
            ["generations.0.steps=5"],
            "both in steps or both in epochs",
        ),
    ],
)
def test_what_a_recipe_cannot_have_is_one_sentence(
    text: str, settings: list[str], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(NsbenchError) as caught:
        recipes(tmp_path, f"{CHAIN}\n[[controls]]\n{text}\n", settings)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_iteration_needs_a_second_student(tmp_path: Path) -> None:
    text = CHAIN[: CHAIN.rindex("[[generations]]")] + '[[controls]]\nkind = "wide-from-teacher"\n'
    with pytest.raises(NsbenchError, match="needs a second student, but the recipe has 2 gen"):
        recipes(tmp_path, text)
