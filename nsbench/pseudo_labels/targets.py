"""Soft targets: the most probable classes of each image, and the mass of the others."""

from typing import NamedTuple

import torch


class SparseTargets(NamedTuple):
    """Distributions over classes, of which only the most probable are listed.

    ids: int64 (n, k). probabilities: float32 (n, k); one of 0 is padding. rest: float32 (n,), the
    mass of the classes that are not listed.
    """

    ids: torch.Tensor
    probabilities: torch.Tensor
    rest: torch.Tensor


def dense(targets: SparseTargets, num_classes: int, temperature: float = 1.0) -> torch.Tensor:
    """Distributions, float32 (n, num_classes), on the targets' device; each row sums to 1.

    The remaining mass is spread evenly over the classes that are not listed, and what rounding to
    half precision added or took is divided out. With a temperature T they are p^(1/T) over its sum
    (official code, main.py).
    """
    ids, probabilities, rest = targets
    listed = probabilities > 0
    # min=1: where all classes are listed there is nothing to spread.
    unlisted = (num_classes - listed.sum(1)).clamp(min=1)
    spread = (rest / unlisted)[:, None].repeat(1, num_classes + 1)
    # The padding goes into a column of its own, which is cut off.
    filled = spread.scatter_(1, ids.where(listed, num_classes), probabilities)[:, :num_classes]
    # After the spreading, so that unlisted classes are softened too: main.py has stored the
    # probabilities of all.
    if temperature != 1:
        filled = filled.pow(1 / temperature)
    return filled / filled.sum(1, keepdim=True)
