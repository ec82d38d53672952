"""SVHN in the MATLAB files that its authors released."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.content import Storage, StoredSource, of_rows
from nsbench.data.readers.split_files import numbered_ids
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.files import cached_while_unchanged

Pixels = NDArray[np.uint8]
SVHN = "_32x32.mat"


class SvhnSource(StoredSource):
    """The cropped digits of SVHN, a file such as `train_32x32.mat` (Netzer et al. 2011).

    It is a MATLAB 5 file of `X`, uint8 (32, 32, 3, N), and `y`, (N, 1), in which 10 is the digit 0.
    Labels are the digits, which are the names of the classes too. Ids are `train-00000000` and so
    on. All images are in memory once, 1.6 GB of the 531,131 extra ones.
    Raises NsbenchError if the file is not one of these.
    """

    def __init__(self, path: Path, label_space: str = "names") -> None:
        images, digits = _svhn(path)
        self.name, self._path = str(path), path
        self.labels: NDArray[np.int64] | None = digits
        self.classes = tuple("0123456789") if label_space == "names" else None
        self.ids = numbered_ids(path, SVHN, len(images))

    @property
    def storage(self) -> Storage:
        """The file."""
        return of_rows(self._path, len(self.ids))

    def raw(self, index: int) -> bytes:
        """The pixels of an image, (32, 32, 3)."""
        images, _ = _svhn(self._path)
        pixels: bytes = images[index].tobytes()
        return pixels

    def image(self, index: int) -> Image.Image:
        """RGB image as stored."""
        images, _ = _svhn(self._path)
        return Image.fromarray(np.ascontiguousarray(images[index]))


@cached_while_unchanged(3)  # train, test and extra
def _svhn(path: Path) -> tuple[Pixels, NDArray[np.int64]]:
    """Images (N, 32, 32, 3), each of which is one piece of memory, and digits (N,)."""
    from scipy.io import loadmat  # slow to import, and not needed for other sources

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
    # MATLAB has the last index slowest, so that this moves nothing. % 10: the digit 0 is stored as
    # 10.
    return images.transpose(3, 0, 1, 2), labels.ravel().astype(np.int64) % 10


def _shown(array: NDArray[Any] | None) -> str:
    return "nothing" if array is None else f"{array.dtype} {array.shape}"
