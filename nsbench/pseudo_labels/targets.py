"""Soft targets: the most probable classes of each image, and the mass of the others."""

from typing import NamedTuple

import torch
from torch.nn.functional import pad

TINY = torch.finfo(torch.float32).tiny
"""Instead of 0 below a fraction whose numerator is 0 too."""


class SparseTargets(NamedTuple):
    """Distributions over classes, of which only the most probable are listed.

    ids: int64 (n, k). probabilities: float32 (n, k); one of 0 is padding. rest: float32 (n,), the
    mass of the classes that are not listed.
    """

    ids: torch.Tensor
    probabilities: torch.Tensor
    rest: torch.Tensor


def dense(
    targets: SparseTargets,
    num_classes: int,
    temperature: float = 1.0,
    prior: torch.Tensor | None = None,
) -> torch.Tensor:
    """Distributions, float32 (n, num_classes), on the targets' device; each row sums to 1.

    The remaining mass is spread over the classes that are not listed, evenly or in proportion to
    their `prior`, float32 (num_classes,); it is left out where that is 0 for all of them. What
    rounding to half precision added or took is divided out. With a temperature T they are p^(1/T)
    over its sum (official code, main.py).
    """
    ids, probabilities, rest = targets
    listed = probabilities > 0
    # The padding goes into a column of its own, which is cut off.
    places = ids.where(listed, num_classes)
    if prior is None:
        # min=1: where all classes are listed there is nothing to spread.
        unlisted = (num_classes - listed.sum(1)).clamp(min=1)
        spread = (rest / unlisted)[:, None].repeat(1, num_classes + 1)
    else:
        weights = pad(prior, (0, 1)).repeat(len(ids), 1).scatter_(1, places, 0.0)
        spread = rest[:, None] * weights / weights.sum(1, keepdim=True).clamp(min=TINY)
    filled = spread.scatter_(1, places, probabilities)[:, :num_classes]
    # After the spreading, so that unlisted classes are softened too: main.py has stored the
    # probabilities of all.
    if temperature != 1:
        filled = filled.pow(1 / temperature)
    return filled / filled.sum(1, keepdim=True)
