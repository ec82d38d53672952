"""The pixels of a suite's images: every image decoded once, at every size that is asked for."""

import os
import tempfile
from collections.abc import Sequence
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.data.loaders import clean_views
from nsbench.data.sources import Source
from nsbench.data.transforms import Preprocessing
from nsbench.errors import NsbenchError
from nsbench.progress import stage

IN_MEMORY = 2**30

Crops = NDArray[np.uint8]
View = Preprocessing | int
"""A centre crop, or the short side in pixels of a whole image."""


class Wholes:
    """Whole images, uint8 (3, H, W) of different H and W, in one file mapped into memory."""

    def __init__(self, pixels: Crops, shapes: Sequence[tuple[int, ...]], starts: list[int]) -> None:
        self._pixels, self._shapes, self._starts = pixels, shapes, starts

    def __len__(self) -> int:
        return len(self._shapes)

    def __getitem__(self, row: int) -> Crops:
        shape, start = self._shapes[row], self._starts[row]
        image: Crops = self._pixels[start : start + int(np.prod(shape))].reshape(shape)
        return image

    def take(self, rows: Sequence[int]) -> "Wholes":
        """Only some images, in this order; the pixels are not copied."""
        shapes = [self._shapes[row] for row in rows]
        return Wholes(self._pixels, shapes, [self._starts[row] for row in rows])


class _CropWriter:
    def __init__(self, count: int, size: int) -> None:
        self._array, self._next = _allocate((count, 3, size, size)), 0

    def add(self, image: Crops) -> None:
        self._array[self._next] = image
        self._next += 1

    def done(self) -> Crops:
        return self._array


class _WholeWriter:
    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the map outlives a block
        self._shapes: list[tuple[int, ...]] = []

    def add(self, image: Crops) -> None:
        try:
            self._file.write(image.data)
        except OSError as error:
            raise _no_room(self._file.tell(), error) from error
        self._shapes.append(image.shape)

    def done(self) -> Wholes:
        self._file.flush()
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        starts = np.cumsum([0, *sizes])[:-1].tolist()
        return Wholes(np.memmap(self._file, np.uint8, "r"), self._shapes, starts)


def load_images(
    source: Source, indices: NDArray[np.int64], views: Sequence[View]
) -> list[Crops | Wholes]:
    """The images in each view: crops (N, 3, S, S), or whole images; each is decoded once.

    More than 1 GiB of crops, and all whole images, go to a temporary file mapped into memory.
    """
    writers = [
        _WholeWriter() if isinstance(view, int) else _CropWriter(len(indices), view.image_size)
        for view in views
    ]
    with stage(f"images of {source.name}", len(indices)) as advance:
        for made in clean_views(source, indices, views):
            for writer, image in zip(writers, made, strict=True):
                writer.add(image)
            advance()
    return [writer.done() for writer in writers]


def _allocate(shape: tuple[int, ...]) -> Crops:
    size = int(np.prod(shape))
    if size <= IN_MEMORY:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile() as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # or a full disk is a crash
        except OSError as error:
            raise _no_room(size, error) from error
        return np.memmap(file, np.uint8, "r+", shape=shape)


def _no_room(size: int, error: OSError) -> NsbenchError:
    return NsbenchError(
        f"the images need {size / 2**30:.1f} GiB or more in {tempfile.gettempdir()}: "
        f"{error.strerror}; make room there or set TMPDIR"
    )


def as_tensor(crops: Crops, rows: slice) -> torch.Tensor:
    """Some crops as a tensor of their own memory."""
    return torch.from_numpy(np.ascontiguousarray(crops[rows]))
