"""Images in NumPy arrays, mapped into memory and never unpickled."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.class_names import listed_classes
from nsbench.data.content import Storage, StoredSource, of_rows
from nsbench.data.decode import refuse_long
from nsbench.data.tar_index import TarPath
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.files import cached_while_unchanged, leads_nowhere, plain
from nsbench.util.npy import map_npy


def mapped(path: Path | TarPath) -> NDArray[np.uint8]:
    """An array of a .npy file, also of one inside a tar, mapped into memory.

    Raises NsbenchError naming the file if that cannot be.
    """
    try:
        return _mapped_inside(path.archive, path) if isinstance(path, TarPath) else _mapped(path)
    except NsbenchError:
        raise
    except Exception as error:  # NumPy parses the header as Python, which fails in any way
        broken = leads_nowhere(path) if isinstance(path, Path) else None
        why = f"it is {broken}" if broken else first_line(error)
        raise NsbenchError(
            f"{path} cannot be read ({why}): remove it and make or fetch it again"
        ) from error


# 64 files: 19 corruptions and labels of three sets. A map takes no memory by itself.
@cached_while_unchanged(64)
def _mapped(path: Path) -> NDArray[np.uint8]:
    return _filled(map_npy(path))


# The archive comes first, as the file whose changes matter.
@cached_while_unchanged(64)
def _mapped_inside(archive: Path, path: TarPath) -> NDArray[np.uint8]:
    # np.load maps whole files only; this reads the header inside the archive, and maps what
    # follows.
    start, size = path.span()
    with plain(archive).open("rb") as file:
        file.seek(start)
        major, _ = np.lib.format.read_magic(file)
        if major not in (1, 2):
            raise ValueError("its header is of an unknown version")
        read = (np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0)[major - 1]
        shape, fortran, kind = read(file)
        offset = file.tell()
    if kind.hasobject or offset + kind.itemsize * np.prod(shape, dtype=np.int64) > start + size:
        raise ValueError("it holds pickled objects, or ends too early")
    order = "F" if fortran else "C"
    # Ignored, since NumPy's stubs want the order as a literal.
    return _filled(np.memmap(archive, kind, "r", offset, shape, order))  # type: ignore[call-overload]


def _filled(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # An empty array is a file that was begun and not filled; labels of it would have no maximum.
    if not array.size:
        raise ValueError("it is empty")
    return array


class ArraySource(StoredSource):
    """Images in one .npy file, with int (N,) or (N, 1) labels in `labels.npy` beside it.

    They are uint8 (N, H, W, 3), or grey as (N, H, W, 1) or (N, H, W). Without `labels.npy` they are
    unlabeled. Class names are the lines of a `classnames.txt` beside it; without one labels are the
    model's class indices. Ids are `FILE-00000000` and so on.
    """

    def __init__(self, path: Path, label_space: str = "names") -> None:
        self.name, self._path = str(path), path
        images = mapped(path)
        _check_images(path, images)
        self.ids = [f"{path.stem}-{index:08d}" for index in range(len(images))]
        self.labels = _labels_beside(path, len(images))
        self.classes = listed_classes(path.parent, self.labels, label_space)

    @property
    def storage(self) -> Storage:
        """The file."""
        return of_rows(self._path, len(self.ids))

    def raw(self, index: int) -> bytes:
        """The pixels of a row, as stored."""
        pixels: bytes = mapped(self._path)[index].tobytes()
        return pixels

    def image(self, index: int) -> Image.Image:
        """RGB image, of equal channels if it is stored as grey."""
        pixels = np.array(mapped(self._path)[index])  # a copy off the disk
        grey = pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels
        return Image.fromarray(grey).convert("RGB")


def _check_images(path: Path, images: NDArray[np.uint8]) -> None:
    # One image (H, W, 3) would else be taken for H grey ones, 3 px wide.
    grey = images.ndim == 3 and images.shape[2] > 4
    if images.dtype != np.uint8 or not (grey or (images.ndim == 4 and images.shape[3] in (1, 3))):
        raise NsbenchError(
            f"{path} holds {images.dtype} {images.shape}, but images are uint8 (N, H, W, 3), or "
            "grey as (N, H, W) or (N, H, W, 1): store them so"
        )
    try:
        refuse_long(images.shape[2], images.shape[1])
    except ValueError as error:
        raise NsbenchError(f"the images of {path} cannot be used: {error}") from error


def _labels_beside(path: Path, count: int) -> NDArray[np.int64] | None:
    file = path.with_name("labels.npy")
    if not file.is_file() and not file.is_symlink():  # a link to nothing is an error below
        return None
    labels = mapped(file)
    if labels.shape == (count, 1):  # a column, as some libraries keep them
        labels = labels[:, 0]
    if labels.dtype.kind not in "iu" or labels.shape != (count,) or labels.min() < 0:
        raise NsbenchError(
            f"{file} holds {labels.dtype} {labels.shape}, but the {count} images of {path} need as "
            "many whole numbers from 0"
        )
    return labels.astype(np.int64)
