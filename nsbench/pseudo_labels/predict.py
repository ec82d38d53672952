"""A teacher's predictions on unlabeled images, streamed into a store by any number of processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nsbench.data.decode import refuse_many
from nsbench.data.open import Source
from nsbench.data.prefetch import prefetch_map
from nsbench.data.transforms import center_crop
from nsbench.models import Classifier
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.shards import MAX_TOP_K, make_shard, shard_flaw, write_shard
from nsbench.pseudo_labels.store import (
    LabelStore,
    is_store_of,
    prepare_store,
    shard_identity,
    shard_path,
    shard_rows,
    store_manifest,
)
from nsbench.util import distributed
from nsbench.util.device import (
    AdaptiveBatchSize,
    autocast,
    enough_memory,
    float32_products,
    sent,
)
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import Advance, counted, say, stage
from nsbench.util.randomness import stable_hash
from nsbench.util.sealed import set_aside

PART = 32
"""Images that a thread reads at once, so that handing them over hardly counts. The labels do not
depend on it."""

Indices = NDArray[np.int64]


class Top(NamedTuple):
    """The most probable classes of n images, in order: ids int64 and probabilities float32 (n, m).

    images: their indices in the source, int64 (n,).
    """

    images: Indices
    ids: torch.Tensor
    probabilities: torch.Tensor


def predict(job: LabelingJob, teacher: Classifier, folder: Path) -> LabelStore:
    """Label the job's images, on clean centre crops unless the job has noise.

    Every process of torchrun calls this and labels whole shards; the files are the same for any
    number of them, and finished ones are kept. The noise inside the network has the rates that the
    teacher was built with, and is drawn for each batch from the seed and its first image.
    A few images that cannot be read get no label. Returns the store in `folder`, or in the job's
    base if the very same labels are there.
    Raises NsbenchError for a folder of other labels, too many images that cannot be read, and
    probabilities that are not finite.
    """
    manifest = store_manifest(job, teacher)
    folder = _home(job, manifest, folder)
    if distributed.is_main():
        prepare_store(folder, manifest)
    distributed.barrier()
    # Batches end where shards do, so that a shard depends on nothing that another process does.
    unfinished, size = _unfinished(job, manifest, folder), job.batch_size
    spans = [
        slice(start, min(start + size, rows.stop))
        for _, rows, _ in unfinished
        for start in range(rows.start, rows.stop, size)
    ]
    labeler = _Labeler(job, teacher)
    images = sum(span.stop - span.start for span in spans)
    lost: dict[int, str] = {}
    way_out = "free some, or use --device cpu"
    with (
        enough_memory(f"the pseudo-labels of {teacher.name}", way_out),
        float32_products(job.precision),
        stage(f"pseudo-labels of {teacher.name}", images) as advance,
    ):
        batches = labeler.top_classes(_batches(job, teacher, spans, lost))
        checked = _checked(batches, teacher, job.source, advance)
        # A shard is written once its last batch is there: a killed run loses at most one for each
        # process.
        for number, rows, about in unfinished:
            shard = _joined([next(checked) for _ in range(rows.start, rows.stop, size)])
            missing = {index: lost[index] for index in shard[0].tolist() if index in lost}
            named = {job.source.ids[index]: why for index, why in missing.items()}
            refuse_many(lost.values(), len(job.indices), job.source.name)
            unreadable = np.isin(shard[0], list(missing))
            made = make_shard(*shard, teacher.num_classes, job.settings.top_k, unreadable)
            write_shard(shard_path(folder, number), made, {**about, "unreadable": named})
    distributed.barrier()
    store = LabelStore(folder)
    if unread := store.unreadable:
        refuse_many(unread.values(), len(store), job.source.name)
        if distributed.is_main():
            those = counted(len(unread), "image")
            say(
                f"{those} of {job.source.name} cannot be read and get no label: "
                f"{next(iter(unread.values()))}"
            )
    return store


def _home(job: LabelingJob, manifest: dict[str, Any], folder: Path) -> Path:
    """The folder of the labels: in the base if it has the very same, else in the run."""
    if job.base and job.run_folder:
        of_base = job.base / folder.relative_to(job.run_folder)
        if is_store_of(of_base, manifest):
            return of_base
    return folder


def _unfinished(
    job: LabelingJob, manifest: dict[str, Any], folder: Path
) -> list[tuple[int, slice, dict[str, Any]]]:
    """Number, images and identity of each shard that is this process's to make."""
    # Shards are dealt out in turns, so that all processes have as many, to within one.
    own = list(enumerate(shard_rows(len(job.indices))))[distributed.rank() :: distributed.size()]
    unfinished = []
    for number, rows in own:
        path, about = shard_path(folder, number), shard_identity(job, manifest, number, rows)
        problem = shard_flaw(path, about)
        if problem and path.exists():
            set_aside(path, problem)
        if problem:
            unfinished.append((number, rows, about))
    if len(unfinished) < len(own):
        kept = counted(len(own) - len(unfinished), "shard")
        say(f"{folder}: {kept} of {len(own)} finished before")
    return unfinished


