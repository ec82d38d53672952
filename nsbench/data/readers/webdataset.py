"""WebDataset shards: tar archives in which the files of one sample share a name."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nsbench.data.class_names import is_class_number, listed_classes
from nsbench.data.content import Storage, StoredSource
from nsbench.data.decode import is_hidden, is_image, utf8
from nsbench.data.found import shown
from nsbench.data.tar_index import Index, packed_inside, read_at, read_index
from nsbench.util.errors import NsbenchError
from nsbench.util.files import refuse_unreadable

IMAGES = ("jpg", "jpeg", "png", "webp")
"""Endings that count as a sample's image; webp is that of clip-benchmark's shards."""

# Bash's ranges, the one kind of pattern that shards are named by.
_BRACES = re.compile(r"\{([0-9]{1,18})\.\.([0-9]{1,18})\}")


_DOTTED = "with a dot before the ending, where keys end (.{})"
_REASONS = {"": "hidden", "cls": "without an image of their key (.cls)"}


class _Sample(NamedTuple):
    """A key, where its image lies, and its label or None."""

    key: str
    shard: int
    offset: int
    size: int
    label: int | None


def is_pattern(source: str) -> bool:
    """Whether a source's name is a pattern of shards such as `val-{00..63}.tar`, and no file's."""
    found = source.endswith(".tar") and _BRACES.search(source)
    return bool(found) and not Path(source).expanduser().exists()


def is_tar(path: Path) -> bool:
    """Whether a path is that of a shard, in small or large letters; hidden ones are none."""
    return path.suffix.lower() == ".tar" and not is_hidden(path.name) and not path.is_dir()


def shard_files(source: str) -> list[Path]:
    """The files of a brace pattern, or the `.tar` files of a folder in the order of their names.

    Raises NsbenchError naming the first shard that is missing.
    """
    braces, folder = _BRACES.search(source), Path(source).expanduser()
    if not braces or folder.is_dir():
        return [path for path in sorted(folder.iterdir()) if is_tar(path)]
    first, last = braces.groups()
    shards = []
    # One by one until one is missing, as a mistyped end may be far away.
    for number in range(int(first), int(last) + 1):
        text = f"{number:0{len(first)}d}"  # zeros as in first
        shards.append(Path(_BRACES.sub(text, source, count=1)).expanduser())
        if not shards[-1].is_file():
            refuse_unreadable(shards[-1])
            raise NsbenchError(f"there is no {shards[-1]}: fetch all shards")
    if not shards:
        raise NsbenchError(f"{source} counts down from {first} to {last}: swap the two numbers")
    return shards


class ShardSource(StoredSource):
    """Images `KEY.jpg` (or jpeg, png, webp) with labels `KEY.cls` in shards.

    Ids are the keys, after the shard's name where shards share keys. Class names are the lines of a
    `classnames.txt` beside the shards or above them; without one labels are the model's class
    indices. Without any `.cls` the images are unlabeled.
    """

    def __init__(self, name: str, shards: list[Path], label_space: str = "names") -> None:
        left: Counter[str] = Counter()
        samples = [s for number, shard in enumerate(shards) for s in _samples(shard, number, left)]
        self.passed_over = _reasons(left)
        if not samples:
            only = "".join(f", not {count:,} {why}" for why, count in self.passed_over.items())
            usual = f"shards have KEY.jpg (or jpeg, png, webp) and KEY.cls{only}"
            packed = packed_inside((n for shard in shards for n in read_index(shard).names), name)
            raise NsbenchError(f"{name} holds no images{packed or ': ' + usual}")
        self.name, self._shards = name, shards
        self.ids = _ids(samples, shards)
        # As arrays: a million samples as tuples would take ten times the memory.
        spans = [(sample.shard, sample.offset, sample.size) for sample in samples]
        self._spans = np.array(spans, dtype=np.int64)
        self.labels = _labels(samples, self.ids, name)
        self.no_labels = ": its shards have no .cls files"
        self.classes = listed_classes(shards[0].parent, self.labels, label_space)

    @property
    def storage(self) -> Storage:
        """The shards."""
        folder, names = self._shards[0].parent, [shard.name for shard in self._shards]
        return Storage(os.path.abspath(self.name), folder, names, self._spans)

    def raw(self, index: int) -> bytes:
        """A member's bytes. Raises NsbenchError."""
        shard, offset, size = self._spans[index].tolist()
        return read_at(self._shards[shard], offset, size)

    def called(self, index: int) -> str:
        """The key of an image and its shard."""
        return f"{self.ids[index]} in {self._shards[int(self._spans[index, 0])]}"


