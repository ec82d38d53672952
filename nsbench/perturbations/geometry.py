"""Geometric sequences: they move the resized image and keep its central crop.

Coordinates and sums are float64, as in Pillow. Only the crop is computed.
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.perturbations._batch import Batch
from nsbench.pixels.convert import Shape
from nsbench.pixels.sampling import Taps, prepare, sample

Matrix = NDArray[np.float64]
Linear = tuple[float, float, float, float]
Corner = tuple[int, int]
PREPARED = 4
"""Frames whose taps are kept for the next part of the batch, 2 MB each at 224 px. All parts are at
the same frame, so that more than one serve only sequences that are made side by side."""


def translate(batch: Batch, start: int) -> Iterator[torch.Tensor]:
    """Shift by whole pixels in x, from `start` (negative = left) on, one more per frame.

    Yields uint8 (B, 3, S, S). What lies beyond the resized image is black.
    """
    for frame in range(batch.count):
        yield shifted(batch, start + frame)


def shifted(batch: Batch, shift: int) -> torch.Tensor:
    """The crop of the images moved to the right by `shift` pixels, uint8 (B, 3, S, S)."""
    (top, left), size, width = batch.corner, batch.size, batch.resized.shape[-1]
    # By slices: whole pixels need no interpolation, and the original asks for none.
    first, last = max(left - shift, 0), min(left - shift + size, width)
    frame = batch.resized.new_zeros((len(batch.resized), 3, size, size))
    if first < last:
        offset = first - (left - shift)
        source = batch.resized[..., top : top + size, first:last]
        frame[..., offset : offset + last - first] = source
    return frame


def rotate(batch: Batch, step: float) -> Iterator[torch.Tensor]:
    """Rotate about the centre by `step` more degrees per frame, clockwise, not in the middle frame.

    Yields uint8 (B, 3, S, S). What lies beyond the resized image is black.
    """
    for frame in range(batch.count):
        # Degrees first, then radians, as the original passes degrees to torchvision.
        angle = math.radians(step * (frame - batch.count // 2))
        cos, sin = math.cos(angle), math.sin(angle)
        yield affine(batch, (cos, sin, -sin, cos))


def scale(batch: Batch, setting: tuple[float, float]) -> Iterator[torch.Tensor]:
    """Zoom about the centre: `setting` is the percentage of the first frame, and the step.

    Yields uint8 (B, 3, S, S). What lies beyond the resized image is black.
    """
    start, step = setting
    for frame in range(batch.count):
        yield magnified(batch, (frame * step + start) / 100.0)  # the original's order of operations


def magnified(batch: Batch, factor: float) -> torch.Tensor:
    """The crop of the images magnified about their centre, uint8 (B, 3, S, S)."""
    return affine(batch, (1 / factor, 0.0, 0.0, 1 / factor))


def shear(batch: Batch, step: float) -> Iterator[torch.Tensor]:
    """Shear in x about the centre by `step` more degrees per frame, not in the middle frame.

    Yields uint8 (B, 3, S, S). What lies beyond the resized image is black.
    """
    for frame in range(batch.count):
        slope = math.tan(math.radians(step * (frame - batch.count // 2)))
        yield affine(batch, (1.0, slope, 0.0, 1.0))


def tilt(batch: Batch, step: float) -> Iterator[torch.Tensor]:
    """Tilt the image plane about both axes by `step` more degrees per frame.

    The middle frame is not quite the clean image, because the original scripts place the image
    plane one unit behind the focal plane. Yields uint8 (B, 3, S, S). What lies beyond the resized
    image is black.
    """
    shape = (batch.resized.shape[-2], batch.resized.shape[-1])
    for frame in range(batch.count):
        angle = math.radians(step * (frame - batch.count // 2))
        # warpPerspective inverts its matrix too, to find the source of each pixel.
        inverse = np.linalg.inv(_tilt_matrix(angle, *shape)).astype(np.float64)
        yield perspective(batch, inverse)


def affine(batch: Batch, linear: Linear) -> torch.Tensor:
    """Transform about the centre, as torchvision's `affine` does with Pillow images.

    The result is that of bilinear interpolation: a pixel whose source point lies outside the
    resized image is black, fractions are dropped.

    Args:
        batch: the images.
        linear: by rows, the matrix that leads from a pixel's position relative to the centre to
            that of its source.

    Returns:
        uint8 (B, 3, S, S).

    """
    images = batch.resized
    shape = (images.shape[-2], images.shape[-1])
    # Taps depend on no pixel, and are cached for the other parts of the batch: hence plain values.
    taps = _affine_taps(shape, batch.corner, batch.size, linear, images.device)
    return sample(images, taps).to(torch.uint8)  # drops fractions, as Pillow


def perspective(batch: Batch, inverse: Matrix) -> torch.Tensor:
    """Warp as OpenCV's `warpPerspective` does with its defaults.

    Borders blend into black; results are rounded to the nearest value, ties to even.

    Args:
        batch: the images.
        inverse: float64 (3, 3), from (x, y, 1) of the result to that of its source, up to a
            factor, with whole numbers at pixel centres of the resized image.

    Returns:
        uint8 (B, 3, S, S).

    """
    images = batch.resized
    shape = (images.shape[-2], images.shape[-1])
    rows = tuple(tuple(float(value) for value in row) for row in inverse)
    taps = _perspective_taps(shape, batch.corner, batch.size, rows, images.device)
    return sample(images, taps).round_().to(torch.uint8)


@lru_cache(maxsize=PREPARED)
def _affine_taps(
    shape: Shape, corner: Corner, size: int, linear: Linear, device: torch.device
) -> Taps:
    (height, width), (xx, xy, yx, yy) = shape, linear
    # The order of operations is torchvision's and Pillow's: with fractions dropped, the last
    # bit of a coordinate can decide a pixel.
    start_x = xx * (-width / 2) + xy * (-height / 2) + width / 2
    start_y = yx * (-width / 2) + yy * (-height / 2) + height / 2
    x, y = (line + 0.5 for line in _crop_lines(corner, size, device))
    source_x = x * xx + y * xy + start_x
    source_y = x * yx + y * yy + start_y
    # Pillow's test of what lies inside; the outer half of a border pixel is still that pixel.
    covered = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    # Pillow counts from a pixel's edge, `prepare` from its centre.
    return prepare(source_x - 0.5, source_y - 0.5, shape, covered)


@lru_cache(maxsize=PREPARED)
def _perspective_taps(
    shape: Shape,
    corner: Corner,
    size: int,
    inverse: tuple[tuple[float, ...], ...],
    device: torch.device,
) -> Taps:
    x, y = _crop_lines(corner, size, device)
    source_x, source_y, depth = (x * row[0] + y * row[1] + row[2] for row in inverse)
    return prepare(source_x / depth, source_y / depth, shape)


def _crop_lines(
    corner: Corner, size: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """The x (1, S) and the y (S, 1) of the crop's pixels in the resized image, float64."""
    top, left = corner
    line = torch.arange(size, dtype=torch.float64, device=device)
    return (line + left)[None], (line + top)[:, None]


def _tilt_matrix(angle: float, height: int, width: int) -> Matrix:
    """From (x, y, 1) of the image to that of the tilted one, up to a factor; float64 (3, 3)."""
    # P2 @ T @ RX @ RY @ P1 of the original, with the diagonal as the focal length. The last row but
    # one of `lift`, 0 0 1, is what places the plane one unit behind it.
    cos, sin, focal = math.cos(angle), math.sin(angle), math.hypot(width, height)
    lift = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1], [0, 0, 1]])
    about_x = np.array([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1]])
    about_y = np.array([[cos, 0, -sin, 0], [0, 1, 0, 0], [sin, 0, cos, 0], [0, 0, 0, 1]])
    away = np.eye(4)
    away[2, 3] = focal
    project = np.array([[focal, 0, width / 2, 0], [0, focal, height / 2, 0], [0, 0, 1, 0]])
    return np.asarray(project @ away @ about_x @ about_y @ lift, dtype=np.float64)
