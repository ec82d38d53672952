"""The images of each step: from memory where they fit and never change, else by workers."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from nsbench.augment.keys import image_keys
from nsbench.augment.pipeline import Augmentation
from nsbench.data.open import Source
from nsbench.data.prefetch import prefetch_map
from nsbench.pseudo_labels.pipeline import PseudoLabeledSet
from nsbench.pseudo_labels.targets import SparseTargets
from nsbench.pseudo_labels.true_labels import TrueLabels
from nsbench.util import distributed
from nsbench.util.device import free_memory, sent
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import stage
from nsbench.util.randomness import feistel_permutation, stable_hash

RESIDENT_SHARE = 0.5
"""The share that images may fill of the memory that a step leaves free. The step is estimated: the
other half is for what kernels need meanwhile and for the exchange of gradients. The batches are the
same either way."""

PART = 256
"""Images that are copied to the device together; the machine's memory holds no more of them."""


@dataclass(frozen=True)
class Labeled:
    """Labeled images: indices into their source (N,), and the class of each (N,)."""

    indices: NDArray[np.int64]
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    def images(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of the rows' images in their source."""
        return self.indices[rows]


Examples = Labeled | PseudoLabeledSet | TrueLabels


@dataclass(frozen=True)
class ShuffledSampler:
    """An endless shuffled walk over the rows of `examples`, `batch_size` of them a step.

    The walk is cut into epochs, each with an order of its own. batch_size counts the images of all
    processes together.
    """

    name: str
    source: Source
    examples: Examples
    batch_size: int

    def rows(self, seed: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows at the given positions of the walk."""
        epochs, offsets = np.divmod(positions, len(self.examples))
        rows = np.empty_like(offsets)
        # A step may reach over the end of an epoch, and takes rows of two orders then.
        for epoch in np.unique(epochs).tolist():
            in_epoch = epochs == epoch
            # Computed for the offsets alone: no order of all rows is held in memory. The name is
            # among the keys, so that labeled and unlabeled images are shuffled independently.
            rows[in_epoch] = feistel_permutation(
                offsets[in_epoch], len(self.examples), seed, self.name, epoch
            )
        return rows


class TrainingBatch(NamedTuple):
    """What one forward pass sees, labeled images first.

    images: uint8 (B + U, 3, S, S). keys: of their random draws, uint64 (B + U,). labels: int64
    (B,). targets: of the other U.
    """

    images: torch.Tensor
    keys: NDArray[np.uint64]
    labels: torch.Tensor
    targets: SparseTargets | None


@dataclass(frozen=True)
class BatchPlan:
    """Which images each forward pass of a generation sees.

    A step is computed in `parts` passes, and shared by all processes: each takes the same share of
    the labeled and of the unlabeled images.
    """

    labeled: ShuffledSampler
    unlabeled: ShuffledSampler | None
    seed: int
    parts: int = 1
    rank: int = field(default_factory=distributed.rank)
    processes: int = field(default_factory=distributed.size)

    @property
    def samplers(self) -> list[ShuffledSampler]:
        """The labeled sampler, and the unlabeled one if there is one."""
        return [self.labeled, self.unlabeled] if self.unlabeled else [self.labeled]

    @property
    def images_at_once(self) -> int:
        """How many images a forward pass has."""
        return sum(len(self.positions(sampler, 0)) for sampler in self.samplers)

    def positions(self, sampler: ShuffledSampler, item: int) -> NDArray[np.int64]:
        """The positions in a sampler of this process's `item`-th forward pass."""
        step, part = divmod(item, self.parts)
        # Processes and parts only cut a step's images into shares, all of one size as `check` saw
        # to: any number of them makes the same update from the same images.
        shares = self.parts * self.processes
        count = sampler.batch_size // shares
        first = step * sampler.batch_size + (self.rank * self.parts + part) * count
        return np.arange(first, first + count)

    def rows(self, item: int) -> list[NDArray[np.int64]]:
        """The rows of each sampler that this process's `item`-th forward pass sees."""
        return [sampler.rows(self.seed, self.positions(sampler, item)) for sampler in self.samplers]

    def keys(self, item: int) -> NDArray[np.uint64]:
        """The keys of the images of a forward pass."""
        # By position in the walk, not by image: one that comes again is augmented differently.
        return np.concatenate(
            [image_keys(self.seed, s.name, self.positions(s, item)) for s in self.samplers]
        )

    def batch(
        self, item: int, rows: list[NDArray[np.int64]], images: torch.Tensor
    ) -> TrainingBatch:
        """A forward pass's batch: its images, which are of these rows, with keys and targets."""
        labeled, unlabeled = self.labeled.examples, self.unlabeled
        # For the type checker: a sampler holds examples of either kind, a plan one of each.
        assert isinstance(labeled, Labeled)
        labels = torch.from_numpy(labeled.classes[rows[0]])
        targets = None
        if unlabeled:
            assert not isinstance(unlabeled.examples, Labeled)
            targets = unlabeled.examples.targets(rows[1])
        return TrainingBatch(images, self.keys(item), labels, targets)


def training_batches(
    plan: BatchPlan,
    augmentation: Augmentation,
    steps: range,
    workers: int,
    device: torch.device,
    step_bytes: int = 0,
) -> Iterator[TrainingBatch]:
    """The forward passes of some steps in order, their images on the device but not yet augmented.

    step_bytes: what a step takes of the device's memory. Images that never change stay there if
    they fill at most `RESIDENT_SHARE` of what is free beside it, in every process; else they are
    read for each step. The batches are the same wherever the images come from.
    Raises the NsbenchError of a bad image.
    """
    items = range(steps.start * plan.parts, steps.stop * plan.parts)
    # Fixed: reading gives the same pixels every time, so that once is enough.
    # All processes alike, as the slowest one sets the pace.
    if augmentation.fixed and distributed.everyone(_fits(plan, augmentation, device, step_bytes)):
        return _resident_batches(plan, augmentation, items, device)
    return _read_batches(plan, augmentation, items, workers, device)


def _fits(
    plan: BatchPlan, augmentation: Augmentation, device: torch.device, step_bytes: int
) -> bool:
    # Balanced classes repeat images, of which each is held once.
    images = sum(min(len(sampler.examples), len(sampler.source)) for sampler in plan.samplers)
    # A byte a value: images stay uint8 until they are augmented and normalised.
    needed = images * 3 * augmentation.image_size**2
    return needed <= RESIDENT_SHARE * (free_memory(device) - step_bytes)


class _Resident:
    """The images of a sampler's rows on the device, each held once."""

    def __init__(
        self, sampler: ShuffledSampler, augmentation: Augmentation, device: torch.device
    ) -> None:
        self._examples = sampler.examples
        rows = np.arange(len(sampler.examples))
        # An image that is taken several times is held once.
        self._indices = np.unique(sampler.examples.images(rows))
        side = augmentation.image_size
        shape = len(self._indices), 3, side, side
        self._images = torch.empty(shape, dtype=torch.uint8, device=device)
        # Seed 0, which has no effect: a fixed augmentation draws nothing as it reads.
        read = prefetch_map(
            lambda index: augmentation.read(sampler.source.image(index), 0), self._indices.tolist()
        )
        with stage(f"reading {sampler.name} images", len(self._indices)) as advance:
            # In parts: every process of a machine does this, and the machine may have less memory
            # than its devices.
            for part in self._images.split(PART):
                part.copy_(torch.from_numpy(np.stack(list(islice(read, len(part))))))
                advance(len(part))

    def images(self, rows: NDArray[np.int64]) -> torch.Tensor:
        """The images of the given rows."""
        # np.unique has sorted the indices, so that a binary search finds where an image is held.
        held_at = np.searchsorted(self._indices, self._examples.images(rows))
        return self._images.index_select(0, sent(torch.from_numpy(held_at), self._images.device))


def _resident_batches(
    plan: BatchPlan, augmentation: Augmentation, items: range, device: torch.device
) -> Iterator[TrainingBatch]:
    residents = [_Resident(sampler, augmentation, device) for sampler in plan.samplers]
    for item in items:
        rows = plan.rows(item)
        images = [resident.images(part) for resident, part in zip(residents, rows, strict=True)]
        yield plan.batch(item, rows, torch.cat(images))


class _Reads(Dataset[TrainingBatch | NsbenchError]):
    """One item a forward pass: the batch, or the error of an image that cannot be read."""

    def __init__(self, plan: BatchPlan, augmentation: Augmentation, items: range) -> None:
        self._plan, self._augmentation, self._items = plan, augmentation, items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> TrainingBatch | NsbenchError:
        item, plan = self._items[index], self._plan
        rows = plan.rows(item)
        try:
            images = [
                image
                for sampler, part in zip(plan.samplers, rows, strict=True)
                for image in self._images(sampler, part, item)
            ]
        except NsbenchError as error:  # raised in the main process, where the sentence survives
            return error
        return plan.batch(item, rows, torch.from_numpy(np.stack(images)))

    def _images(
        self, sampler: ShuffledSampler, rows: NDArray[np.int64], item: int
    ) -> Iterator[NDArray[np.uint8]]:
        labeled = sampler is self._plan.labeled
        augmentation = self._augmentation if labeled else self._augmentation.unlabeled
        indices = sampler.examples.images(rows)
        positions = self._plan.positions(sampler, item)
        for index, position in zip(indices.tolist(), positions.tolist(), strict=True):
            # By position as well, so that it does not matter which worker reads the image.
            seed = stable_hash(self._plan.seed, sampler.name, position)
            yield augmentation.read(sampler.source.image(index), seed)


def _read_batches(
    plan: BatchPlan, augmentation: Augmentation, items: range, workers: int, device: torch.device
) -> Iterator[TrainingBatch]:
    loader = DataLoader(
        _Reads(plan, augmentation, items),
        batch_size=None,  # items are whole batches already
        collate_fn=_as_it_is,
        num_workers=workers,
        prefetch_factor=4 if workers else None,  # evens out images of different sizes
        pin_memory=device.type == "cuda",  # so that the copy need not wait for the device
        worker_init_fn=_ignore_ctrl_c,
    )
    for batch in loader:
        if isinstance(batch, NsbenchError):
            raise batch
        # uint8 over the bus, a quarter of the bytes of float32; the rest is done on the device.
        yield batch._replace(images=batch.images.to(device, non_blocking=True))


def _ignore_ctrl_c(_: int) -> None:
    # The main process finishes its step, for which it needs the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _as_it_is(batch: Any) -> Any:
    """The batch itself; the default collate function would convert labels and keys to tensors."""
    return batch
