"""One model on one suite: what is missing, and the predictions until they are written."""

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


@dataclass(eq=False)
class SuiteImages:
    """The images of a suite, of which this process sees some.

    indices: of all of them in the source, int64 (N,). rows: of `indices`, those of this process.
    unknown_classes: whether their classes are not among the outputs. decoded: those rows by view,
    once they are read.
    """

    source: Source
    indices: NDArray[np.int64]
    rows: NDArray[np.int64]
    unknown_classes: bool = False
    decoded: dict[str, DecodedImages] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """All ids in order."""
        return [self.source.ids[index] for index in self.indices.tolist()]

    @property
    def own(self) -> NDArray[np.int64]:
        """The images of this process in the source."""
        return self.indices[self.rows]

    @property
    def origin(self) -> tuple[Source, NDArray[np.int64]]:
        """The source that they are decoded from, and those of this process in it."""
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
        """Images of this process that cannot be read, by position in `rows`, and why."""
        views = self.decoded.values()
        return {row: why for images in views for row, why in images.unreadable.items()}


@dataclass(eq=False)
class ModelRun:
    """One model on one suite: its store, its view of the classes, and the cells still missing.

    classes: for each class of the source, the output that stands for it. columns: the outputs that
    count, None for all.
    """

    model: Classifier
    store: Store
    classes: NDArray[np.int64]
    columns: torch.Tensor | None
    missing: list[str]
    rows: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = field(default_factory=dict)

    def labels(self, images: SuiteImages) -> NDArray[np.int64]:
        """All images' labels among the outputs."""
        return self.classes[images.labels]

    def add(self, cell: str, logits: torch.Tensor) -> None:
        """Keep the top classes and the confidence of a batch, on its device."""
        confidence, top = logits.float().softmax(1).topk(min(TOP, logits.shape[1]))
        # Fewer than five classes leave ranks empty, which are -1.
        ranks = torch.nn.functional.pad(top, (0, TOP - top.shape[1]), value=-1)
        self.rows.setdefault(cell, []).append((ranks.int(), confidence[:, 0]))

    def join_clips(self, cell: str, frames: int) -> None:
        """Turn the last batch's frames, one after the other, into clips (B, F, 5) and (B, F)."""
        batches = self.rows[cell]
        last, batches[-frames:] = batches[-frames:], []
        top, confidence = zip(*last, strict=True)
        batches.append((torch.stack(top, 1), torch.stack(confidence, 1)))

    def finish(self, cell: str, images: SuiteImages) -> None:
        """Write the cell's rows, of all processes, and forget them.

        Raises NsbenchError for outputs that are not finite.
        """
        top, confidence = self._taken(cell)
        # Class -1 is no label, so that an unreadable image counts as an error everywhere.
        unreadable = [row for row in images.unreadable if row < len(top)]
        top[unreadable], confidence[unreadable] = -1, 0
        shares = distributed.gather((images.rows, top, confidence))
        if shares:
            rows = self._merged(images, shares)
            self.store.write(cell, rows, len(rows.top) // len(rows.ids))
        self.missing.remove(cell)

    def _taken(self, cell: str) -> tuple[Top, Confidence]:
        batches = self.rows.pop(cell, [])
        if not batches:  # more processes than batches
            return np.empty((0, TOP), np.int32), np.empty(0, np.float32)
        top, confidence = (torch.cat(part).cpu().numpy() for part in zip(*batches, strict=True))
        if not np.isfinite(confidence).all():
            raise NsbenchError(
                f"{self.model.name} gives outputs that are not finite in the cell {cell}: check "
                "its weights, or try --precision float32"
            )
        return top, confidence

    def _merged(
        self, images: SuiteImages, shares: list[tuple[NDArray[np.int64], Top, Confidence]]
    ) -> Predictions:
        """All rows in order, a clip's ids and labels once."""
        rows, top, confidence = shares[0]
        if len(shares) > 1:
            filled = [share for share in shares if len(share[0])]
            rows, top, confidence = (np.concatenate(part) for part in zip(*filled, strict=True))
            order = np.argsort(rows)  # processes took batches in turns
            top, confidence = top[order], confidence[order]
        labels = self._right_labels(images, top).astype(np.int32)
        return Predictions(images.ids, labels, top.reshape(-1, TOP), confidence.reshape(-1))

    def _right_labels(self, images: SuiteImages, top: Top) -> NDArray[np.int64]:
        """Each image's label; of several correct ones the one ranked highest; -1 for none."""
        if images.unknown_classes:
            return np.full(len(images.indices), -1)
        labels, sets = self.labels(images), label_sets(images.source)
        if sets is None or top.ndim == 3:  # clips have the one label of their image
            return labels
        for row, index in enumerate(images.indices.tolist()):
            correct = set(self.classes[list(sets[index])].tolist())
            labels[row] = next((rank for rank in top[row].tolist() if rank in correct), labels[row])
        return labels
