"""References: the constants that normalise a suite's metric, or the images that define it."""

from pathlib import Path
from typing import Any

from nsbench.suites.base import ReferenceEntry, Suite
from nsbench.util.config import Config, parse
from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_json

PUBLISHED = "published"
"""The protocol of constants from the literature, which were not made for a suite of nsbench."""


class Reference(Config):
    """A reference file: the model, the command that made it, and an entry for each suite."""

    model: str
    command: str = ""
    suites: dict[str, ReferenceEntry]


def load_reference(suite: Suite) -> dict[str, Any] | None:
    """The suite's entry in its reference: errors, flip rates or misclassified ids.

    Of published constants only those that the suite needs; they serve any subset of the images.
    Raises NsbenchError if the file does not cover the suite, was made for another definition, or
    lacks a constant.
    """
    if not suite.reference:
        return None
    content = read_json(Path(suite.reference))
    if not isinstance(content, dict):
        raise NsbenchError(f"{suite.reference} is not a reference: run nsbench reference")
    reference = parse(Reference, content, suite.reference)
    # The suite's own entry first: it was made on the very same images and crops.
    entry = reference.suites.get(suite.name) or _published(reference, suite)
    if entry is None:
        raise NsbenchError(
            f"{suite.reference} holds no reference for {suite.name}: run nsbench reference"
        )
    if entry.protocol == PUBLISHED:
        entry = suite.fit_published(entry)
    elif entry.protocol != suite.protocol():
        raise NsbenchError(
            f"{suite.reference} was made for another definition of {suite.name}: run nsbench "
            "reference again"
        )
    _check_constants(entry, suite)
    return {**entry.model_dump(exclude_none=True), "model": reference.model}


def _published(reference: Reference, suite: Suite) -> ReferenceEntry | None:
    """The published entry of the suite's kind, whatever the suite is called."""
    # They hold for a benchmark and not for a file, which users may name as they like.
    entries = reference.suites.values()
    return next((e for e in entries if e.protocol == PUBLISHED and suite.uses_published(e)), None)


def _check_constants(entry: ReferenceEntry, suite: Suite) -> None:
    """Refuse a reference that lacks a constant of the suite, or whose constant is zero."""
    # `not value > 0` and not `value <= 0`, so that nan is refused too.
    unusable = [name for name, value in suite.constants(entry).items() if not value > 0]
    if unusable:
        raise NsbenchError(
            f"{suite.reference} cannot serve {suite.name}: its constant of '{unusable[0]}' is "
            "missing or zero; make it with more images or a weaker model"
        )
