"""What one cell is for each kind of suite: the changed images, batch by batch."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from nsbench import perturbations
from nsbench.corruptions import corrupt, jpeg, package
from nsbench.evaluation.files import FilesOf, Todo, parts
from nsbench.evaluation.images import Crops, Wholes, as_tensor
from nsbench.suite import CorruptionSuite, PerturbationSuite

LOADERS = 2


class Batch(NamedTuple):
    """Rows of the image list, and their images as uint8 (B, 3, S, S)."""

    rows: slice
    images: torch.Tensor


def batches(count: int, size: int) -> list[slice]:
    """The row ranges of consecutive batches."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def clean_batches(crops: Crops, size: int) -> Iterator[Batch]:
    """The images as they are."""
    for rows in batches(len(crops), size):
        yield Batch(rows, as_tensor(crops, rows))


class Corrupted:
    """The corrupted images of a suite: made on the device, by the package, or read from files.

    crops: the clean images, uint8 (N, 3, S, S). indices: of these images in the source, for files.
    """

    def __init__(
        self,
        suite: CorruptionSuite,
        crops: Crops,
        ids: list[str],
        device: torch.device,
        files: FilesOf | None = None,
    ) -> None:
        self._suite, self._crops, self._ids = suite, crops, ids
        self._device, self._files = device, files

    def batches(self, cells: Sequence[str], size: int) -> Iterator[tuple[str, Batch]]:
        """Every batch of every cell, in order."""
        todo = [Todo(cell, rows) for cell in cells for rows in batches(len(self._ids), size)]
        for (cell, rows), images in zip(todo, self._made(todo), strict=True):
            yield cell, Batch(rows, images)

    def _made(self, todo: list[Todo]) -> Iterator[torch.Tensor]:
        if self._files:
            return self._files.corrupted(todo)
        if self._suite.generator == "imagecorruptions":
            return self._by_package(todo)
        return map(self._on_device, todo)

    def _on_device(self, todo: Todo) -> torch.Tensor:
        name, severity = parts(todo.cell)
        images = as_tensor(self._crops, todo.rows).to(self._device, non_blocking=True)
        ids = self._ids[todo.rows]
        changed = corrupt(images, name, severity, ids=ids, seed=self._suite.seed)
        return jpeg(changed, self._suite.jpeg_quality) if self._suite.jpeg_quality else changed

    def _by_package(self, todo: list[Todo]) -> Iterator[torch.Tensor]:
        """Ahead of their use, by worker processes, as the package does one image at a time."""
        # compiled once, before the workers are forked from this process
        package.corrupt(np.zeros((3, 32, 32), np.uint8), "glass_blur", 1, "warm-up")
        yield from DataLoader(
            _ByPackage(self._suite, self._crops, self._ids, todo),
            batch_size=None,
            num_workers=LOADERS,
            multiprocessing_context="fork",
        )


class _ByPackage(Dataset[torch.Tensor]):
    def __init__(
        self, suite: CorruptionSuite, crops: Crops, ids: list[str], todo: list[Todo]
    ) -> None:
        self._suite, self._crops, self._ids, self._todo = suite, crops, ids, todo

    def __len__(self) -> int:
        return len(self._todo)

    def __getitem__(self, index: int) -> torch.Tensor:
        cell, rows = self._todo[index]
        images = [self._one(row, *parts(cell)) for row in range(rows.start, rows.stop)]
        return torch.from_numpy(np.stack(images))

    def _one(self, row: int, name: str, severity: int) -> Crops:
        image_id = self._ids[row]
        changed = package.corrupt(self._crops[row], name, severity, image_id, self._suite.seed)
        quality = self._suite.jpeg_quality
        return package.jpeg(changed, quality) if quality else changed


class Perturbed:
    """The clips of a suite, a frame of a batch at a time: made on the device or read from files."""

    def __init__(
        self,
        suite: PerturbationSuite,
        images: Wholes | None,
        ids: list[str],
        device: torch.device,
        files: FilesOf | None = None,
    ) -> None:
        self._suite, self._images, self._ids = suite, images, ids
        self._device, self._files = device, files

    def clips(self, name: str, size: int) -> Iterator[Iterator[torch.Tensor]]:
        """For each batch of images, its frames one after the other."""
        if self._files:
            size = min(size, self._files.clips_at_once(name))
        for rows in batches(len(self._ids), size):
            yield self._files.frames(name, rows) if self._files else self._frames(name, rows)

    def _frames(self, name: str, rows: slice) -> Iterator[torch.Tensor]:
        """Images of one shape are a batch of their own, put together again in each frame."""
        assert self._images is not None
        chosen = [self._images[row] for row in range(rows.start, rows.stop)]
        groups = _of_one_shape(chosen)
        sequences = [self._sequence(name, rows.start, chosen, group) for group in groups]
        for parts_of_frame in zip(*sequences, strict=True):
            yield _merged(groups, parts_of_frame)

    def _sequence(
        self, name: str, first: int, images: list[Crops], group: list[int]
    ) -> Iterator[torch.Tensor]:
        suite = self._suite
        batch = torch.from_numpy(np.stack([images[p] for p in group])).to(self._device)
        return perturbations.frames(
            batch,
            name,
            ids=[self._ids[first + p] for p in group],
            seed=suite.seed,
            difficulty=suite.difficulty_of(name),
            size=suite.image_size,
        )


def _of_one_shape(images: list[Crops]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, image in enumerate(images):
        groups.setdefault(image.shape, []).append(place)
    return list(groups.values())


def _merged(groups: list[list[int]], frames: tuple[torch.Tensor, ...]) -> torch.Tensor:
    if len(groups) == 1:
        return frames[0]
    whole = frames[0].new_empty((sum(map(len, groups)), *frames[0].shape[1:]))
    for group, frame in zip(groups, frames, strict=True):
        whole[group] = frame
    return whole
