"""One tar a class, as the archive of ImageNet's training images unpacks to."""

import os
import re
from pathlib import Path, PurePosixPath

import numpy as np

from nsbench.data.class_names import by_name
from nsbench.data.content import Storage, StoredSource
from nsbench.data.decode import is_hidden, is_image, utf8
from nsbench.data.found import not_images
from nsbench.data.layout import SPLITS
from nsbench.data.tar_index import index_of, read_at, read_index
from nsbench.util.errors import NsbenchError

# Of WordNet; shards are named by numbers, after what all of them are called.
_WNID = re.compile(r"n\d{8}")
_NUMBER = re.compile(r"[-_.]?\d+")


def are_classes(tars: list[Path]) -> bool:
    """Whether tars are named by the classes of their images, as n01440764.tar or cat.tar.

    Those of WordNet's names are. Others are where the first holds nothing but images, as a shard
    with labels does not, and is the folder of its name, or no two names differ in numbers alone.
    """
    if tars and all(_WNID.fullmatch(tar.stem) for tar in tars):
        return True
    if len(tars) < 2:  # one alone is a shard
        return False
    names = [name for name in index_of(tars[0]).names if not is_hidden(name)]
    if not names or not all(map(is_image, names)):
        return False
    if _base(names) == tars[0].stem:
        return True
    words = {_NUMBER.sub("", tar.stem).lower() for tar in tars}
    return len(words) == len(tars) and not words <= SPLITS


def _base(names: list[str]) -> str:
    """The folder at the top of an archive that holds all of it; empty if there is none."""
    tops = {PurePosixPath(name).parts[:-1][:1] for name in names}
    return next(iter(tops))[0] if len(tops) == 1 and () not in tops else ""


class ClassTarsSource(StoredSource):
    """A folder of tars of one class each, such as those in ILSVRC2012_img_train.tar.

    Classes, ids and order are those of folders into which each tar is unpacked,
    `n01440764/n01440764_18.JPEG`, or of the folder of that name which the tar holds. In the label
    space `indices` the names are class indices.
    """

    def __init__(self, path: Path, tars: list[Path], label_space: str = "names") -> None:
        self.name, self._path, self._tars = str(path), path, tars
        ids: list[str] = []
        others: list[str] = []
        spans: list[tuple[int, int, int]] = []
        for number, tar in enumerate(tars):
            index = read_index(tar)
            others += [PurePosixPath(name).name for name in index.names if not is_image(name)]
            images = sorted(name for name in index.names if is_image(name))
            if not images:
                raise NsbenchError(f"{tar} holds no images: fetch it again, or remove it")
            inside = f"{tar.stem}/" if _base(images) == tar.stem else ""
            for name in images:
                row = index.rows[name]
                ids.append(utf8(f"{tar.stem}/{name.removeprefix(inside)}", str(tar)))
                spans.append((number, int(index.offsets[row]), int(index.sizes[row])))
        self.ids, self._spans = ids, np.array(spans, dtype=np.int64)
        self.classes, self.labels = by_name(
            [name.partition("/")[0] for name in ids], label_space, str(path)
        )
        self.passed_over = not_images(others)

    @property
    def storage(self) -> Storage:
        """The tars."""
        names = [tar.name for tar in self._tars]
        return Storage(os.path.abspath(self._path), self._path, names, self._spans)

    def raw(self, index: int) -> bytes:
        """A member's bytes. Raises NsbenchError."""
        tar, offset, size = self._spans[index].tolist()
        return read_at(self._tars[tar], offset, size)
