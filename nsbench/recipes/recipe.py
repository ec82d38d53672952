"""Recipes: what to train, one TOML file each."""

import warnings
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import tomli_w
from pydantic import Field

from nsbench.recipes.controls import Control, controlled, take_controls
from nsbench.recipes.files import recipe_file
from nsbench.recipes.generation import Generation
from nsbench.recipes.parts import Data, PseudoLabels
from nsbench.recipes.variants import Variant, take_variants, varied
from nsbench.util.config import NAME, Config, apply_settings, nearest_key, parse, read_named
from nsbench.util.errors import NsbenchError


class Recipe(Config):
    """What to train, one TOML file. The keys in RUNNING do not change the result."""

    RUNNING: ClassVar = (
        "workers",
        "checkpoint_minutes",
        "checkpoint_steps",
        "tensorboard",
        "wandb",
    )

    name: str = Field(pattern=NAME)
    """Of the run and its folder; by default that of the file."""
    seed: int = Field(default=0, ge=0)
    """Of all draws: weights, order, noise, and which labels are kept and held out."""
    workers: int = Field(default=2, ge=0)
    """Processes that load images; 0 does it between the steps."""
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    """Minutes between two checkpoints of the training state."""
    checkpoint_steps: int | None = Field(default=None, ge=1)
    """Steps between two checkpoints; the earlier of both counts."""
    tensorboard: bool = False
    """Log to TensorBoard too (extra `tensorboard`)."""
    wandb: bool = False
    """Log to Weights & Biases too (extra `wandb`)."""
    allow_smaller: bool = False
    """Accept a student smaller than its teacher, which the paper's method never has."""
    data: Data
    """The table [data]: the images; see its own keys."""
    pseudo_labels: PseudoLabels = PseudoLabels()
    """The table [pseudo_labels]: how predictions become targets; see its own keys."""
    generations: list[Generation] = Field(min_length=1)
    """A table [[generations]] for each model of the chain, the first teacher first."""

    def to_toml(self) -> str:
        """The recipe with every default spelled out."""
        # So that a run stays the same when a default changes. TOML has no null.
        return tomli_w.dumps(self.model_dump(exclude_none=True))


def load_recipe(name: str, settings: list[str] | None = None) -> Recipe:
    """A recipe from a TOML file or by the name of a shipped one, with `key=value` settings.

    Raises NsbenchError naming the file and the first key that is unknown or wrong, also of its
    variants.
    """
    return _load(name, settings)[0]


def load_variants(
    name: str, settings: list[str] | None = None
) -> dict[str, tuple[Variant, Recipe]]:
    """The variants of a recipe by name, in the order of its file, and the recipe of each.

    Raises NsbenchError as `load_recipe` does.
    """
    return _load(name, settings)[1]


def load_controls(
    name: str, settings: list[str] | None = None
) -> dict[str, tuple[Control, Recipe]]:
    """The controls of a recipe by name, in the order of its file, and the recipe of each.

    Raises NsbenchError as `load_recipe` does.
    """
    return _load(name, settings)[2]


def _load(name: str, settings: list[str] | None) -> "_Loaded":
    # A file comes before a shipped recipe of its name. Its stem is the name of the run, unless it
    # says otherwise.
    path = Path(name)
    if not path.is_file():
        path = recipe_file(name)
    table = _table(path, settings or [])
    for sentence in _idle(table, settings or []):
        warnings.warn(sentence, stacklevel=2)
    try:
        return _understood(table, str(path))
    except NsbenchError:
        if culprit := _culprit(path, settings or []):
            _understood(_table(path, settings or []), culprit)  # the same, but not of the file
        raise


_Loaded = tuple[Recipe, dict[str, tuple[Variant, Recipe]], dict[str, tuple[Control, Recipe]]]


def _table(path: Path, settings: list[str]) -> dict[str, Any]:
    return apply_settings(read_named(path), settings)


def _understood(table: dict[str, Any], where: str) -> _Loaded:
    """The recipe in a raw table, its variants and its controls. Raises NsbenchError for `where`."""
    listed, wanted = take_variants(table, where), take_controls(table, where)
    recipe, variants = _resolved(deepcopy(table), where), {}
    for variant in listed:
        of_it = f"{where}, variant '{variant.name}'"
        # Each from the untouched table, as the defaults must reach what a variant sets too.
        variants[variant.name] = variant, _resolved(varied(table, variant, of_it), of_it)
    controls = {one.folder: (one, controlled(recipe, one, where)) for one in wanted}
    return recipe, variants, controls


def _culprit(path: Path, settings: list[str]) -> str | None:
    """The setting without which a recipe is right, or all of them; None if the file is wrong."""

    def fit(some: list[str]) -> bool:
        try:
            _understood(_table(path, some), str(path))
        except NsbenchError:
            return False
        return True

    for number, setting in enumerate(settings):
        if fit(settings[:number] + settings[number + 1 :]):
            return f"--set {setting}"
    return f"--set {' '.join(settings)}" if settings and fit([]) else None


