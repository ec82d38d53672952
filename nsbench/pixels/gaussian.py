"""Gaussian blur as SciPy's `gaussian_filter`, which the original calls through scikit-image."""

from functools import lru_cache

import numpy as np
import torch
from torch.nn.functional import pad

NARROW = 12
"""Radius up to which a CPU smooths sooner by additions than by a product of matrices."""


def gaussian_weights(sigma: float, truncate: float = 4.0) -> list[float]:
    """The central weight and those beside it, cut off at `truncate` standard deviations."""
    radius = int(truncate * sigma + 0.5)  # SciPy's rounding
    if radius == 0:  # the kernel is one pixel; a sigma of 0 would be divided by below
        return [1.0]
    # The operations of SciPy's _gaussian_kernel1d in their order, for equal last bits.
    raw = np.exp(-0.5 / sigma**2 * np.arange(-radius, radius + 1) ** 2)
    return [float(weight) for weight in (raw / raw.sum())[radius:]]


def gaussian_blur(images: torch.Tensor, sigma: float, truncate: float = 4.0) -> torch.Tensor:
    """Blur with the border pixels repeated outwards (mode `nearest`).

    Args:
        images: float (B, C, H, W).
        sigma: standard deviation in pixels, 0 for none.
        truncate: radius of the kernel in standard deviations.

    Returns:
        A new float tensor (B, C, H, W).

    """
    weights = gaussian_weights(sigma, truncate)
    # Columns before rows, as SciPy goes through the axes: the intermediate result is rounded.
    return _along(_along(images, weights, -2), weights, -1)


def _along(images: torch.Tensor, weights: list[float], dim: int) -> torch.Tensor:
    radius, size = len(weights) - 1, images.shape[dim]
    sides = (radius, radius, 0, 0) if dim == -1 else (0, 0, radius, radius)
    padded = pad(images, sides, mode="replicate") if radius else images
    total = padded.narrow(dim, radius, size) * weights[0]
    # Pixels at equal distances are added before they are weighed, as SciPy does with symmetric
    # kernels; in one buffer for all distances.
    pair = torch.empty_like(total)
    for distance in range(radius, 0, -1):  # SciPy's order, which decides truncated values
        before = padded.narrow(dim, radius - distance, size)
        torch.add(before, padded.narrow(dim, radius + distance, size), out=pair)
        total += pair.mul_(weights[distance])
    return total


@lru_cache(maxsize=32)  # five severities, two sides, a few sizes; 400 KB each at 224 px
def smoothing_matrix(
    size: int, sigma: float, truncate: float, device: torch.device
) -> torch.Tensor:
    """Gaussian smoothing of a line with reflecting ends (`reflect`: d c b a | a b c d | d c b a).

    Weights are multiples of 2^-20, so that products with few-bit numbers are exact in float64 and
    a matrix product does not depend on the order of its sums: smoothing multiples of 2^-11 along
    both sides gives multiples of 2^-51, for which the 53 bits of a float64 just suffice.

    Returns:
        float64 (size, size) on the device. Not to be written to.

    """
    weights = gaussian_weights(sigma, truncate)
    radius = len(weights) - 1
    offsets = np.arange(-radius, radius + 1)
    matrix = np.zeros((size, size))
    for row in range(size):
        # A mirrored line repeats after twice its length, however far the kernel reaches.
        position = (row + offsets) % (2 * size)
        position = np.where(position >= size, 2 * size - 1 - position, position)
        # add.at, as several offsets may lead to one pixel, of which += would count one.
        np.add.at(matrix[row], position, np.array(weights)[np.abs(offsets)])
    return torch.from_numpy(np.round(matrix * 2**20) / 2**20).to(device)


def smoothed(values: torch.Tensor, matrix: torch.Tensor, dim: int, radius: int) -> torch.Tensor:
    """The product with a smoothing matrix along a dimension, -2 or -1, in new memory.

    values: float64 (..., H, W). matrix: of that dimension's size. radius: of its kernel. All sums
    are exact, so that it does not matter how they are made: by a product of matrices, or on a CPU,
    for narrow kernels, by as many additions as a kernel is wide, in less than half of the time.
    """
    size = values.shape[dim]
    if values.device.type != "cpu" or radius > NARROW or size < 4 * radius:
        return matrix @ values if dim == -2 else values @ matrix.T
    weights: list[float] = matrix[radius, radius : 2 * radius + 1].tolist()
    count = size - 2 * radius
    total = values.narrow(dim, radius, count) * weights[0]
    pair = torch.empty_like(total)
    for distance in range(1, radius + 1):
        before = values.narrow(dim, radius - distance, count)
        torch.add(before, values.narrow(dim, radius + distance, count), out=pair)
        total.add_(pair, alpha=weights[distance])
    # At the ends, where the line is mirrored, by the matrix's own rows.
    ends = []
    for first, start in ((0, 0), (size - radius, size - 2 * radius)):
        rows = matrix[first : first + radius, start : start + 2 * radius]
        end = values.narrow(dim, start, 2 * radius)
        ends.append(rows @ end if dim == -2 else end @ rows.T)
    return torch.cat((ends[0], total, ends[1]), dim)
