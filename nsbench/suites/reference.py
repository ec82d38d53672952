"""References: the constants that normalise a suite's metric, or the images that define it."""

from pathlib import Path
from typing import Any

import numpy as np

from nsbench.data.catalog import PREFIX, data_set
from nsbench.data.spec import Source
from nsbench.suites.base import Suite
from nsbench.suites.constants import ReferenceEntry
from nsbench.suites.load import folder as shipped_folder
from nsbench.util.arguments import checked
from nsbench.util.config import Config, nearest, parse
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint, is_there, no_file, read_json
from nsbench.util.nearby import nearest_path
from nsbench.util.sealed import KEY, flaw

LEAST = 1e-9
"""Constants are divided by: below this one, less than an error in a billion images, they are 0."""

PUBLISHED = "published"
"""The protocol of constants from the literature, which were not made for a suite of nsbench."""


class Reference(Config):
    """A reference file: the model, the command that made it, and an entry for each suite.

    weights: the hash of the model's weights, where nsbench made the file.
    digest: of the file, which `nsbench reference` writes; without one, as in a file that somebody
    wrote by hand, its content is not verified.
    """

    model: str
    command: str = ""
    weights: str | None = None
    digest: str | None = None
    suites: dict[str, ReferenceEntry]

    @property
    def errors(self) -> dict[str, list[float]]:
        """The model's error by corruption and severity, as fractions, of all its suites."""
        return self._of_all("errors")

    @property
    def flip_probability(self) -> dict[str, float]:
        """The model's flip probability by perturbation, as fractions, of all its suites."""
        return self._of_all("flip_probability")

    @property
    def top5_distance(self) -> dict[str, float]:
        """The model's top-5 distance by perturbation, from 0 to 15, of all its suites."""
        return self._of_all("top5_distance")

    @property
    def clean(self) -> float | None:
        """The model's error on clean images, as a fraction; None if no suite has it."""
        return next((e.clean for e in self.suites.values() if e.clean is not None), None)

    def _of_all(self, key: str) -> dict[str, Any]:
        found = [getattr(entry, key) or {} for entry in self.suites.values()]
        return {name: values for entry in reversed(found) for name, values in entry.items()}


@checked
def load_reference(name: str | Path) -> Reference:
    """A reference by the name of a shipped one, such as `alexnet`, or from a file.

    Raises NsbenchError if there is none, or it is damaged.
    """
    path = Path(name)
    if not path.suffix:
        known = {file.stem: file for file in sorted(shipped_folder().glob("*.json"))}
        if str(name) not in known:
            raise NsbenchError(f"there is no reference '{name}'{nearest(str(name), known)}")
        path = known[str(name)]
    return _read(path)


def reference_of(suite: Suite) -> dict[str, Any] | None:
    """The suite's entry in its reference: errors, flip rates or misclassified ids.

    Of published constants only those that the suite needs; they serve any subset of the images.
    Raises NsbenchError if the file does not cover the suite, was made for another definition, lacks
    a constant, or has one that cannot be.
    """
    if not suite.reference:
        return None
    reference, entry = _entry(suite)
    # What only serves checks is no part of the results that are compared.
    checked = {"classes", "classes_hash", "generator"}
    checked |= set() if entry.protocol == PUBLISHED else {"image_size"}
    return {**entry.model_dump(exclude_none=True, exclude=checked), "model": reference.model}


def check_classes(suite: Suite, source: Source) -> None:
    """Raise NsbenchError if the suite's reference was made on images of other classes.

    AlexNet's errors among the 1,000 classes of ImageNet say nothing of errors among four.
    """
    entry = _entry(suite)[1] if suite.reference else None
    if entry is None or entry.classes is None:
        return
    of_source = classes_of(suite, source)
    what = None
    if entry.classes != of_source["classes"]:
        what = f"{of_source['classes']:,} classes, but {suite.reference} is of {entry.classes:,}"
    elif None not in (entry.classes_hash, of_source["classes_hash"]) and (
        entry.classes_hash != of_source["classes_hash"]
    ):
        what = f"other classes than the {entry.classes:,} that {suite.reference} is of"
    if what:
        raise NsbenchError(
            f"{source.name}, the images of {suite.name}, has {what}: leave out the suite's "
            "reference, or make one by nsbench reference"
        )


def check_generator(suite: Suite, generator: str | None) -> None:
    """Raise NsbenchError if the suite's reference was made on the pixels of another generator.

    generator: what makes the suite's images, or the files that hold them, and its version.
    """
    if not suite.reference:
        return
    reference, entry = _entry(suite)
    # What somebody wrote by hand need not say it, unlike what `nsbench reference` makes.
    by_hand = reference.digest is None and entry.generator is None
    if entry.protocol == PUBLISHED or by_hand or entry.generator == generator:
        return
    made_by = entry.generator or "an earlier generator"
    raise NsbenchError(
        f"{suite.reference} was made on images by {made_by}, and those of {suite.name} are by "
        f"{generator or 'none'}: run nsbench reference again"
    )


def classes_of(suite: Suite, source: Source) -> dict[str, Any]:
    """How many classes a suite's images are of, and the hash of their names if they have any."""
    labels = np.empty(0) if source.labels is None else source.labels
    count = len(np.unique(labels) if source.classes is None else source.classes)
    hashed = fingerprint(sorted(source.classes)) if source.classes is not None else None
    if suite.source.source.startswith(PREFIX):
        whole = data_set(suite.source.source.removeprefix(PREFIX)).classes
        # A part of a released set is still one of it, which `nsbench eval` says.
        count, hashed = whole, hashed if count == whole else None
    return {"classes": count, "classes_hash": hashed}


def _entry(suite: Suite) -> tuple[Reference, ReferenceEntry]:
    """The file that a suite names, and its entry for the suite, checked."""
    assert suite.reference is not None
    reference = _read(Path(suite.reference))
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
    suite.check_reference(entry)
    return reference, entry


def _read(path: Path) -> Reference:
    """A reference file, which is as it was written. Raises NsbenchError."""
    if not is_there(path):
        # Beside the suite, or among those that nsbench ships.
        shipped = [file.name for file in sorted(shipped_folder().glob("*.json"))]
        near = nearest_path(path, lambda one: one.suffix == ".json") or nearest(path.name, shipped)
        raise NsbenchError(no_file(path, near))
    content = read_json(path)
    if not isinstance(content, dict):
        raise NsbenchError(f"{path} is not a reference: run nsbench reference")
    if KEY in content and (problem := flaw(path)):
        raise NsbenchError(
            f"{path} {problem}: restore it, or run nsbench reference again; a file that is changed "
            f"by hand has to be without the key '{KEY}'"
        )
    return parse(Reference, content, str(path))


def _published(reference: Reference, suite: Suite) -> ReferenceEntry | None:
    """The published entry of the suite's kind, whatever the suite is called."""
    # They hold for a benchmark and not for a file, which users may name as they like.
    entries = reference.suites.values()
    return next((e for e in entries if e.protocol == PUBLISHED and suite.uses_published(e)), None)


def _check_constants(entry: ReferenceEntry, suite: Suite) -> None:
    """Refuse a reference that lacks a constant of the suite, or whose constant is zero."""
    # `not value > LEAST` and not `value <= LEAST`, so that nan is refused too.
    unusable = [name for name, value in suite.constants(entry).items() if not value > LEAST]
    if unusable:
        raise NsbenchError(
            f"{suite.reference} cannot serve {suite.name}: its constant of '{unusable[0]}' is "
            "missing or zero; make it with more images or a weaker model"
        )
