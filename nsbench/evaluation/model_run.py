"""One model on one suite: what is missing, and the predictions until they are written."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.data.open import Source, label_sets, origin
from nsbench.data.transforms import Preprocessing
from nsbench.evaluation.decoded_file import Pixels
from nsbench.models import Classifier
from nsbench.predictions import TOP, Predictions, Store
from nsbench.util import distributed
from nsbench.util.errors import NsbenchError

Top = NDArray[np.int32]
Confidence = NDArray[np.float32]


@dataclass(eq=False)
class Images:
    """The images of a suite, of which this process sees some.

    indices: of all of them in the source, int64 (N,). rows: of `indices`, those of this process.
    outside: whether they are of no class among the answers. pixels: of those rows by view, once
    they are read.
    """

    source: Source
    indices: NDArray[np.int64]
    rows: NDArray[np.int64]
    outside: bool = False
    pixels: dict[str, Pixels] = field(default_factory=dict)

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
        """Their ids."""
        return [self.source.ids[index] for index in self.own.tolist()]

    @property
    def labels(self) -> NDArray[np.int64]:
        """All of the source's labels in order."""
        assert self.source.labels is not None
        return self.source.labels[self.indices]

    def crops(self, size: Preprocessing) -> Pixels:
        """The centre crops of a size."""
        return self.pixels[str(size)]

    def wholes(self, side: int) -> Pixels:
        """The images resized to a short side."""
        return self.pixels[str(side)]

    @property
    def unreadable(self) -> dict[int, str]:
        """Images of this process that cannot be read, by place in `rows`, and why."""
        return {
            row: why for pixels in self.pixels.values() for row, why in pixels.unreadable.items()
        }


@dataclass(eq=False)
class Task:
    """One model on one suite: its store, its view of the classes, and the cells still missing.

    classes: for each class of the source, the answer that stands for it. columns: the answers that
    count, None for all.
    """

    model: Classifier
    store: Store
    classes: NDArray[np.int64]
    columns: torch.Tensor | None
    missing: list[str]
    rows: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = field(default_factory=dict)

    def labels(self, images: Images) -> NDArray[np.int64]:
        """All images' labels among the answers."""
        return self.classes[images.labels]

    def add(self, cell: str, logits: torch.Tensor) -> None:
        """Keep what a batch was answered, on its device."""
        confidence, top = logits.float().softmax(1).topk(min(TOP, logits.shape[1]))
        ranks = torch.nn.functional.pad(top, (0, TOP - top.shape[1]), value=-1)
        self.rows.setdefault(cell, []).append((ranks.int(), confidence[:, 0]))

    def join_clips(self, cell: str, frames: int) -> None:
        """Turn the last batch's answers, frame by frame, into clips (B, F, 5) and (B, F)."""
        parts = self.rows[cell]
        last, parts[-frames:] = parts[-frames:], []
        top, confidence = zip(*last, strict=True)
        parts.append((torch.stack(top, 1), torch.stack(confidence, 1)))

    def finish(self, cell: str, images: Images) -> None:
        """Write the cell's rows, of all processes, and forget them.

        Raises NsbenchError for answers that are no numbers.
        """
        top, confidence = self._taken(cell)
        lost = [row for row in images.unreadable if row < len(top)]
        top[lost], confidence[lost] = -1, 0
        parts = distributed.gather((images.rows, top, confidence))
        if parts:
            rows = self._merged(images, parts)
            self.store.write(cell, rows, len(rows.top) // len(rows.ids))
        self.missing.remove(cell)

    def _taken(self, cell: str) -> tuple[Top, Confidence]:
        parts = self.rows.pop(cell, [])
        if not parts:  # more processes than batches
            return np.empty((0, TOP), np.int32), np.empty(0, np.float32)
        top, confidence = (torch.cat(part).cpu().numpy() for part in zip(*parts, strict=True))
        if not np.isfinite(confidence).all():
            raise NsbenchError(
                f"{self.model.name} answers with nan in the cell {cell}: look at its "
                "weights, or try --precision float32"
            )
        return top, confidence

    def _merged(
        self, images: Images, parts: list[tuple[NDArray[np.int64], Top, Confidence]]
    ) -> Predictions:
        """All rows in order, a clip's ids and labels once."""
        rows, top, confidence = parts[0]
        if len(parts) > 1:
            parts = [part for part in parts if len(part[0])]
            rows, top, confidence = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            order = np.argsort(rows)
            top, confidence = top[order], confidence[order]
        labels = self._right(images, top).astype(np.int32)
        return Predictions(images.ids, labels, top.reshape(-1, TOP), confidence.reshape(-1))

    def _right(self, images: Images, top: Top) -> NDArray[np.int64]:
        """Each image's label; of several right ones that which is ranked first; -1 for none."""
        if images.outside:
            return np.full(len(images.indices), -1)
        labels, sets = self.labels(images), label_sets(images.source)
        if sets is None or top.ndim == 3:
            return labels
        for row, index in enumerate(images.indices.tolist()):
            right = set(self.classes[list(sets[index])].tolist())
            labels[row] = next((rank for rank in top[row].tolist() if rank in right), labels[row])
        return labels
