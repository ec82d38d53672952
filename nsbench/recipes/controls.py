"""Controls of a recipe: the models that tell what a student's gain comes of, as data."""

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from nsbench.util.config import NAME, Config, parse
from nsbench.util.errors import NsbenchError

if TYPE_CHECKING:
    from nsbench.recipes.generation import Generation
    from nsbench.recipes.recipe import Recipe

Kind = Literal["labeled-only", "oracle", "wide-from-teacher", "longer-teacher", "ensemble"]


class Control(Config):
    """A model trained beside a student, which has all that the student has but for one thing."""

    kind: Kind
    """`labeled-only` has the student's architecture, noise, steps and images a step, all of them
    labeled: what it lacks is self-training alone. `oracle` learns the unlabeled images by their
    true labels, where these are known: the ceiling. `wide-from-teacher` is the last student, taught
    by the first teacher: what it lacks is iteration. `longer-teacher` is the first teacher, trained
    on as many images as teacher and student together. `ensemble` is the average of the first
    teacher and another like it, trained from other weights."""
    name: str = Field(default="", pattern=NAME)
    """Of its folder, RUN/controls/NAME; by default the kind."""
    generation: int = Field(default=1, ge=1)
    """That of the student, 1 by default; `wide-from-teacher` is always of the last."""

    @property
    def folder(self) -> str:
        """The name of its folder."""
        return self.name or self.kind


class _Controls(Config):
    controls: list[Control] = Field(default_factory=list)


def take_controls(table: dict[str, Any], where: str) -> list[Control]:
    """Take the controls out of the raw table of a recipe.

    Raises NsbenchError if one is malformed, or two have the same name.
    """
    listed = {"controls": table.pop("controls")} if "controls" in table else {}
    controls = parse(_Controls, listed, where).controls
    counts = Counter(control.folder.lower() for control in controls)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise NsbenchError(f"{where}: two controls are named '{repeated[0]}': rename one of them")
    return controls


def controlled(recipe: "Recipe", control: Control, where: str) -> "Recipe":
    """The recipe of a control. Raises NsbenchError if the recipe cannot have it."""
    generations, index = recipe.generations, control.generation
    if control.kind == "wide-from-teacher":
        index = len(generations) - 1
        if index < 2:
            raise NsbenchError(
                f"{where}: the control 'wide-from-teacher' needs a second student, but the recipe "
                f"has {len(generations)} generations: leave it out"
            )
    if index >= len(generations):
        raise NsbenchError(
            f"{where}: the control '{control.folder}' is of generation {index}, but the last one "
            f"is {len(generations) - 1}"
        )
    teacher, student = generations[0], generations[index]
    changed: dict[str, Any] = {"name": f"{recipe.name}-{control.folder}"}
    if control.kind == "labeled-only":
        changed["generations"] = [_labeled_only(student)]
    elif control.kind == "longer-teacher":
        changed["generations"] = [_longer(teacher, student, where)]
    elif control.kind == "ensemble":
        if teacher.fine_tune:
            raise NsbenchError(
                f"{where}: the control 'ensemble' is of first teachers that are not fine-tuned, at "
                "another size: leave it out"
            )
        both = teacher.model_copy(update={"ensemble": True, "warm_start": False})
        changed["generations"] = [teacher, both]
    else:
        changed["generations"] = [teacher, student]
        if control.kind == "oracle":
            settings = recipe.pseudo_labels.model_copy(update={"labels": "true"})
            changed["pseudo_labels"] = settings
    return recipe.model_copy(update=changed)


def _labeled_only(student: "Generation") -> "Generation":
    """The student with labeled images in the place of all that have none."""
    whole = student.batch_size + student.unlabeled_batch
    # What is counted in epochs of the labeled images would end after as many of its own, which are
    # fewer steps.
    factor = whole / student.batch_size
    changed = {
        "batch_size": whole,
        "unlabeled_ratio": 0.0,
        "epochs": student.epochs * factor,
        "decay_epochs": student.decay_epochs * factor,
        "warm_start": False,
        "unlabeled_noise": None,
    }
    if student.warmup_epochs is not None:
        changed["warmup_epochs"] = student.warmup_epochs * factor
    return student.model_copy(update=changed)


def _longer(teacher: "Generation", student: "Generation", where: str) -> "Generation":
    """The teacher on as many images as it and its student see."""
    if (teacher.steps is None) != (student.steps is None):
        raise NsbenchError(
            f"{where}: the control 'longer-teacher' needs the lengths of the teacher and of its "
            "student both in steps or both in epochs"
        )
    if teacher.steps is not None and student.steps is not None:
        images = student.steps * (student.batch_size + student.unlabeled_batch)
        return teacher.model_copy(
            update={"steps": teacher.steps + math.ceil(images / teacher.batch_size)}
        )
    ratio = 1 + student.unlabeled_batch / student.batch_size
    return teacher.model_copy(update={"epochs": teacher.epochs + ratio * student.epochs})
