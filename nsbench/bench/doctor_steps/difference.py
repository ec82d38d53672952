"""How far two batches of images are apart, and the ids that images get in all steps."""

import torch

FAR = 2
"""Levels of 255 that a pixel may be away from the CPU's: sums in another order round differently,
and some changes round twice."""


def ids_of(images: torch.Tensor) -> list[str]:
    """An id for each image of a batch."""
    return [f"image {index}" for index in range(len(images))]


def difference(one: torch.Tensor, other: torch.Tensor) -> dict[str, float]:
    """How far two uint8 tensors are apart, in levels of 255, and the share of values that differ.

    They may lie on different devices. `largest` and `mean` are of the absolute differences.
    """
    apart = (one.cpu().int() - other.cpu().int()).abs()
    return {
        "largest": int(apart.max()),
        "mean": float(apart.double().mean()),
        "share": float((apart > 0).double().mean()),
    }
