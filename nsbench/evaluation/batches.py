"""What one cell is for each kind of suite: the changed images, batch by batch."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from nsbench import perturbations
from nsbench.corruptions import corrupt, jpeg, package
from nsbench.data.prefetch import in_order
from nsbench.evaluation.decoded_file import Array, Pixels
from nsbench.evaluation.options import Options
from nsbench.evaluation.released_files import FilesOf, Todo, parts
from nsbench.suites.load import CorruptionSuite, PerturbationSuite

LOADERS = 2
AHEAD = 3


def batches(count: int, size: int) -> list[slice]:
    """The row ranges of consecutive batches."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


class Batch(NamedTuple):
    """Rows of this process's images, and the images on the device as uint8 (B, 3, S, S)."""

    rows: slice
    images: torch.Tensor


def clean_batches(crops: Pixels, options: Options) -> Iterator[Batch]:
    """The images as they are."""
    todo = batches(len(crops), options.batch_size)
    yield from map(Batch, todo, on_device(crops, todo, options.device))


def on_device(crops: Pixels, todo: Sequence[slice], device: torch.device) -> Iterator[torch.Tensor]:
    """Batches of clean images on the device; a thread reads the next ones meanwhile."""
    if device.type == "cpu":
        yield from map(crops.batch, todo)
        return
    for images in in_order(lambda rows: crops.batch(rows).pin_memory(), todo, ahead=AHEAD):
        yield images.to(device, non_blocking=True)


class Corrupted:
    """The corrupted images of a suite: made on the device, by the package, or read from files."""

    def __init__(
        self,
        suite: CorruptionSuite,
        crops: Pixels | None,
        ids: list[str],
        options: Options,
        files: FilesOf | None = None,
    ) -> None:
        self._suite, self._crops, self._ids = suite, crops, ids
        self._options, self._files = options, files

    def batches(self, cells: Sequence[str]) -> Iterator[Batch]:
        """Every batch of every cell, in order; what can be done ahead is."""
        rows = batches(len(self._ids), self._options.batch_size)
        todo = [Todo(cell, some) for cell in cells for some in rows]
        yield from map(Batch, [some for _, some in todo], self._made(todo))

    def _made(self, todo: list[Todo]) -> Iterator[torch.Tensor]:
        if self._files:
            return (images.to(self._options.device) for images in self._files.corrupted(todo))
        if self._suite.generator == "imagecorruptions":
            return (images.to(self._options.device) for images in self._by_package(todo))
        return self._on_device(todo)

    def _on_device(self, todo: list[Todo]) -> Iterator[torch.Tensor]:
        assert self._crops is not None
        clean = on_device(self._crops, [rows for _, rows in todo], self._options.device)
        for (cell, rows), images in zip(todo, clean, strict=True):
            yield self._changed(cell, images, self._ids[rows])

    def _changed(self, cell: str, images: torch.Tensor, ids: list[str]) -> torch.Tensor:
        (name, severity), suite = parts(cell), self._suite

        def change(some: slice) -> torch.Tensor:
            made = corrupt(images[some], name, severity, ids=ids[some], seed=suite.seed)
            return jpeg(made, suite.jpeg_quality) if suite.jpeg_quality else made

        return self._options.memory.in_parts(change, len(images))

    def _by_package(self, todo: list[Todo]) -> Iterator[torch.Tensor]:
        """Ahead of their use, by worker processes, as the package does one image at a time."""
        assert self._crops is not None
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
        self, suite: CorruptionSuite, crops: Pixels, ids: list[str], todo: list[Todo]
    ) -> None:
        self._suite, self._crops, self._ids, self._todo = suite, crops, ids, todo

    def __len__(self) -> int:
        return len(self._todo)

    def __getitem__(self, index: int) -> torch.Tensor:
        cell, rows = self._todo[index]
        images = [self._one(row, *parts(cell)) for row in range(rows.start, rows.stop)]
        return torch.from_numpy(np.stack(images))

    def _one(self, row: int, name: str, severity: int) -> Array:
        image, image_id = self._crops.image(row), self._ids[row]
        changed = package.corrupt(image, name, severity, image_id, self._suite.seed)
        quality = self._suite.jpeg_quality
        return package.jpeg(changed, quality) if quality else changed


class Perturbed:
    """The clips of a suite, a frame of a batch at a time: made on the device or read from files."""

    def __init__(
        self,
        suite: PerturbationSuite,
        images: Pixels | None,
        ids: list[str],
        options: Options,
        files: FilesOf | None = None,
    ) -> None:
        self._suite, self._images, self._ids = suite, images, ids
        self._options, self._files = options, files

    def clips(self, name: str) -> Iterator[Iterator[torch.Tensor]]:
        """For each batch of images, its frames one after the other."""
        for rows in batches(len(self._ids), self._options.batch_size):
            if not self._files:
                yield self._frames(name, rows)
                continue
            for some in batches(rows.stop - rows.start, self._files.clips_at_once(name)):
                yield self._read(name, slice(rows.start + some.start, rows.start + some.stop))

    def _read(self, name: str, rows: slice) -> Iterator[torch.Tensor]:
        assert self._files is not None
        for frame in self._files.frames(name, rows):
            yield frame.to(self._options.device)

    def _frames(self, name: str, rows: slice) -> Iterator[torch.Tensor]:
        """Images of one shape are a batch of their own, put together again in each frame."""
        assert self._images is not None
        chosen = [self._images.image(row) for row in range(rows.start, rows.stop)]
        groups = _of_one_shape(chosen)
        sequences = [self._sequence(name, rows.start, chosen, group) for group in groups]
        for frames in zip(*sequences, strict=True):
            yield _merged(groups, frames)

    def _sequence(
        self, name: str, first: int, images: list[Array], group: list[int]
    ) -> Iterator[torch.Tensor]:
        suite = self._suite
        batch = torch.from_numpy(np.stack([images[place] for place in group]))
        return perturbations.frames(
            batch.to(self._options.device),
            name,
            ids=[self._ids[first + place] for place in group],
            seed=suite.seed,
            difficulty=suite.difficulty_of(name),
            size=suite.image_size,
        )


def _of_one_shape(images: list[Array]) -> list[list[int]]:
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
