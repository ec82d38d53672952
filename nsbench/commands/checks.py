"""What shows at once: mistakes of users that need neither torch nor a model, which take seconds."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from nsbench.data.open import SourceSpec, check_there
from nsbench.models.names import check_arch, check_named
from nsbench.models.options import ModelOptions
from nsbench.names import (
    CORRUPTIONS,
    EXTRA_CORRUPTIONS,
    EXTRA_PERTURBATIONS,
    PERTURBATIONS,
)
from nsbench.recipes.generation import Precision
from nsbench.recipes.recipe import load_controls, load_recipe, load_variants
from nsbench.recipes.variants import chosen
from nsbench.suites.base import Suite
from nsbench.suites.load import load_suite
from nsbench.util.config import nearest, refuse_unknown
from nsbench.util.errors import NsbenchError

DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "mtia", "xla", "meta", "privateuseone")
"""Kinds of devices that torch has a name for."""


def check_device(device: str | None) -> None:
    """Raise NsbenchError for what cannot be the name of a device."""
    kind, _, number = (device or "cpu").partition(":")
    if kind not in DEVICES or not re.fullmatch(r"\d*", number):
        raise NsbenchError(f"there is no device '{device}'{nearest(kind, DEVICES[:4])}")


def check_precision(precision: str) -> None:
    """Raise NsbenchError for an unknown precision."""
    refuse_unknown("precision", [precision], get_args(Precision))


def check_cells(names: Sequence[str]) -> None:
    """Raise NsbenchError for an unknown corruption."""
    refuse_unknown("corruption", names, CORRUPTIONS + EXTRA_CORRUPTIONS)


def check_sequences(names: Sequence[str]) -> None:
    """Raise NsbenchError for an unknown perturbation."""
    refuse_unknown("perturbation", names, PERTURBATIONS + EXTRA_PERTURBATIONS)


def check_file(path: Path) -> None:
    """Raise NsbenchError for an image that is not there."""
    if not path.is_file():
        raise NsbenchError(f"there is no image {path}: name a file")


def check_source(source: str) -> None:
    """Raise NsbenchError for images that are not there."""
    check_there(SourceSpec(source=source))


def check_evaluation(
    models: Sequence[str],
    suites: Sequence[str],
    about: ModelOptions,
) -> list[Suite]:
    """The suites. Raises NsbenchError for models, suites, images or options that are not there."""
    found = [load_suite(name) for name in suites]
    check_named(models, about)
    for suite in found:
        check_there(suite.source)
    return found


def check_training(
    recipe: str | None,
    settings: Sequence[str],
    *,
    resume: Path | None = None,
    variants: Sequence[str] = (),
    controls: Sequence[str] = (),
) -> None:
    """Raise NsbenchError for a recipe, a setting, an architecture or images that are not there."""
    if resume or recipe is None:
        return  # what a run folder is worth is seen when it is read
    loaded, changes = load_recipe(recipe, list(settings)), list(settings)
    if variants:
        chosen(variants, list(load_variants(recipe, changes)), recipe)
    if controls:
        chosen(controls, list(load_controls(recipe, changes)), recipe, "controls")
    for generation in loaded.generations:
        check_arch(generation.arch)
    specs = [loaded.data.labeled, loaded.data.unlabeled or []]
    for spec in (one for some in specs for one in (some if isinstance(some, list) else [some])):
        check_there(spec)


def check_folders(folders: Sequence[Path]) -> None:
    """Raise NsbenchError for a folder that is not there, or cannot be read."""
    for folder in folders:
        if not folder.is_dir():
            raise NsbenchError(f"{folder} is neither a run folder nor a folder of results")
        if not os.access(folder, os.R_OK):
            raise NsbenchError(f"cannot read {folder}: permission denied")
