"""How far two batches of images are apart, and the ids that images get in all steps."""

from typing import Any

import torch

LEVELS = 1
"""Levels of 255 that a value may be away from the CPU's: all draws are equal bit for bit, and what
follows them (Fourier transforms, powers, sums in another order) only rounds differently."""

SHARE = 0.001
"""Share of a cell's values that may be so: rounding differs only beside a half."""


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


def beside(one: torch.Tensor, other: torch.Tensor) -> dict[str, Any]:
    """The same, and whether it is `right`: at most LEVELS apart in at most SHARE of the values."""
    apart = difference(one, other)
    return {**apart, "right": apart["largest"] <= LEVELS and apart["share"] <= SHARE}


def notable(parts: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those parts that differ at all, or could not be compared."""
    return {name: part for name, part in parts.items() if part.get("largest", 1)}
