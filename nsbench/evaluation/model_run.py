"""One model on one suite: its missing cells, and its predictions until they are written."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.data.label_files import origin
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.spec import Source, label_sets
from nsbench.evaluation.decoded_file import DecodedImages
from nsbench.models import Classifier
from nsbench.predictions import TOP, Predictions, Store
from nsbench.util import distributed
from nsbench.util.errors import NsbenchError

Top = NDArray[np.int32]
Confidence = NDArray[np.float32]
Share = tuple[NDArray[np.int64], Top, Confidence, Confidence]
"""Of a process its rows, their top classes, confidences and proper scores."""

Ranked = tuple[torch.Tensor, torch.Tensor]
"""Of a batch the top classes, int32 (B, 5), and the confidence in the first, float32 (B,)."""


# eq=False: they are keys of dicts, and a comparison of arrays has no single truth value.
@dataclass(eq=False)
class SuiteImages:
    """The images of a suite, of which this process sees some.

    indices: of all of them in the source, int64 (N,). rows: this process's rows of `indices`.
    unknown_classes: whether their classes are missing from the outputs. decoded: those rows by
    view, once they are read. lost: ids of images that could not be read when finished cells were
    made, and why.
    """

    source: Source
    indices: NDArray[np.int64]
    rows: NDArray[np.int64]
    unknown_classes: bool = False
    decoded: dict[str, DecodedImages] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """All ids in order."""
        return [self.source.ids[index] for index in self.indices.tolist()]

    @property
    def own(self) -> NDArray[np.int64]:
        """Indices in the source of this process's images."""
        return self.indices[self.rows]

    @property
    def origin(self) -> tuple[Source, NDArray[np.int64]]:
        """The source that the images are decoded from, and the indices of this process's in it."""
        return origin(self.source, self.own)

    @property
    def own_ids(self) -> list[str]:
        """Ids of the images of this process."""
        return [self.source.ids[index] for index in self.own.tolist()]

    @property
    def labels(self) -> NDArray[np.int64]:
        """All of the source's labels in order."""
        assert self.source.labels is not None
        return self.source.labels[self.indices]

    def crops(self, preprocessing: Preprocessing) -> DecodedImages:
        """The centre crops that a preprocessing makes."""
        return self.decoded[str(preprocessing)]

    def wholes(self, side: int) -> DecodedImages:
        """The images resized to a short side in pixels."""
        return self.decoded[str(side)]

    @property
    def unreadable(self) -> dict[int, str]:
        """Images of this process that cannot be read, by index in `rows`, and why."""
        # Those of finished cells too: a resumed evaluation may not decode them again, and its cells
        # have to be those of an undisturbed one.
        ids = self.own_ids if self.lost else []
        known = {row: self.lost[name] for row, name in enumerate(ids) if name in self.lost}
        views = self.decoded.values()
        return known | {row: why for images in views for row, why in images.unreadable.items()}


