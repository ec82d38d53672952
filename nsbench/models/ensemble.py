"""Several models as one: the average of their probabilities."""

import math
from collections.abc import Sequence

import torch
from torch import nn


class Ensemble(nn.Module):
    """Models of the same classes, whose probabilities are averaged (Lakshminarayanan et al. 2017).

    Its logits are the logarithms of the averages, in float32, so that their softmax is these.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) of images (n, 3, height, width)."""
        # Logarithms, as small probabilities would be 0 in float32.
        each = torch.stack([member(images).float().log_softmax(1) for member in self.members])
        return each.logsumexp(0) - math.log(len(self.members))
