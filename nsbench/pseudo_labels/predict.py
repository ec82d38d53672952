"""A teacher's predictions on unlabeled images, streamed into a store by any number of processes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nsbench.data.open import Source
from nsbench.data.prefetch import prefetch_map
from nsbench.data.transforms import center_crop
from nsbench.models import Classifier
from nsbench.pseudo_labels.shards import MOST, is_whole, make_shard, write_shard
from nsbench.pseudo_labels.store import LabelStore, claim, describe, shard_path, shard_rows
from nsbench.util import distributed
from nsbench.util.device import AdaptiveBatchSize, autocast
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import Advance, counted, say, stage
from nsbench.util.randomness import stable_hash

PART = 32
"""Images that a thread reads at once."""

Noise = Callable[[Image.Image, int], NDArray[np.uint8]]
Indices = NDArray[np.int64]


class Top(NamedTuple):
    """The most probable classes of n images, in order: ids int64 and probabilities float32 (n, m).

    images: their indices in the source, int64 (n,).
    """

    images: Indices
    ids: torch.Tensor
    probabilities: torch.Tensor


def predict(
    teacher: Classifier,
    source: Source,
    indices: Indices,
    folder: Path,
    *,
    device: torch.device,
    top_k: int | None = None,
    batch_size: int = 256,
    precision: str = "float32",
    noise: Noise | None = None,
    seed: int = 0,
) -> LabelStore:
    """Label the images of a source that `indices` names, on clean centre crops, without noise.

    Every process of torchrun calls this and labels whole shards; the files are the same for any
    number of them, and finished ones are kept. batch_size is halved where memory is short.
    top_k: classes kept of an image; by default as few as `smallest_k` says for each shard.
    noise: what takes the place of the crop, for an ablation, from an image and a seed to uint8
    (3, S, S); dropout and stochastic depth are on then, at the rates that the teacher was built
    with, drawn anew for each batch from `seed` and its first image.
    Raises NsbenchError for a folder of other labels, an image that cannot be read, and answers
    that are no numbers.
    """
    noise_seed = seed if noise else None
    manifest = describe(
        teacher, source, indices, top_k=top_k, precision=precision, noise_seed=noise_seed
    )
    if distributed.is_main():
        claim(folder, manifest)
    distributed.barrier()
    todo = _unfinished(folder, len(indices))
    spans = [
        slice(start, min(start + batch_size, rows.stop))
        for _, rows in todo
        for start in range(rows.start, rows.stop, batch_size)
    ]
    batches = _batches(source, teacher, indices, spans, noise, seed)
    teach = _Teacher(teacher, device, precision, top_k or MOST, noise_seed)
    with stage(f"pseudo-labels of {teacher.name}", sum(s.stop - s.start for s in spans)) as advance:
        answers = _checked(teach.answers(batches), teacher, source, advance)
        for number, rows in todo:
            shard = _joined([next(answers) for _ in range(rows.start, rows.stop, batch_size)])
            path = shard_path(folder, number)
            write_shard(path, make_shard(*shard, teacher.num_classes, top_k))
    distributed.barrier()
    return LabelStore(folder)


def _unfinished(folder: Path, count: int) -> list[tuple[int, slice]]:
    """Number and images of each shard that is this process's to make."""
    own = list(enumerate(shard_rows(count)))[distributed.rank() :: distributed.size()]
    todo = [
        (number, rows)
        for number, rows in own
        if not is_whole(shard_path(folder, number), rows.stop - rows.start)
    ]
    if len(todo) < len(own):
        say(f"{folder}: {counted(len(own) - len(todo), 'shard')} of {len(own)} finished before")
    return todo


def _batches(
    source: Source,
    teacher: Classifier,
    indices: Indices,
    spans: list[slice],
    noise: Noise | None,
    seed: int,
) -> Iterator[tuple[Indices, torch.Tensor]]:
    """Indices and uint8 images (n, 3, S, S) of each span; without noise, threads read ahead."""

    def crop(index: int) -> NDArray[np.uint8]:
        if noise:
            return noise(source.image(index), stable_hash(seed, "teacher noise", index))
        return center_crop(source.image(index), teacher.preprocessing)

    def read(some: Indices) -> NDArray[np.uint8]:
        return np.stack([crop(index) for index in some.tolist()])

    some = (
        indices[start : min(start + PART, span.stop)]
        for span in spans
        for start in range(span.start, span.stop, PART)
    )
    # training transforms draw from generators that threads would share
    parts = map(read, some) if noise else prefetch_map(read, some, ahead=2 * _parts(spans[:1]))
    for span in spans:
        images = np.concatenate([next(parts) for _ in range(_parts([span]))])
        yield indices[span], torch.from_numpy(images)


def _parts(spans: list[slice]) -> int:
    return sum(len(range(span.start, span.stop, PART)) for span in spans)


class _Teacher:
    """A teacher's most probable classes, with or without noise inside the network."""

    def __init__(
        self,
        teacher: Classifier,
        device: torch.device,
        precision: str,
        most: int,
        noise_seed: int | None,
    ) -> None:
        self._teacher, self._device, self._precision = teacher, device, precision
        self._most, self._noise_seed = min(most, teacher.num_classes), noise_seed
        self._memory = AdaptiveBatchSize()

    def answers(self, batches: Iterator[tuple[Indices, torch.Tensor]]) -> Iterator[Top]:
        """The answer to each batch, once the device has begun with the next one."""
        before: Top | None = None
        for index, images in batches:
            now = Top(index, *self._top(index, images))
            if before:
                yield before
            before = now
        if before:
            yield before

    def _top(self, index: Indices, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self._device.type == "cuda":
            images = images.pin_memory()  # or the copy would wait for the last batch's answers
        with torch.inference_mode(), autocast(self._device, self._precision), self._noise(index):
            logits = self._memory.in_parts(lambda some: self._logits(images[some]), len(images))
            probabilities, ids = logits.float().softmax(1).topk(self._most)
        return ids, probabilities

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        return self._teacher.logits(images.to(self._device, non_blocking=True) / 255)

    @contextmanager
    def _noise(self, index: Indices) -> Iterator[None]:
        if self._noise_seed is None:
            yield
            return
        module, cuda = self._teacher.module, self._device.type == "cuda"
        with torch.random.fork_rng([self._device] if cuda else []):
            torch.manual_seed(stable_hash(self._noise_seed, "teacher noise", index[0]) % 2**63)
            try:
                _train_but_for_batch_norm(module)
                yield
            finally:
                module.eval()


def _train_but_for_batch_norm(module: nn.Module) -> None:
    module.train()
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.eval()


def _checked(
    answers: Iterator[Top], teacher: Classifier, source: Source, advance: Advance
) -> Iterator[Top]:
    """The answers in the memory of the processor. Raises NsbenchError if one is no number."""
    for top in answers:
        found = Top(top.images, top.ids.cpu(), top.probabilities.cpu())
        lost = found.probabilities.isnan().any(1).nonzero()
        if len(lost):
            name = source.ids[int(top.images[int(lost[0])])]
            raise NsbenchError(
                f"the probabilities that {teacher.name} gives the image {name} of {source.name} "
                "are no numbers: use another teacher, or float32 if the precision is float16"
            )
        advance(len(found.ids))
        yield found


def _joined(tops: list[Top]) -> tuple[Indices, NDArray[np.int64], NDArray[np.float32]]:
    return (
        np.concatenate([top.images for top in tops]),
        torch.cat([top.ids for top in tops]).numpy(),
        torch.cat([top.probabilities for top in tops]).numpy(),
    )
