"""SVHN and STL-10 in the files that their authors released."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.files import fingerprint

Pixels = NDArray[np.uint8]
SVHN = "_32x32.mat"
STL10 = "_X.bin"
STL10_SHAPE = (3, 96, 96)  # channels, columns, rows


def file_of_split(folder: Path, split: str | None, ending: str) -> Path:
    """The file of a split, `SPLIT` and the ending. Raises NsbenchError: which splits there are."""
    there = sorted(path.name.removesuffix(ending) for path in folder.glob(f"*{ending}"))
    if split not in there:
        wrong = f"has no {split}{ending}" if split else "holds several splits"
        raise NsbenchError(f"{folder} {wrong}: set split to one of {', '.join(there)}")
    return folder / f"{split}{ending}"


class SvhnSource:
    """The cropped digits of SVHN, a file such as `train_32x32.mat` (Netzer et al. 2011).

    It is a MATLAB 5 file of `X`, uint8 (32, 32, 3, N), and `y`, (N, 1), in which 10 is the digit 0.
    Labels are the digits, which are the names of the classes too. Ids are `train-00000000` and so
    on. All images are in memory once, 1.6 GB of the 531,131 extra ones.
    Raises NsbenchError if the file is no such one.
    """

    def __init__(self, path: Path, label_space: str = "names") -> None:
        images, digits = _svhn(path)
        self.name, self._path = str(path), path
        self.labels: NDArray[np.int64] | None = digits
        self.classes = tuple("0123456789") if label_space == "names" else None
        self.ids = _numbered(path, SVHN, len(images))
        self.version = _version(path)

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> Image.Image:
        """RGB image as stored."""
        images, _ = _svhn(self._path)
        return Image.fromarray(np.ascontiguousarray(images[index]))


class Stl10Source:
    """The images of a file of STL-10 such as `train_X.bin` (Coates et al. 2011).

    Images are 3 x 96 x 96 bytes each, a channel's columns one after the other; the file is mapped
    into memory. Labels from 1 are in `train_y.bin`, class names are the lines of `class_names.txt`;
    without labels, as in `unlabeled_X.bin`, there are neither. Ids are `train-00000000` and so on.
    Raises NsbenchError if a file is missing, cut off, or does not fit the others.
    """

    def __init__(self, path: Path, label_space: str = "names") -> None:
        self.name, self._path = str(path), path
        self.ids = _numbered(path, STL10, len(_stl10(path)))
        beside = path.with_name(path.name.removesuffix(STL10) + "_y.bin")
        versions = [_version(path)]
        self.classes: tuple[str, ...] | None = None
        self.labels: NDArray[np.int64] | None = None
        if beside.is_file():
            names = _class_names(path.with_name("class_names.txt"))
            self.classes = names if label_space == "names" else None
            self.labels = _stl10_labels(beside, len(self.ids), len(names))
            versions.append(_version(beside))
        elif not path.name.startswith("unlabeled"):
            raise NsbenchError(f"{path} has no labels {beside.name} beside it: fetch them too")
        self.version = fingerprint(versions)

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> Image.Image:
        """RGB image as stored."""
        return Image.fromarray(np.ascontiguousarray(_stl10(self._path)[index].transpose(2, 1, 0)))


def _numbered(path: Path, ending: str, count: int) -> list[str]:
    stem = path.name.removesuffix(ending).removesuffix(".mat")
    return [f"{stem}-{index:08d}" for index in range(count)]


def _version(path: Path) -> str:
    stat = path.stat()
    return fingerprint([path.name, stat.st_size, stat.st_mtime_ns])


def _svhn(path: Path) -> tuple[Pixels, NDArray[np.int64]]:
    """Images (N, 32, 32, 3), each of which is one piece of memory, and digits (N,)."""
    return _read_svhn(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=3)
def _read_svhn(path: Path, _: int) -> tuple[Pixels, NDArray[np.int64]]:
    # kept here and not in an object, so that objects sent to worker processes hold no pixels
    from scipy.io import loadmat

    try:
        held: dict[str, Any] = loadmat(path, variable_names=["X", "y"])
    except Exception as error:  # SciPy raises many kinds for files that are cut off or no MATLAB's
        raise NsbenchError(
            f"{path} cannot be read ({first_line(error)}): remove it and fetch it again"
        ) from error
    images, labels = held.get("X"), held.get("y")
    if images is None or images.dtype != np.uint8 or images.shape[:-1] != (32, 32, 3):
        raise NsbenchError(
            f"{path} holds {_shown(images)} as X, but SVHN's images are uint8 (32, 32, 3, N): "
            "fetch the file of cropped digits"
        )
    count = images.shape[-1]
    if labels is None or labels.size != count or not np.isin(labels, range(1, 11)).all():
        raise NsbenchError(
            f"{path} holds {_shown(labels)} as y, but its {count} images need as many labels from "
            "1 to 10: fetch the released file"
        )
    # MATLAB has the last index slowest, so that this moves nothing
    return images.transpose(3, 0, 1, 2), labels.ravel().astype(np.int64) % 10


def _shown(array: NDArray[Any] | None) -> str:
    return "nothing" if array is None else f"{array.dtype} {array.shape}"


def _stl10(path: Path) -> Pixels:
    """Images (N, 3, columns, rows)."""
    return _map_stl10(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=3)
def _map_stl10(path: Path, _: int) -> Pixels:
    size, each = path.stat().st_size, int(np.prod(STL10_SHAPE))
    if not size or size % each:
        raise NsbenchError(
            f"{path} has {size} bytes, but STL-10's images are {each} each: fetch it again"
        )
    return np.memmap(path, np.uint8, "r", shape=(size // each, *STL10_SHAPE))


def _stl10_labels(path: Path, count: int, classes: int) -> NDArray[np.int64]:
    labels = np.frombuffer(path.read_bytes(), np.uint8).astype(np.int64) - 1
    if len(labels) != count or labels.min() < 0 or labels.max() >= classes:
        raise NsbenchError(
            f"{path} holds {len(labels)} labels, but {count} images need as many from 1 to "
            f"{classes}, a byte each: fetch it again"
        )
    return labels


def _class_names(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise NsbenchError(
            f"cannot read the class names {path} ({first_line(error)}): fetch them again"
        ) from error
