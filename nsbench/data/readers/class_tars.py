"""ImageNet's training images as its archive unpacks to: one tar a class."""

import os
import re
from pathlib import Path, PurePosixPath

import numpy as np

from nsbench.data.class_names import by_name
from nsbench.data.content import Storage, StoredSource
from nsbench.data.decode import is_image, utf8
from nsbench.data.found import not_images
from nsbench.data.tar_index import read_at, read_index
from nsbench.util.errors import NsbenchError

# Of WordNet; shards are named by numbers.
_CLASS = re.compile(r"n\d{8}")


def are_classes(tars: list[Path]) -> bool:
    """Whether tars are named by the classes of their images, as n01440764.tar."""
    return bool(tars) and all(_CLASS.fullmatch(tar.stem) for tar in tars)


class ClassTarsSource(StoredSource):
    """A folder of tars of one class each, such as those in ILSVRC2012_img_train.tar.

    Classes, ids and order are those of folders into which each tar is unpacked,
    `n01440764/n01440764_18.JPEG`. In the label space `indices` there are none.
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
            for name in images:
                row = index.rows[name]
                ids.append(utf8(f"{tar.stem}/{name}", str(tar)))
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
