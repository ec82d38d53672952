"""What one cell is for each kind of suite: the changed images, batch by batch."""

import os
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from nsbench import perturbations
from nsbench.corruptions import corrupt, jpeg, package
from nsbench.data.loaders import clean_crops
from nsbench.data.sources import Source
from nsbench.data.transforms import Preprocessing
from nsbench.errors import NsbenchError
from nsbench.progress import stage
from nsbench.suite import CorruptionSuite

IN_MEMORY = 2**30
LOADERS = 2


class Batch(NamedTuple):
    """Rows of the image list, and their images as uint8 (B, 3, S, S)."""

    rows: slice
    images: torch.Tensor


Crops = NDArray[np.uint8]


def load_crops(
    source: Source, indices: NDArray[np.int64], sizes: list[Preprocessing]
) -> list[Crops]:
    """The centre crops (N, 3, S, S) of the images at each size, every image decoded once.

    More than 1 GiB goes to a temporary file that is mapped into memory.
    """
    arrays = [_allocate((len(indices), 3, size.image_size, size.image_size)) for size in sizes]
    with stage(f"images of {source.name}", len(indices)) as advance:
        for row, crops in enumerate(clean_crops(source, indices, sizes)):
            for array, crop in zip(arrays, crops, strict=True):
                array[row] = crop
            advance()
    return arrays


def _allocate(shape: tuple[int, ...]) -> Crops:
    if np.prod(shape) <= IN_MEMORY:
        return np.empty(shape, np.uint8)
    with tempfile.TemporaryFile() as file:
        try:
            os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)))  # or a full disk is a crash
        except OSError as error:
            raise NsbenchError(
                f"the images need {np.prod(shape) / 2**30:.1f} GiB in {tempfile.gettempdir()}: "
                f"{error.strerror}; make room there or set TMPDIR"
            ) from error
        return np.memmap(file, np.uint8, "r+", shape=shape)


def batches(count: int, size: int) -> list[slice]:
    """The row ranges of consecutive batches."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def clean_batches(crops: Crops, size: int) -> Iterator[Batch]:
    """The images as they are."""
    for rows in batches(len(crops), size):
        yield Batch(rows, torch.from_numpy(np.ascontiguousarray(crops[rows])))


class _Corrupted(Dataset[torch.Tensor]):
    def __init__(
        self, suite: CorruptionSuite, crops: Crops, ids: list[str], todo: list[tuple[str, slice]]
    ) -> None:
        self._suite, self._crops, self._ids, self._todo = suite, crops, ids, todo

    def __len__(self) -> int:
        return len(self._todo)

    def __getitem__(self, index: int) -> torch.Tensor:
        cell, rows = self._todo[index]
        name, severity = cell.split("/")
        return torch.from_numpy(
            np.stack(
                [
                    self._one(self._crops[row], name, int(severity), self._ids[row])
                    for row in range(rows.start, rows.stop)
                ]
            )
        )

    def _one(self, image: Crops, name: str, severity: int, image_id: str) -> Crops:
        changed = package.corrupt(image, name, severity, image_id, self._suite.seed)
        quality = self._suite.jpeg_quality
        return package.jpeg(changed, quality) if quality else changed


def corrupted_batches(
    suite: CorruptionSuite,
    crops: Crops,
    ids: list[str],
    cells: list[str],
    size: int,
    device: torch.device,
) -> Iterator[tuple[str, Batch]]:
    """Every batch of every cell in order, corrupted on the device or by the package."""
    todo = [(cell, rows) for cell in cells for rows in batches(len(crops), size)]
    make = _by_package if suite.generator == "imagecorruptions" else _on_device
    for (cell, rows), images in zip(todo, make(suite, crops, ids, todo, device), strict=True):
        yield cell, Batch(rows, images)


def _on_device(
    suite: CorruptionSuite,
    crops: Crops,
    ids: list[str],
    todo: list[tuple[str, slice]],
    device: torch.device,
) -> Iterator[torch.Tensor]:
    for cell, rows in todo:
        name, severity = cell.split("/")
        images = torch.from_numpy(np.ascontiguousarray(crops[rows])).to(device, non_blocking=True)
        changed = corrupt(images, name, int(severity), ids=ids[rows], seed=suite.seed)
        yield jpeg(changed, suite.jpeg_quality) if suite.jpeg_quality else changed


def _by_package(
    suite: CorruptionSuite,
    crops: Crops,
    ids: list[str],
    todo: list[tuple[str, slice]],
    device: torch.device,
) -> Iterator[torch.Tensor]:
    """Ahead of their use, by worker processes, as the package does one image at a time."""
    # compiled once, before the workers are forked from this process
    package.corrupt(np.zeros((3, 32, 32), np.uint8), "glass_blur", 1, "warm-up")
    yield from DataLoader(
        _Corrupted(suite, crops, ids, todo),
        batch_size=None,
        num_workers=LOADERS,
        multiprocessing_context="fork",
    )


def perturbed_batches(
    name: str, crops: Crops, ids: list[str], seed: int, size: int
) -> Iterator[Iterator[torch.Tensor]]:
    """For each batch of images, its frames one after the other."""
    for batch in clean_batches(crops, size):
        chosen = ids[batch.rows.start : batch.rows.stop]
        yield perturbations.frames(batch.images, name, ids=chosen, seed=seed)