def _samples(shard: Path, number: int, left: Counter[str]) -> Iterator[_Sample]:
    """The samples of a shard that have an image, in its order; counts endings that are left."""
    index = read_index(shard)
    images: dict[str, int] = {}
    labels: dict[str, int] = {}
    # A sample's files usually follow each other, but need not here.
    for row, name in enumerate(index.names):
        key, ending = _split(name)
        if ending in IMAGES and images.setdefault(key, row) != row:
            raise NsbenchError(f"{shard} holds two images of the key '{key}': keep one")
        if ending == "cls" and labels.setdefault(key, row) != row:
            raise NsbenchError(f"{shard} holds two labels of the key '{key}': keep one")
        if ending not in (*IMAGES, "cls"):
            left[ending] += 1
    left["cls"] += len(labels.keys() - images.keys())
    for key, row in images.items():
        utf8(key, str(shard))
        label = _label(index, labels[key]) if key in labels else None
        yield _Sample(key, number, int(index.offsets[row]), int(index.sizes[row]), label)


def _split(name: str) -> tuple[str, str]:
    """The key, which ends at the first dot of the file's name, and the ending; "" if hidden."""
    path = PurePosixPath(name)
    stem, _, ending = path.name.partition(".")
    return (str(path.with_name(stem)), ending.lower()) if stem else ("", "")


def _reasons(left: Counter[str]) -> dict[str, int]:
    """Why files of these endings are passed over."""
    reasons: dict[str, list[str]] = {}
    for ending in left:
        # By the format's rule the key of n01.1.jpg is n01, and the ending 1.jpg.
        dotted = "." in ending and is_image(f"x.{ending}")
        why = _DOTTED if dotted else _REASONS.get(ending, "with other endings (.{})")
        reasons.setdefault(why, []).append(ending)
    counts = {
        why.format(shown(endings, ", .")): sum(map(left.__getitem__, endings))
        for why, endings in reasons.items()
    }
    return {why: count for why, count in counts.items() if count}


def _label(index: Index, row: int) -> int:
    text = index.read(row).decode("ascii", "replace").strip()  # a replaced letter is not a digit
    if not is_class_number(text):
        raise NsbenchError(
            f"{index.names[row]} in {index.archive} holds {text[:20]!r}, which is not a "
            "class number"
        )
    return int(text)


def _ids(samples: list[_Sample], shards: list[Path]) -> list[str]:
    # Keys alone where they differ, so that ids survive another division into shards.
    if len({sample.key for sample in samples}) == len(samples):
        return [sample.key for sample in samples]
    ids = [f"{shards[sample.shard].stem}/{sample.key}" for sample in samples]
    name, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise NsbenchError(f"two images of the shards would share the id {name}: rename a shard")
    return ids


def _labels(samples: list[_Sample], ids: list[str], where: str) -> NDArray[np.int64] | None:
    labels = [sample.label for sample in samples]
    without = [name for name, label in zip(ids, labels, strict=True) if label is None]
    if len(without) == len(labels):
        return None
    if without:
        raise NsbenchError(f"the image {without[0]} of {where} has no label file .cls: add it")
    return np.array(labels, dtype=np.int64)