def _batches(
    job: LabelingJob, teacher: Classifier, spans: list[slice], lost: dict[int, str]
) -> Iterator[tuple[Indices, torch.Tensor]]:
    """Indices and uint8 images (n, 3, S, S) of each span; without noise, threads read ahead.

    Images that cannot be read are black, and listed in `lost` with the reason.
    """
    source, noise = job.source, job.noise

    def crop(index: int) -> NDArray[np.uint8]:
        try:
            image = source.image(index)
        except NsbenchError as error:
            lost[index] = str(error)
            return np.zeros((3, *[teacher.preprocessing.image_size] * 2), np.uint8)
        if noise:
            return noise(image, stable_hash(job.seed, "teacher noise", index))
        return center_crop(image, teacher.preprocessing)

    def read(indices: Indices) -> NDArray[np.uint8]:
        return np.stack([crop(index) for index in indices.tolist()])

    parts = (
        job.indices[start : min(start + PART, span.stop)]
        for span in spans
        for start in range(span.start, span.stop, PART)
    )
    # Training transforms draw from global generators, which threads would share. Otherwise threads
    # read two batches ahead: one that waits, and one that is being read.
    crops = map(read, parts) if noise else prefetch_map(read, parts, ahead=2 * _parts(spans[:1]))
    for span in spans:
        images = np.concatenate([next(crops) for _ in range(_parts([span]))])
        yield job.indices[span], torch.from_numpy(images)


def _parts(spans: list[slice]) -> int:
    """How many parts the images of these spans are read in."""
    return sum(len(range(span.start, span.stop, PART)) for span in spans)


class _Labeler:
    """A teacher's most probable classes, with or without noise inside the network."""

    def __init__(self, job: LabelingJob, teacher: Classifier) -> None:
        self._teacher, self._device, self._precision = teacher, job.device, job.precision
        self._most = min(job.settings.top_k or MAX_TOP_K, teacher.num_classes)
        self._noise_seed = job.noise_seed
        self._batch_size = AdaptiveBatchSize()

    def top_classes(self, batches: Iterator[tuple[Indices, torch.Tensor]]) -> Iterator[Top]:
        """The classes of each batch, yielded once the device has begun with the next one."""
        pending: Top | None = None
        for index, images in batches:
            # Launched before the last batch is read back, so that the device never waits.
            launched = Top(index, *self._top(index, images))
            if pending:
                yield pending
            pending = launched
        if pending:
            yield pending

    def _top(self, index: Indices, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.inference_mode(), autocast(self._device, self._precision), self._noise(index):
            logits = self._in_parts(images)
            # A softmax in half precision would round confidences to steps that the filter can see.
            probabilities, ids = logits.float().softmax(1).topk(self._most)
        return ids, probabilities

    def _in_parts(self, images: torch.Tensor) -> torch.Tensor:
        if self._noise_seed is None:
            return self._batch_size.in_parts(lambda rows: self._logits(images[rows]), len(images))
        # Halves would draw other noise, and labels would depend on the memory that is free.
        what = f"{counted(len(images), 'image')} at once, for which the teacher's noise is drawn"
        with enough_memory(what, "free some, or set pseudo_labels.teacher_noise = false"):
            return self._logits(images)

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        # Divided on the device: bytes are a quarter of the floats to copy.
        return self._teacher.logits(sent(images, self._device) / 255)

    @contextmanager
    def _noise(self, index: Indices) -> Iterator[None]:
        if self._noise_seed is None:
            yield
            return
        module, cuda = self._teacher.module, self._device.type == "cuda"
        # Forked, so that the draws of a training that follows do not depend on labels being there.
        with torch.random.fork_rng([self._device] if cuda else []):
            # By the first image of the batch: another run, or another number of processes, draws
            # the same. manual_seed takes 63 bits without a sign.
            torch.manual_seed(stable_hash(self._noise_seed, "teacher noise", index[0]) % 2**63)
            try:
                _train_but_for_batch_norm(module)
                yield
            finally:
                module.eval()


def _train_but_for_batch_norm(module: nn.Module) -> None:
    # Table 6 noises the teacher by dropout and stochastic depth; statistics of a batch would make
    # a label depend on the images beside it, and would be kept in the teacher.
    module.train()
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            part.eval()


def _checked(
    batches: Iterator[Top], teacher: Classifier, source: Source, advance: Advance
) -> Iterator[Top]:
    """The batches in host memory. Raises NsbenchError for a probability that is not finite."""
    for top in batches:
        on_host = Top(top.images, top.ids.cpu(), top.probabilities.cpu())
        invalid = on_host.probabilities.isnan().any(1).nonzero()
        if len(invalid):
            name = source.ids[int(top.images[int(invalid[0])])]
            raise NsbenchError(
                f"the probabilities that {teacher.name} gives the image {name} of {source.name} "
                "are not finite: use another teacher, or float32 if the precision is float16"
            )
        advance(len(on_host.ids))
        yield on_host


def _joined(tops: list[Top]) -> tuple[Indices, NDArray[np.int64], NDArray[np.float32]]:
    return (
        np.concatenate([top.images for top in tops]),
        torch.cat([top.ids for top in tops]).numpy(),
        torch.cat([top.probabilities for top in tops]).numpy(),
    )
