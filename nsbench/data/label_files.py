"""Labels from elsewhere: sets of labels as ImageNet-ReaL has them, and lists of files."""

import re
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.class_names import by_name, imagenet_classes, match_classes
from nsbench.data.content import version_of
from nsbench.data.label_lists import classes_in
from nsbench.data.spec import Source
from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_json

REAL = "real"
VALIDATION_IMAGES = 50_000
"""Of ImageNet-1k."""

# Anywhere in an id, whose folders and ending differ from copy to copy; eight digits and no ninth.
_NUMBER = re.compile(r"ILSVRC2012_val_(\d{8})(?!\d)")


class RelabeledSource:
    """Some images of a source, with other labels.

    label_sets: all right labels of each image, None where each has one; see `label_sets`.
    """

    def __init__(
        self,
        source: Source,
        rows: NDArray[np.int64],
        classes: tuple[str, ...] | None,
        labels: NDArray[np.int64],
        label_sets: tuple[tuple[int, ...], ...] | None = None,
    ) -> None:
        self.name, self.classes = source.name, classes
        self.labels: NDArray[np.int64] | None = labels
        self.label_sets = label_sets
        self._source, self._rows = source, rows
        self.passed_over = source.passed_over
        self.ids = [source.ids[row] for row in rows.tolist()]

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> Image.Image:
        """RGB image as stored."""
        return self._source.image(int(self._rows[index]))

    @property
    def digests(self) -> NDArray[np.uint8]:
        """Those of these images in the source."""
        return self._source.digests_of(self._rows)

    def digests_of(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Those of some of these images in the source."""
        return self._source.digests_of(self._rows[indices])

    @cached_property
    def version(self) -> str:
        """See `Source`; other labels, and other sets of them, are another version."""
        return version_of(self)

    def origin(self, indices: NDArray[np.int64]) -> tuple[Source, NDArray[np.int64]]:
        """The source that these of the images come from, and their indices in it."""
        return origin(self._source, self._rows[indices])


def origin(source: Source, indices: NDArray[np.int64]) -> tuple[Source, NDArray[np.int64]]:
    """Where images of a source lie: itself, or the source that was given other labels."""
    return source.origin(indices) if isinstance(source, RelabeledSource) else (source, indices)


def labels_of(source: Source, purpose: str) -> NDArray[np.int64]:
    """The labels (N,) of a source, which `purpose` needs.

    Raises NsbenchError if it has none, or if one is not the number of a class.
    """
    if source.labels is None:
        why: str = getattr(source, "no_labels", "")  # sources of a program say nothing
        raise NsbenchError(f"{source.name} has no labels, but {purpose} needs them{why}")
    wrong = source.labels < 0
    if source.classes:
        wrong |= source.labels >= len(source.classes)
    if wrong.any():
        row = int(wrong.argmax())
        known = f"to {len(source.classes) - 1}" if source.classes else "upwards"
        raise NsbenchError(
            f"the image {source.ids[row]} of {source.name} has the label {source.labels[row]}, but "
            f"{purpose} needs class numbers from 0 {known}: correct or remove it"
        )
    return source.labels


def of_classes(source: Source, classes: tuple[str, ...]) -> RelabeledSource:
    """The images of some classes, by name, labeled by the index of their class among these.

    A source without class names is taken to have the numbers of ImageNet-1k as labels.
    Raises NsbenchError if it is unlabeled, or has no image of one of the classes.
    """
    labels = labels_of(source, "a choice of its classes")
    known = source.classes or imagenet_classes()
    if np.max(labels, initial=0) >= len(known):
        raise NsbenchError(f"{source.name} has labels beyond the {len(known)} of ImageNet-1k")
    labels = match_classes(known, classes)[labels]  # -1 for images of other classes
    missing = sorted(set(range(len(classes))) - set(labels.tolist()))
    if missing:
        raise NsbenchError(
            f"{source.name} has no image of the class '{classes[missing[0]]}': complete it, or "
            "name another source of clean images"
        )
    rows = np.flatnonzero(labels >= 0)
    return RelabeledSource(source, rows, classes, labels[rows])


def relabeled(source: Source, labels: str, label_space: str) -> RelabeledSource:
    """A source with the labels that `SourceSpec.labels` names instead of its own.

    `real` or a `.json` file like ReaL's (https://github.com/google-research/reassessed-imagenet):
    a list whose entry i has the classes of ILSVRC2012_val_{i + 1:08d}; images without any are left
    out. Else a text file of lines `FILE CLASS`, read by `nsbench.data.label_lists`; columns after
    these two are ignored, so that Kaggle's LOC_val_solution.csv and Tiny ImageNet's
    val_annotations.txt serve.

    Raises NsbenchError naming the file, or the image that it lacks.
    """
    if labels == REAL or labels.endswith(".json"):
        return _with_sets(source, labels, label_space)
    path = Path(labels).expanduser()
    names = classes_in(path, source.ids, source.name)
    classes, numbers = by_name(names, label_space, str(path))
    return RelabeledSource(source, np.arange(len(names)), classes, numbers)


def _with_sets(source: Source, labels: str, label_space: str) -> RelabeledSource:
    sets = _sets(labels)
    numbers = [_number(name, source.name) for name in source.ids]
    if numbers and max(numbers) > len(sets):
        raise NsbenchError(f"{labels} has {len(sets)} entries, but {source.name} has image "
                           f"{max(numbers)}: these labels are of other images")  # fmt: skip
    # Images without any label, 3,163 of ReaL's, are left out, as its authors do.
    rows = [row for row, number in enumerate(numbers) if sets[number - 1]]
    if not rows:
        raise NsbenchError(f"{labels} has no label for any image of {source.name}")
    chosen = tuple(tuple(sets[numbers[row] - 1]) for row in rows)
    # The first of a set stands for it where one label is asked for, as in lists of classes.
    first = np.array([entry[0] for entry in chosen], dtype=np.int64)
    classes = imagenet_classes() if label_space == "names" else None
    made = RelabeledSource(source, np.array(rows, dtype=np.int64), classes, first, chosen)
    left = len(source) - len(rows)
    if left:
        made.passed_over = {**source.passed_over, f"without a label in {labels}": left}
    return made


def _number(name: str, where: str) -> int:
    match = _NUMBER.search(name)
    if not match or not int(match[1]):  # images count from 1
        raise NsbenchError(
            f"labels by number need images named ILSVRC2012_val_00000001 and so on, but {where} "
            f"has {name}"
        )
    return int(match[1])


def _sets(labels: str) -> list[list[int]]:
    if labels == REAL:
        return _shipped_real()
    path = Path(labels).expanduser()
    sets = read_json(path)
    if not isinstance(sets, list) or not all(_is_set(entry) for entry in sets):
        raise NsbenchError(
            f"{path} is not a list of lists of ImageNet-1k class numbers, as ReaL's is"
        )
    return sets


def _shipped_real() -> list[list[int]]:
    """The labels of ImageNet-ReaL that timm ships, in the order of the validation images."""
    from timm.data import RealLabelsImagenet  # slow to import

    names = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, VALIDATION_IMAGES + 1)]
    labels = RealLabelsImagenet(names).real_labels
    return [labels[name] for name in names]


def _is_set(entry: Any) -> bool:
    # type and not isinstance, as true is an int; 1000 classes of ImageNet-1k.
    return isinstance(entry, list) and all(type(c) is int and 0 <= c < 1000 for c in entry)
