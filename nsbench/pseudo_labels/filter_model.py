"""The filter model: an outside classifier that chooses the images instead of the teacher."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nsbench.data.class_names import match_classes
from nsbench.models import Classifier, load_model
from nsbench.recipes.parts import PseudoLabels
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError


def load_filter(
    settings: PseudoLabels, classes: tuple[str, ...], device: torch.device
) -> Classifier | None:
    """The model that chooses the images, with outputs for the recipe's classes; None without one.

    Its other classes are left out before the softmax. Raises NsbenchError if it cannot be loaded,
    or does not know a class.
    """
    if settings.filter is None:
        return None
    try:
        model = load_model(settings.filter, str(device))
    except NsbenchError as error:
        raise NsbenchError(f"pseudo_labels.filter: {error}") from error
    # As a layer behind the model: `predict` labels by it as by any teacher.
    columns = torch.from_numpy(_columns(model, classes)).to(device)
    module = nn.Sequential(model.module, _Columns(columns, model.num_classes)).eval()
    return replace(model, module=module, num_classes=len(classes), classes=classes)


def _columns(model: Classifier, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """The model's output for each class of the recipe."""
    # Sources in the label space `indices` have numbers for names, which are the model's outputs.
    if classes == tuple(map(str, range(model.num_classes))):
        return np.arange(model.num_classes)
    if model.classes is None:
        raise NsbenchError(
            f"pseudo_labels.filter is {model.name}, the names of whose {model.num_classes} classes "
            "are not known: name a model that nsbench trained on these classes"
        )
    columns = match_classes(classes, model.classes)
    # Without one of the classes the balance would find no images of it.
    if (columns < 0).any():
        unknown = classes[int(columns.argmin())]
        raise NsbenchError(
            f"pseudo_labels.filter is {model.name}, which does not know the class '{unknown}'"
            f"{nearest(unknown, model.classes)}; name a model of the recipe's classes"
        )
    return columns


class _Columns(nn.Module):
    """The chosen outputs of a classifier, as a layer. count: how many it has."""

    def __init__(self, columns: torch.Tensor, count: int) -> None:
        super().__init__()
        self._columns, self._count = columns, count

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits (n, C) to logits (n, len(columns)). Raises ValueError for another C."""
        # Other outputs than the model was loaded with would stand for other classes.
        if logits.ndim != 2 or logits.shape[1] != self._count:
            raise ValueError(f"outputs of shape {tuple(logits.shape)}, not (n, {self._count})")
        return logits[:, self._columns]
