"""References: the constants that normalise a suite's metric, or the images that define it."""

from pathlib import Path
from typing import Any

from nsbench.names import SEVERITIES
from nsbench.suites.load import AccuracySuite, CorruptionSuite, PerturbationSuite, Suite
from nsbench.util.config import Config, parse
from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_json

PUBLISHED = "published"


class ReferenceEntry(Config):
    """A reference model's constants on one suite, in fractions (distances are plain numbers).

    protocol: of the suite they were made for; or `published` for constants from the literature,
    which serve every suite of that image_size whose corruptions or perturbations they have. clean,
    errors: by corruption and severity. flip_probability, top5_distance: by perturbation.
    misclassified: ids of images. source: where published ones come from.
    """

    protocol: str
    source: str | None = None
    image_size: int | None = None
    clean: float | None = None
    errors: dict[str, list[float]] | None = None
    flip_probability: dict[str, float] | None = None
    top5_distance: dict[str, float] | None = None
    misclassified: list[str] | None = None


class Reference(Config):
    """A reference file: the model, the command that made it, and an entry for each suite."""

    model: str
    command: str = ""
    suites: dict[str, ReferenceEntry]


def load_reference(suite: Suite) -> dict[str, Any] | None:
    """What the suite's reference says of it: errors, flip rates or misclassified ids.

    Of published constants only those that the suite needs. Which of the images are evaluated does
    not matter to them. Raises NsbenchError if the file does not cover the suite or was made for
    another definition.
    """
    if not suite.reference:
        return None
    reference = parse(Reference, _table(Path(suite.reference)), suite.reference)
    entry = reference.suites.get(suite.name) or _published(reference, suite)
    if entry is None:
        raise NsbenchError(
            f"{suite.reference} holds no reference for {suite.name}: run nsbench reference"
        )
    if entry.protocol == PUBLISHED:
        entry = _fitting(entry, suite)
    elif entry.protocol != suite.protocol():
        raise NsbenchError(
            f"{suite.reference} was made for another definition of {suite.name}: run nsbench "
            "reference again"
        )
    _check_constants(entry, suite)
    return {**entry.model_dump(exclude_none=True), "model": reference.model}


def _published(reference: Reference, suite: Suite) -> ReferenceEntry | None:
    """The published entry of the suite's kind, whatever the suite is called."""
    for entry in reference.suites.values():
        constants = entry.errors if isinstance(suite, CorruptionSuite) else entry.flip_probability
        if entry.protocol == PUBLISHED and constants:
            return entry
    return None


def _fitting(entry: ReferenceEntry, suite: Suite) -> ReferenceEntry:
    """Only the corruptions, severities and perturbations of the suite."""
    if isinstance(suite, CorruptionSuite):
        _check_size(entry, suite)
        return entry.model_copy(update={"errors": _errors(entry.errors or {}, suite)})
    if isinstance(suite, PerturbationSuite):
        _check_size(entry, suite)
        _check_difficulty(suite)
        flips, distances = entry.flip_probability or {}, entry.top5_distance or {}
        kept = [name for name in suite.perturbations if name in flips and name in distances]
        update = {
            "flip_probability": {name: flips[name] for name in kept},
            "top5_distance": {name: distances[name] for name in kept},
        }
        return entry.model_copy(update=update)
    return entry


def _errors(errors: dict[str, list[float]], suite: CorruptionSuite) -> dict[str, list[float]]:
    rows = {name: errors[name] for name in suite.corruptions if name in errors}
    if any(len(row) != len(SEVERITIES) for row in rows.values()):
        raise NsbenchError(f"{suite.reference} needs errors of {len(SEVERITIES)} severities")
    return {name: [row[s - 1] for s in suite.severities] for name, row in rows.items()}


def _check_difficulty(suite: PerturbationSuite) -> None:
    if suite.difficulty != 1:
        raise NsbenchError(
            f"{suite.name} has difficulty {suite.difficulty}, but {suite.reference} is of "
            "difficulty 1: leave out the suite's reference"
        )


def _check_size(entry: ReferenceEntry, suite: CorruptionSuite | PerturbationSuite) -> None:
    if entry.image_size not in (None, suite.image_size):
        raise NsbenchError(
            f"{suite.name} has images of {suite.image_size} px, but {suite.reference} is of "
            f"{entry.image_size} px: leave out the suite's reference"
        )


def _table(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise NsbenchError(f"{path} is no reference: run nsbench reference")
    return content


def _check_constants(entry: ReferenceEntry, suite: Suite) -> None:
    """Refuse a reference that lacks a constant of the suite, or whose constant is zero."""
    constants: dict[str, float] = {}
    wanted: list[str] = []
    if isinstance(suite, CorruptionSuite):
        wanted = suite.corruptions
        constants = {name: sum(errors) for name, errors in (entry.errors or {}).items()}
    if isinstance(suite, PerturbationSuite):
        wanted = [*suite.perturbations, *(f"T5D of {name}" for name in suite.perturbations)]
        distances = entry.top5_distance or {}
        constants = {f"T5D of {name}": value for name, value in distances.items()}
        constants |= entry.flip_probability or {}
    if isinstance(suite, AccuracySuite):
        wanted, constants = ["misclassified"], {"misclassified": len(entry.misclassified or [])}
    unusable = [name for name in wanted if not constants.get(name, 0) > 0]
    if unusable:
        raise NsbenchError(
            f"{suite.reference} cannot serve {suite.name}: its constant of '{unusable[0]}' is "
            "missing or zero; make it with more images or a weaker model"
        )