@dataclass(eq=False)
class ModelRun:
    """One model on one suite: its store, its view of the classes, and the cells still missing.

    classes: for each class of the source, the output that stands for it. columns: the outputs that
    count, on the device, None for all.
    """

    model: Classifier
    store: Store
    classes: NDArray[np.int64]
    columns: torch.Tensor | None
    missing: list[str]
    rows: dict[str, list[Ranked]] = field(default_factory=dict)
    proper: dict[str, list[torch.Tensor]] = field(default_factory=dict)

    def labels(self, images: SuiteImages) -> NDArray[np.int64]:
        """The labels of all images, as indices of outputs."""
        return self.classes[images.labels]

    def unreadable(self, cell: str) -> dict[str, str]:
        """Ids of the images that could not be read for a finished cell, and why."""
        # Asked of one process, as not all need see the file already.
        own = self.store.unreadable(cell) if distributed.is_main() else {}
        return distributed.broadcast(own)

    def add(self, cell: str, logits: torch.Tensor, labels: torch.Tensor | None = None) -> None:
        """Keep the top classes and the confidence of a batch, on its device.

        labels: int64 (B,), in the numbers of the outputs, where the proper scores are kept too.
        """
        self.rows.setdefault(cell, []).append(ranked(logits))
        if labels is not None:
            self.proper.setdefault(cell, []).append(proper_scores(logits, labels))

    def add_clips(self, cell: str, frames: list[Ranked]) -> None:
        """Keep a batch of clips, of which `frames` has one frame of each after the other."""
        # Models get one frame of all clips at a time; the store has a clip's frames together:
        # (B, F, 5) and (B, F).
        top, confidence = zip(*frames, strict=True)
        joined = torch.stack(top, 1), torch.stack(confidence, 1)
        self.rows.setdefault(cell, []).append(joined)

    def finish(self, cell: str, images: SuiteImages) -> None:
        """Write the cell's rows of all processes, and drop them from memory.

        Raises NsbenchError for outputs that are not finite.
        """
        top, confidence = self._taken(cell)
        lost, ids = images.unreadable, images.own_ids
        # Class -1 is no label, so that an unreadable image counts as an error everywhere.
        unreadable = [row for row in lost if row < len(top)]
        top[unreadable], confidence[unreadable] = -1, 0
        proper = self._proper(cell, unreadable)
        named = {ids[row]: why for row, why in lost.items()}
        shares = distributed.gather((images.rows, top, confidence, proper))
        reasons = distributed.gather(named)
        if shares:
            rows = self._merged(images, shares)
            of_all = {name: why for part in reasons for name, why in part.items()}
            # Clips have as many rows as frames.
            self.store.write(cell, rows, len(rows.top) // len(rows.ids), of_all)
        self.missing.remove(cell)

    def _taken(self, cell: str) -> tuple[Top, Confidence]:
        batches = self.rows.pop(cell, [])
        if not batches:  # more processes than batches
            return np.empty((0, TOP), np.int32), np.empty(0, np.float32)
        # Checked once a cell: a look at the values of each batch would make it wait for the device.
        top, confidence = (torch.cat(part).cpu().numpy() for part in zip(*batches, strict=True))
        if not np.isfinite(confidence).all():
            raise NsbenchError(
                f"{self.model.name} gives outputs that are not finite in the cell {cell}: check "
                "its weights, or try --precision float32"
            )
        return top, confidence

    def _proper(self, cell: str, unreadable: list[int]) -> Confidence:
        """The proper scores of this process's images, (N, 2), or none, (N, 0)."""
        batches = self.proper.pop(cell, [])
        if not batches:
            return np.empty((0, 0), np.float32)
        scores = torch.cat(batches).cpu().numpy()
        # An image that nobody can read is one of any class.
        count = len(self.columns) if self.columns is not None else self.model.num_classes
        scores[unreadable] = np.log(count), 1 - 1 / count
        return scores

    def _merged(self, images: SuiteImages, shares: list[Share]) -> Predictions:
        """All rows in order, a clip's ids and labels once."""
        rows, top, confidence, proper = shares[0]
        if len(shares) > 1:
            # Empty shares have the shape of images also where the others are of clips.
            filled = [share for share in shares if len(share[0])]
            rows, top, confidence, proper = (
                np.concatenate(part) for part in zip(*filled, strict=True)
            )
            # Processes took batches in turns; the store has the order of the images, so that files
            # are the same for any number of processes.
            order = np.argsort(rows)
            top, confidence = top[order], confidence[order]
            proper = proper[order] if proper.size else proper
        labels = self._right_labels(images, top).astype(np.int32)  # as wide as the class ids
        known = proper if proper.size else None
        return Predictions(images.ids, labels, top.reshape(-1, TOP), confidence.reshape(-1), known)

    def _right_labels(self, images: SuiteImages, top: Top) -> NDArray[np.int64]:
        """Each image's label; of several correct ones the one ranked highest; -1 for none."""
        # A prediction on ReaL is right if it is any of the image's labels (Beyer et al. 2020).
        if images.unknown_classes:
            return np.full(len(images.indices), -1)
        labels, sets = self.labels(images), label_sets(images.source)
        if sets is None or top.ndim == 3:  # clips have the one label of their image
            return labels
        for row, index in enumerate(images.indices.tolist()):
            correct = set(self.classes[list(sets[index])].tolist())
            labels[row] = next((rank for rank in top[row].tolist() if rank in correct), labels[row])
        return labels


def proper_scores(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The negative log-likelihood in nats and the Brier score of each row of logits, (B, 2)."""
    logs = logits.float().log_softmax(1)
    own = logs.gather(1, labels[:, None])[:, 0]
    shares = logs.exp()
    # The sum of squares with one for the label: (p - 1)^2 is p^2 - 2 p + 1.
    return torch.stack([-own, shares.square().sum(1) - 2 * own.exp() + 1], 1)


def ranked(logits: torch.Tensor) -> Ranked:
    """What is kept of a batch's logits (B, C), on their device."""
    # float32: a softmax in half precision would tie classes that the logits tell apart.
    confidence, top = logits.float().softmax(1).topk(min(TOP, logits.shape[1]))
    # Fewer than five classes leave ranks empty, which are -1.
    ranks = torch.nn.functional.pad(top, (0, TOP - top.shape[1]), value=-1)
    return ranks.int(), confidence[:, 0]
