"""True labels in the place of a teacher's: what a student reaches whose teacher is right."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.data.class_names import match_classes
from nsbench.data.spec import Source
from nsbench.pseudo_labels.targets import SparseTargets
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint


@dataclass(frozen=True)
class TrueLabels:
    """Images with their own labels, to train on as if a teacher had given them.

    indices: of the images in the source, int64 (N,). classes: of the images, int64 (N,). Each is
    taken once: nothing is dropped or balanced.
    """

    source: Source
    indices: NDArray[np.int64]
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.indices)

    def images(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of the rows' images in the source."""
        return self.indices[rows]

    def targets(self, rows: NDArray[np.int64]) -> SparseTargets:
        """All of the mass on the true class."""
        ids = torch.from_numpy(self.classes[rows])[:, None]
        return SparseTargets(ids, torch.ones(len(rows), 1), torch.zeros(len(rows)))

    def identity(self) -> dict[str, Any]:
        """What decides these labels, JSON-like, in the place of what decides a teacher's."""
        used = fingerprint([self.indices.tolist(), self.classes.tolist()])
        return {"labels": "true", "source_version": self.source.version, "used": used}


def true_labels(source: Source, indices: NDArray[np.int64], classes: tuple[str, ...]) -> TrueLabels:
    """The labels that unlabeled images have after all.

    classes: of the labeled images. Raises NsbenchError if the source knows none, or others.
    """
    if source.labels is None:
        raise NsbenchError(
            f"the true labels of {source.name} are not known, which the control 'oracle' needs: "
            "leave it out"
        )
    own = source.labels[indices]
    if source.classes is not None and source.classes != classes:
        places = match_classes(source.classes, classes)
        own = places[own]
    if len(own) and (own.min() < 0 or own.max() >= len(classes)):
        raise NsbenchError(
            f"{source.name} has images of other classes than the labeled ones, which the control "
            "'oracle' cannot use: leave it out"
        )
    return TrueLabels(source, indices, own)
