"""The pictures that steps work on, and how far two batches of images are apart."""

import numpy as np
import torch

FAR = 2
"""Levels of 255 that a pixel may be away from the CPU's: sums in another order round differently,
and some changes round twice."""

DISTINCT = 20
"""Different pictures that are made at most: as many as foolbox has photographs."""


def pictures(size: int, count: int) -> torch.Tensor:
    """Photographs of foolbox, or smooth pictures with noise where it is missing.

    Returns uint8 (count, 3, size, size) on the CPU.
    """
    try:
        from nsbench.bench.photographs import photographs
    except ImportError:
        return _painted(size, count)
    return photographs(size, count)


def _painted(size: int, count: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    down, across = np.mgrid[:size, :size] * (255 / size)
    smooth = np.stack([across, down, (across + down) / 2])
    noise = rng.integers(0, 256, (min(count, DISTINCT), 3, size, size))
    painted = (0.8 * smooth + 0.2 * noise).astype(np.uint8)
    return torch.from_numpy(painted[np.arange(count) % len(painted)])


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
