"""Several sources as one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from typing import overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.label_files import labels_of
from nsbench.data.spec import Source
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint


class JoinedSource:
    """The images of several sources, one source after the other.

    Ids are always those of the parts after the part's number from 0, `0/cat/1.png`, so that those
    of one part do not depend on the others. labeled: whether the parts are of the same classes and
    their labels are joined; without, the images have no labels, whatever their parts have.
    Raises NsbenchError if parts to join with labels have none, or different classes.
    """

    def __init__(self, sources: Sequence[Source], *, labeled: bool) -> None:
        self.name = " and ".join(source.name for source in sources)
        self._sources = tuple(sources)
        self._ends = np.cumsum([len(source) for source in sources])  # where each part ends
        self.ids = _Ids(self)
        self.classes: tuple[str, ...] | None = None
        self.labels: NDArray[np.int64] | None = None
        if labeled:
            for other in sources[1:]:
                _refuse_other_classes(sources[0], other)
            self.classes = sources[0].classes
            labels = [labels_of(source, "training on it with others") for source in sources]
            self.labels = np.concatenate(labels)
        self._labeled = labeled
        # By reason, as the same one may stand in several parts.
        passed_over: Counter[str] = Counter()
        for source in sources:
            passed_over.update(source.passed_over)
        self.passed_over: Mapping[str, int] = passed_over

    def __len__(self) -> int:
        return int(self._ends[-1])

    def image(self, index: int) -> Image.Image:
        """RGB image as its source has it."""
        part, row = self.locate(index)
        return self._sources[part].image(row)

    @property
    def digests(self) -> NDArray[np.uint8]:
        """Those of the parts, one part after the other."""
        return np.concatenate([source.digests for source in self._sources])

    def digests_of(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Those of some images, asked of the part that each is in."""
        made = np.empty((len(indices), 16), np.uint8)
        parts = np.searchsorted(self._ends, indices, side="right")
        for part in np.unique(parts).tolist():
            rows = np.flatnonzero(parts == part)
            first = int(self._ends[part - 1]) if part else 0
            made[rows] = self._sources[part].digests_of(indices[rows] - first)
        return made

    @cached_property
    def version(self) -> str:
        """A hash of the versions of the parts, and of whether their labels are joined."""
        parts = [(source.version, len(source)) for source in self._sources]
        return fingerprint([parts, self._labeled])

    def locate(self, index: int) -> tuple[int, int]:
        """The number of the part that has an image, and its index there. Raises IndexError."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        # right: an index that equals an end is the first of the next part that has images.
        part = int(np.searchsorted(self._ends, index, side="right"))
        return part, index - int(self._ends[part]) + len(self._sources[part])

    def id_of(self, index: int) -> str:
        """The id of an image. Raises IndexError."""
        part, row = self.locate(index)
        return f"{part}/{self._sources[part].ids[row]}"


class _Ids(Sequence[str]):
    """The ids of a joined source, made when they are asked for: there may be millions."""

    def __init__(self, source: JoinedSource) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self._source.id_of(row) for row in range(*index.indices(len(self)))]
        return self._source.id_of(index)


def _refuse_other_classes(first: Source, other: Source) -> None:
    if first.classes == other.classes:
        return
    if first.classes is None or other.classes is None:
        named, bare = (other, first) if first.classes is None else (first, other)
        raise NsbenchError(
            f"{named.name} has class names and {bare.name} has none, so they cannot be joined: set "
            'label_space = "indices" for both, if the same numbers are the same classes'
        )
    pairs = enumerate(zip_longest(first.classes, other.classes))
    number, (mine, theirs) = next((n, pair) for n, pair in pairs if pair[0] != pair[1])
    raise NsbenchError(
        f"{first.name} and {other.name} cannot be joined, as their classes differ: class {number} "
        f"is {_shown(mine)} in the first and {_shown(theirs)} in the second; rename or remove what "
        "is not in both"
    )


def _shown(name: str | None) -> str:
    return f"'{name}'" if name is not None else "missing"
