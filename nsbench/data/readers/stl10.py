"""STL-10 in the binary files that its authors released."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.class_names import read_class_names
from nsbench.data.content import Storage, StoredSource, of_rows
from nsbench.data.readers.split_files import numbered_ids
from nsbench.util.errors import NsbenchError
from nsbench.util.files import cached_while_unchanged, read_plain

STL10 = "_X.bin"
STL10_SHAPE = (3, 96, 96)  # channels, columns, rows: by column, as MATLAB wrote them


class Stl10Source(StoredSource):
    """The images of a file of STL-10 such as `train_X.bin` (Coates et al. 2011).

    Images are 3 x 96 x 96 bytes each, a channel's columns one after the other; the file is mapped
    into memory. Labels from 1 are in `train_y.bin`, class names are the lines of `class_names.txt`;
    without labels, as in `unlabeled_X.bin`, there are neither. Ids are `train-00000000` and so on.
    Raises NsbenchError if a file is missing, cut off, or does not fit the others.
    """

    def __init__(self, path: Path, label_space: str = "names") -> None:
        self.name, self._path = str(path), path
        self.ids = numbered_ids(path, STL10, len(_stl10(path)))
        beside = path.with_name(path.name.removesuffix(STL10) + "_y.bin")
        self.classes: tuple[str, ...] | None = None
        self.labels: NDArray[np.int64] | None = None
        if beside.is_file():
            names = read_class_names(path.with_name("class_names.txt"))
            self.classes = names if label_space == "names" else None
            self.labels = _stl10_labels(beside, len(self.ids), len(names))
        elif not path.name.startswith("unlabeled"):  # the released split without labels
            raise NsbenchError(f"{path} has no labels {beside.name} beside it: fetch them too")

    @property
    def storage(self) -> Storage:
        """The file."""
        return of_rows(self._path, len(self.ids))

    def raw(self, index: int) -> bytes:
        """The pixels of an image as stored, (3, 96, 96)."""
        pixels: bytes = _stl10(self._path)[index].tobytes()
        return pixels

    def image(self, index: int) -> Image.Image:
        """RGB image as stored."""
        # To rows, columns, channels; contiguous, as Pillow takes it.
        return Image.fromarray(np.ascontiguousarray(_stl10(self._path)[index].transpose(2, 1, 0)))


@cached_while_unchanged(3)  # the three splits
def _stl10(path: Path) -> NDArray[np.uint8]:
    """Images (N, 3, columns, rows)."""
    size, each = path.stat().st_size, int(np.prod(STL10_SHAPE))
    if not size or size % each:
        raise NsbenchError(
            f"{path} has {size} bytes, but STL-10's images are {each} each: fetch it again"
        )
    return np.memmap(path, np.uint8, "r", shape=(size // each, *STL10_SHAPE))


def _stl10_labels(path: Path, count: int, classes: int) -> NDArray[np.int64]:
    # int64 before the subtraction: a wrong 0 becomes -1 and not 255.
    labels = np.frombuffer(read_plain(path), np.uint8).astype(np.int64) - 1
    if len(labels) != count or labels.min() < 0 or labels.max() >= classes:
        raise NsbenchError(
            f"{path} holds {len(labels)} labels, but {count} images need as many from 1 to "
            f"{classes}, a byte each: fetch it again"
        )
    return labels
