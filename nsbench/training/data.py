"""The images of a recipe: labeled, held out for validation, unlabeled."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nsbench.data.found import found
from nsbench.data.joined import JoinedSource
from nsbench.data.open import Source, SourceSpec, labels_of, open_source
from nsbench.data.prefetch import clean_crops
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.subset import in_hash_order, select_per_class
from nsbench.data.transforms import normalize
from nsbench.recipes.parts import Data, PseudoLabels
from nsbench.util.device import AdaptiveBatchSize, sent
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import say

BATCH = 256
"""Images of a forward pass on the validation images; the accuracy does not depend on it."""

FEW_BYTES = 2**30
"""Validation images that take less than this, 1 GiB, are decoded once and kept in memory."""


@dataclass(frozen=True)
class TrainingData:
    """The labeled images, the validation images held out of them, and the unlabeled ones."""

    labeled: Source
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    unlabeled: Source | None
    unlabeled_indices: NDArray[np.int64]
    classes: tuple[str, ...]

    def prior(self, pseudo_labels: PseudoLabels) -> tuple[float, ...] | None:
        """Shares of the classes among the labeled images, where labels are completed by them."""
        # Of hard labels only the top class counts, which is never among the rest.
        if pseudo_labels.rest == "uniform" or pseudo_labels.labels == "hard":
            return None
        assert self.labeled.labels is not None
        counts = np.bincount(self.labeled.labels[self.train], minlength=len(self.classes))
        return tuple((counts / counts.sum()).tolist())


def open_data(data: Data, seed: int) -> TrainingData:
    """Open a recipe's sources and divide the labeled images, by its seed. Raises NsbenchError."""
    labeled = _open(data.labeled, "data.labeled")
    labels = labels_of(labeled, "data.labeled")
    kept = np.arange(len(labeled))
    if data.labels_per_class:
        kept = select_per_class(labeled, data.labels_per_class, "data.labels_per_class", seed)
    # Without labels for the training, and so the students' unlabeled images.
    withheld = np.setdiff1d(np.arange(len(labeled)), kept)
    validation = np.array([], dtype=np.int64)
    if data.validation_per_class:
        validation = _validation(labeled, kept, data.validation_per_class, seed)
    if data.unlabeled_imbalance:
        withheld = _imbalanced(labeled, withheld, data.unlabeled_imbalance, seed)
    unlabeled, indices = labeled, withheld
    if data.unlabeled:
        unlabeled = _open(data.unlabeled, "data.unlabeled")
        indices = np.arange(len(unlabeled))
        if data.labels_per_class:
            # Without labels, as those of the second part may be of other classes.
            unlabeled = JoinedSource([labeled, unlabeled], labeled=False)
            indices = np.concatenate([withheld, len(labeled) + indices])
    # Sources in the label space `indices` have no names; the largest label tells their number.
    names = labeled.classes or tuple(str(i) for i in range(int(np.max(labels)) + 1))
    return TrainingData(
        labeled, np.setdiff1d(kept, validation), validation, unlabeled, indices, names
    )


def _open(specs: SourceSpec | list[SourceSpec], key: str) -> Source:
    """A source, or several as one. Raises NsbenchError, which begins with the key."""
    try:
        if isinstance(specs, SourceSpec):
            return _told(open_source(specs))
        sources = [_told(open_source(spec)) for spec in specs]
        return JoinedSource(sources, labeled=key == "data.labeled")
    except NsbenchError as error:
        raise NsbenchError(f"{key}: {error}") from error


def _told(source: Source) -> Source:
    """The source, after a line about what it found."""
    if not source.passed_over:  # or else it was said when it was opened
        say(found(source))
    return source


def _imbalanced(
    source: Source, withheld: NDArray[np.int64], factor: float, seed: int
) -> NDArray[np.int64]:
    """Images of which the first class has `factor` times as many as the last one."""
    assert source.labels is not None
    members = [withheld[source.labels[withheld] == label] for label in np.unique(source.labels)]
    # Of the smallest class, so that no class runs short.
    most, last = min(map(len, members)), max(1, len(members) - 1)
    kept: list[int] = []
    for number, own in enumerate(members):
        count = max(1, round(most * factor ** (-number / last)))
        kept += in_hash_order(source, own.tolist(), seed, "imbalance")[:count]
    return np.array(sorted(kept), dtype=np.int64)


def _validation(
    source: Source, kept: NDArray[np.int64], per_class: int, seed: int
) -> NDArray[np.int64]:
    assert source.labels is not None
    chosen: list[int] = []
    for label in np.unique(source.labels[kept]):
        own = kept[source.labels[kept] == label].tolist()
        # By hash, so that the same images are held out whatever the order of the source is.
        members = in_hash_order(source, own, seed, "validation")
        if len(members) <= per_class:
            raise NsbenchError(
                f"data.validation_per_class = {per_class} leaves class {label} of {source.name} "
                f"nothing to train on: it has {len(members)} labeled images"
            )
        chosen += members[:per_class]
    return np.array(sorted(chosen))


def validator(
    data: TrainingData, preprocessing: Preprocessing, device: torch.device
) -> Callable[[nn.Module], float] | None:
    """A function that computes a model's accuracy on the validation images, None without any.

    The images stay in memory if they are few.
    """
    if not len(data.validation):
        return None
    assert data.labeled.labels is not None
    labels = data.labeled.labels[data.validation]
    few = len(labels) * 3 * preprocessing.image_size**2 < FEW_BYTES
    held_batches = list(_batches(data, preprocessing)) if few else None
    memory = AdaptiveBatchSize()

    def predicted_by(model: nn.Module, batch: torch.Tensor) -> NDArray[np.int64]:
        def classes(rows: slice) -> torch.Tensor:
            images = sent(batch[rows], device) / 255
            logits: torch.Tensor = model(normalize(images, preprocessing.mean, preprocessing.std))
            return logits.argmax(1)

        return memory.in_parts(classes, len(batch)).cpu().numpy()

    @torch.inference_mode()
    def accuracy(model: nn.Module) -> float:
        correct, done = 0, 0
        # Without autocast: in float32, as `nsbench eval` measures by default.
        for batch in held_batches if held_batches is not None else _batches(data, preprocessing):
            predicted = predicted_by(model, batch)
            correct += int((predicted == labels[done : done + len(predicted)]).sum())
            done += len(predicted)
        return correct / done

    return accuracy


def _batches(data: TrainingData, preprocessing: Preprocessing) -> Iterator[torch.Tensor]:
    """The crops of the validation images, uint8 (B, 3, S, S)."""
    crops = clean_crops(data.labeled, data.validation, preprocessing)
    while batch := list(islice(crops, BATCH)):
        yield torch.from_numpy(np.stack(batch))
