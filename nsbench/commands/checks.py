"""What shows at once: mistakes of users that need neither torch nor a model, which take seconds."""

import os
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from nsbench.data.open import SourceSpec, check_there
from nsbench.models.names import check_models
from nsbench.models.options import ModelOptions
from nsbench.models.timm_index import check_architecture, check_optimizer
from nsbench.names import (
    CORRUPTIONS,
    EXTRA_CORRUPTIONS,
    EXTRA_PERTURBATIONS,
    LAYOUTS,
    PERTURBATIONS,
)
from nsbench.recipes.generation import Precision
from nsbench.reporting.places import model_places
from nsbench.run_folder import is_seeds
from nsbench.suites.base import Suite
from nsbench.suites.load import load_suite
from nsbench.suites.reference import reference_of
from nsbench.training.resolve import refuse_beside_resume, resolve
from nsbench.util.config import nearest, refuse_unknown
from nsbench.util.errors import NsbenchError
from nsbench.util.files import refuse_unreadable

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


def check_layout(layout: str) -> None:
    """Raise NsbenchError for an unknown layout of files."""
    refuse_unknown("layout", [layout], LAYOUTS)


def check_file(path: Path) -> None:
    """Raise NsbenchError for an image that is not there."""
    refuse_unreadable(path)
    if not path.is_file():
        raise NsbenchError(f"there is no image {path}: name a file")


def check_source(source: str) -> None:
    """Raise NsbenchError for images that are not there."""
    check_there(SourceSpec(source=source))


def check_evaluation(
    models: Sequence[str],
    suites: Sequence[str],
    about: ModelOptions,
    sort: str | None = None,
    *,
    references: bool = True,
) -> list[Suite]:
    """The suites. Raises NsbenchError for models, suites, images or options that are not there.

    references: whether those that the suites name have to be there.
    """
    found = [load_suite(name) for name in suites]
    if sort is not None and all(suite.metric_names for suite in found):
        metrics = [pair for suite in found for pair in suite.metric_names.items()]
        known = [*(suite.name for suite in found), *chain.from_iterable(metrics)]
        refuse_unknown("suite or metric to sort by called", [sort], known)
    check_models(models, about)
    for suite in found:
        check_there(suite.source)
        if references:  # unless they are about to be made
            reference_of(suite)
    return found


def check_training(recipe: str | None, settings: list[str], **options: Any) -> None:
    """Raise NsbenchError for a recipe, its settings, variants or controls, and what they name.

    options: `out`, `resume`, `variants` and `controls`, as for `nsbench.train`.
    """
    refuse_beside_resume(options["resume"], recipe=recipe, out=options["out"], settings=settings)
    if options["resume"] and is_seeds(Path(options["resume"])):
        return  # each of them has its recipe, which was checked when it was begun
    resolved = resolve(recipe, settings=settings, **options)
    for one in (resolved.recipe, *(beside.recipe for beside in resolved.beside)):
        for generation in one.generations:
            check_architecture(generation.arch)
            check_optimizer(generation.optimizer)
        for sources in (one.data.labeled, one.data.unlabeled or []):
            for spec in sources if isinstance(sources, list) else [sources]:
                check_there(spec)
        labels = one.pseudo_labels
        if labels.filter and len(one.generations) > 1 and not labels.distill:
            check_models([labels.filter], ModelOptions())


def check_folder(folder: Path) -> None:
    """Raise NsbenchError for a folder without models, or that cannot be read."""
    check_folders([folder])


def check_folders(folders: Sequence[Path]) -> None:
    """Raise NsbenchError for folders without models, or that cannot be read."""
    for folder in folders:
        if folder.is_dir() and not os.access(folder, os.R_OK):
            raise NsbenchError(f"cannot read {folder}: permission denied")
    model_places(folders)