def _idle(table: dict[str, Any], settings: list[str]) -> Iterator[str]:
    """A sentence for each setting without effect, where another key counts instead."""
    defaults, generations = table.get("defaults"), table.get("generations")
    # What is no table is refused by the validation, which names the key.
    tables = [*(generations if isinstance(generations, list) else [None]), defaults or {}]
    if not all(isinstance(entry, dict) for entry in tables):
        return
    for setting in settings:
        home, _, key = setting.partition("=")[0].rpartition(".")
        number = home.removeprefix("generations.")
        concerned = tables[:-1] if home == "defaults" else []
        if number.isdigit():
            concerned = tables[:-1][int(number) : int(number) + 1]
        steps = ["steps" in {**tables[-1], **entry} for entry in concerned]
        if home == "defaults" and all(key in entry for entry in concerned):
            yield (
                f"--set {setting} changes nothing, as each generation sets {key} itself: set "
                f"generations.0.{key} and so on"
            )
        elif key == "epochs" and steps and all(steps):
            yield (
                f"--set {setting} changes nothing, as the recipe sets steps, which count instead: "
                f"set {home}.steps"
            )


def _resolved(table: dict[str, Any], where: str) -> Recipe:
    recipe = parse(Recipe, _with_defaults(table, where), where, places())
    _check(recipe, where)
    return recipe


@cache
def places() -> dict[str, str]:
    """Where each key of a recipe stands, by its own name."""
    tables: dict[str, type[Config]] = {"": Recipe, "defaults.": Generation, "data.": Data}
    tables["pseudo_labels."] = PseudoLabels
    # Reversed: of two keys of one name the first is the more usual one, and goes.
    named = [(key, where + key) for where, kind in tables.items() for key in kind.model_fields]
    return dict(reversed(named))


def _with_defaults(table: dict[str, Any], where: str) -> dict[str, Any]:
    defaults = table.pop("defaults", {})
    if not isinstance(defaults, dict):
        raise NsbenchError(f"{where}: the key 'defaults' is {defaults!r}, but it must be a table")
    # Checked here: merged into the generations, a wrong key would be reported as one of theirs.
    unknown = [key for key in defaults if key not in Generation.model_fields]
    if unknown:
        near = nearest_key(unknown[0], [], places())
        raise NsbenchError(f"{where}: unknown key 'defaults.{unknown[0]}'{near}")
    # Anything but a list of tables is left to the validation, which names the key.
    generations = table.get("generations")
    if isinstance(generations, list) and all(isinstance(entry, dict) for entry in generations):
        table["generations"] = [{**defaults, **entry} for entry in generations]
        # The first teacher has no unlabeled images, and is the same whatever a student's are given.
        if generations and "unlabeled_noise" not in generations[0]:
            table["generations"][0].pop("unlabeled_noise", None)
    return table


def _makes_ensemble(recipe: Recipe, index: int) -> bool:
    """Whether a generation and its teacher can be one model."""
    if not 0 < index == len(recipe.generations) - 1:
        return False
    both = recipe.generations[index - 1 :]
    # One architecture and one preprocessing is all that a checkpoint of both says.
    kinds = [(one.arch, one.model_args, one.preprocessing(recipe.data)) for one in both]
    return kinds[0] == kinds[1] and not (both[1].warm_start or any(one.fine_tune for one in both))


def _check(recipe: Recipe, where: str) -> None:
    data, distill = recipe.data, recipe.pseudo_labels.distill
    if len(recipe.generations) > 1 and not (data.unlabeled or data.labels_per_class or distill):
        raise NsbenchError(
            f"{where}: the students have no unlabeled images: set data.unlabeled, or "
            "data.labels_per_class to keep only some labels"
        )
    if data.unlabeled_imbalance and not data.labels_per_class:
        raise NsbenchError(
            f"{where}: data.unlabeled_imbalance needs the labels of the unlabeled images: set "
            "data.labels_per_class, or leave it out"
        )
    if recipe.generations[0].unlabeled_noise:
        raise NsbenchError(
            f"{where}: generation 0 has no pseudo-labeled images: move the key "
            "'generations.0.unlabeled_noise' to a student, or to [defaults]"
        )
    for index, generation in enumerate(recipe.generations):
        if generation.ensemble and not _makes_ensemble(recipe, index):
            raise NsbenchError(
                f"{where}: the key 'generations.{index}.ensemble' is true, but an ensemble is the "
                "last generation, after a teacher of its architecture and image size, and neither "
                "has warm_start or fine_tune: leave it out"
            )
        # A small ratio of a small batch rounds to 0 images.
        if index and generation.unlabeled_batch < 1 and not generation.ensemble:
            raise NsbenchError(
                f"{where}: the key 'generations.{index}.unlabeled_ratio' leaves the student no "
                "pseudo-labeled image a step: raise it"
            )
