"""Defocus, glass, motion, zoom and Gaussian blur."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

from nsbench.corruptions import _gaussian
from nsbench.corruptions._draws import Draws
from nsbench.corruptions._motion import motion_blur as move
from nsbench.corruptions._pixels import Shape, round_half_up, truncate
from nsbench.corruptions._zoom import clipped_zoom


def gaussian_blur(images: torch.Tensor, sigma: float, _: None = None) -> torch.Tensor:
    """Blur with a Gaussian, as scikit-image does."""
    return truncate(_gaussian.gaussian_blur(images.float(), sigma))


def defocus_blur(images: torch.Tensor, level: tuple[float, float], _: None = None) -> torch.Tensor:
    """Correlate with an antialiased disk, with borders mirrored about the outermost pixels.

    Every row of the disk is a sum of a few boxes about its middle, so that few sums replace the
    product with each of the disk's weights.
    """
    boxes = disk_boxes(*level)
    radius = max(boxes)
    padded = pad(images.float(), (radius,) * 4, mode="reflect")
    total: torch.Tensor | None = None
    # Box by box: the sum over 2 * half + 1 neighbours in the row is whole, and so exact.
    width, sums = images.shape[-1], padded[..., radius : radius + images.shape[-1]].clone()
    for half in range(radius + 1):
        if half:
            sums += padded[..., radius - half : radius - half + width]
            sums += padded[..., radius + half : radius + half + width]
        for distance, weight in boxes.get(half, []):
            total = _add_rows(total, sums, radius, distance, weight)
    assert total is not None
    return truncate(total)


def _add_rows(
    total: torch.Tensor | None, sums: torch.Tensor, margin: int, distance: int, weight: float
) -> torch.Tensor:
    """Add the weighted rows that lie `distance` above and below."""
    height = sums.shape[-2] - 2 * margin
    rows = sums.narrow(-2, margin - distance, height)
    if distance:
        rows = rows + sums.narrow(-2, margin + distance, height)
    rows = rows * weight
    return rows if total is None else total.add_(rows)


@lru_cache(maxsize=16)
def disk_boxes(radius: float, sigma: float) -> dict[int, list[tuple[int, float]]]:
    """The disk kernel as boxes: half width -> (distance of the row, weight of the box)."""
    kernel = disk(radius, sigma)
    middle = len(kernel) // 2
    quarter = kernel[middle:, middle:].astype(np.float64)
    boxes: dict[int, list[tuple[int, float]]] = {}
    for half in range(middle + 1):
        beyond = quarter[:, half + 1] if half < middle else np.zeros(middle + 1)
        steps = quarter[:, half] - beyond
        found = [(row, float(step)) for row, step in enumerate(steps) if abs(step) > 1e-9]
        if found:
            boxes[half] = found
    return _without_empty_margin(boxes)


def _without_empty_margin(
    boxes: dict[int, list[tuple[int, float]]],
) -> dict[int, list[tuple[int, float]]]:
    """The same; the largest half width also is the largest distance, as the kernel is symmetric."""
    largest = max(max(boxes), *(row for found in boxes.values() for row, _ in found))
    boxes.setdefault(largest, [])
    return boxes


def disk(radius: float, sigma: float) -> NDArray[np.float32]:
    """The kernel of make_imagenet_c.py: a disk, blurred to antialias it; its sum may not be 1."""
    reach, taps = (8, 3) if radius <= 8 else (int(radius), 5)
    line = np.arange(-reach, reach + 1)
    inside = (line**2 + line[:, None] ** 2 <= radius**2).astype(np.float32)
    distance = np.arange(taps) - taps // 2
    weights = np.exp(-(distance**2) / (2 * sigma**2))
    weights /= weights.sum()
    mirrored = np.pad(inside / inside.sum(), taps // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(mirrored, (taps, taps))
    return np.asarray(np.einsum("ijkl,k,l->ij", windows, weights, weights), np.float32)


def draw_offsets(draws: Draws, shape: Shape, level: tuple[float, int, int]) -> torch.Tensor:
    """Where each pixel takes its value from, int8 (B, iterations, 2, H, W): dx, dy, from -d to d-1.

    d is the largest offset.
    """
    _, largest, iterations = level
    return draws.integers(-largest, largest, iterations, 2, *shape)


def glass_blur(
    images: torch.Tensor, level: tuple[float, int, int], offsets: torch.Tensor
) -> torch.Tensor:
    """Blur, let each pixel take the value of a near one, and blur again."""
    sigma, largest, _ = level
    pixels = truncate(_gaussian.gaussian_blur(images.float(), sigma))
    for step in offsets.unbind(1):
        pixels = shuffle(pixels, step, largest)
    return truncate(_gaussian.gaussian_blur(pixels.float(), sigma))


def shuffle(pixels: torch.Tensor, offsets: torch.Tensor, largest: int) -> torch.Tensor:
    """Visit pixels from the bottom right to the top left; each takes the value of its neighbour.

    The original means to swap two pixels, but assigns views of one NumPy array: the neighbour stays
    as it is. A pixel whose neighbour was visited before takes what that one took. All such chains
    are followed at once by pointer doubling.

    Args:
        pixels: (B, C, H, W) of any dtype.
        offsets: integers (B, 2, H, W), dx and dy to the neighbour, from -largest to largest - 1.
        largest: the margin that is not visited: rows and columns up to it, and those after
            H - largest and W - largest.

    Returns:
        (B, C, H, W), the shuffled pixels.

    """
    height, width = pixels.shape[-2:]
    dx, dy = offsets.long().unbind(1)
    place = torch.arange(height * width, device=pixels.device).view(height, width)
    visited = torch.zeros(height, width, dtype=torch.bool, device=pixels.device)
    visited[largest + 1 : height - largest + 1, largest + 1 : width - largest + 1] = True
    step = (dy * width + dx).masked_fill_(~visited, 0)
    source = (place + step).flatten(1)
    if largest > 1:  # offsets of -1 and 0 never lead to a pixel that was visited before
        before = visited.flatten()[source] & (step.flatten(1) > 0)
        source = _follow(source, before)
    index = source[:, None].expand(-1, pixels.shape[1], -1)
    return pixels.flatten(-2).gather(-1, index).view(pixels.shape)


def _follow(source: torch.Tensor, goes_on: torch.Tensor) -> torch.Tensor:
    """Follow each chain to its end, in as many steps as the logarithm of the longest."""
    while bool(goes_on.any()):
        next_source = source.gather(1, source)
        next_goes_on = goes_on.gather(1, source)
        source = torch.where(goes_on, next_source, source)
        goes_on = goes_on & next_goes_on
    return source


def draw_angles(draws: Draws, shape: Shape, level: object) -> list[float]:
    """Directions in degrees, uniform in [-45, 45)."""
    return draws.host(lambda stream: stream.uniform(-45, 45))


def motion_blur(
    images: torch.Tensor, level: tuple[float, float], angles: list[float]
) -> torch.Tensor:
    """Blur along each image's direction, rounded to the nearest pixel value as ImageMagick does."""
    return round_half_up(move(images.float(), *level, angles))


def zoom_blur(images: torch.Tensor, level: tuple[float, float], _: None = None) -> torch.Tensor:
    """Average the images with ever larger copies of themselves."""
    end, step = level
    factors = np.arange(1, end, step)  # its floating-point number of levels is the original's
    values = images.float()
    total = values.clone()
    for factor in factors:
        total += clipped_zoom(values, float(factor))
    return truncate(total.div_(len(factors) + 1))
