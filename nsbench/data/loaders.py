"""Batches for training and prediction, the same whatever the number of workers."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from nsbench.data.sources import Source
from nsbench.data.transforms import Preprocessing, center_crop
from nsbench.errors import NsbenchError
from nsbench.randomness import generator, stable_hash

T = TypeVar("T")
R = TypeVar("R")


class TrainingBatch(NamedTuple):
    """Labeled images first: uint8 (B + U, 3, S, S), int64 labels (B,), float targets (U, C)."""

    images: torch.Tensor
    labels: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True)
class Stream:
    """An endless shuffled walk over `indices` of a source, `batch_size` images a step.

    targets: int64 labels (N,) or float distributions (N, C), one row for each index.
    """

    name: str
    source: Source
    indices: NDArray[np.int64]
    targets: NDArray[np.generic]
    batch_size: int

    def rows(self, seed: int, step: int) -> list[tuple[int, int]]:
        """(position in the walk, row of `indices`) of a step's images."""
        first = step * self.batch_size
        count = len(self.indices)
        positions = range(first, first + self.batch_size)
        return [(p, int(_order(seed, self.name, p // count, count)[p % count])) for p in positions]


@lru_cache(maxsize=4)
def _order(seed: int, name: str, epoch: int, count: int) -> NDArray[np.int64]:
    return generator(seed, name, epoch).permutation(count)


class TrainingBatches(Dataset[TrainingBatch | NsbenchError]):
    """One item a step: the augmented batch, or the error of an image that cannot be read."""

    def __init__(
        self,
        labeled: Stream,
        unlabeled: Stream | None,
        transform: Callable[[Image.Image, int], NDArray[np.uint8]],
        seed: int,
        steps: int,
    ) -> None:
        self._labeled, self._unlabeled = labeled, unlabeled
        self._transform, self._seed, self._steps = transform, seed, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> TrainingBatch | NsbenchError:
        try:
            images, labels = self._load(self._labeled, step)
            targets: NDArray[np.generic] = np.empty((0, 0), np.float32)
            if self._unlabeled:
                more, targets = self._load(self._unlabeled, step)
                images = np.concatenate([images, more])
        except NsbenchError as error:  # raised in the main process, where the sentence survives
            return error
        return TrainingBatch(*map(torch.from_numpy, (images, labels, targets)))

    def _load(self, stream: Stream, step: int) -> tuple[NDArray[np.uint8], NDArray[np.generic]]:
        rows = stream.rows(self._seed, step)
        images = [
            self._transform(
                stream.source.image(int(stream.indices[row])),
                stable_hash(self._seed, stream.name, position),
            )
            for position, row in rows
        ]
        return np.stack(images), stream.targets[[row for _, row in rows]]


def training_batches(batches: TrainingBatches, workers: int) -> Iterator[TrainingBatch]:
    """The batches in order, made by worker processes. Raises the NsbenchError of a bad image."""
    loader = DataLoader(
        batches,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=torch.cuda.is_available(),
    )
    for batch in loader:
        if isinstance(batch, NsbenchError):
            raise batch
        yield batch


def clean_crops(
    source: Source, indices: NDArray[np.int64], size: Preprocessing
) -> Iterator[NDArray[np.uint8]]:
    """The centre crop of each image, in order; several threads read ahead."""
    return in_order(lambda index: center_crop(source.image(index), size), indices.tolist())


def in_order(work: Callable[[T], R], items: Iterable[T], ahead: int = 256) -> Iterator[R]:
    """The results of `work` in the order of the items; several threads work ahead."""
    with ThreadPoolExecutor() as pool:
        todo = iter(items)
        started = deque(pool.submit(work, item) for item in islice(todo, ahead))
        try:
            while started:
                done = started.popleft().result()
                started.extend(pool.submit(work, item) for item in islice(todo, 1))
                yield done
        finally:
            for task in started:
                task.cancel()
