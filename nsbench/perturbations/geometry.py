"""Geometric sequences, all built on one bilinear sampling helper.

Coordinates are float64, as in Pillow.
"""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from nsbench.corruptions._sampling import bilinear, pixel_grid

Matrix = npt.NDArray[np.float64]


def affine(
    images: torch.Tensor, *, angle: float = 0.0, shift_x: int = 0, scale: float = 1.0
) -> torch.Tensor:
    """Rotate and scale about the centre, then shift, as torchvision does on Pillow images.

    The result is that of torchvision's `affine` with bilinear interpolation: a pixel whose
    source point lies outside the image is black, fractions are dropped.

    Args:
        images: uint8 (B, C, H, W).
        angle: degrees, clockwise.
        shift_x: pixels to the right.
        scale: factor larger than 0.

    Returns:
        uint8 (B, C, H, W).

    """
    height, width = images.shape[-2:]
    cos, sin = math.cos(math.radians(angle)) / scale, math.sin(math.radians(angle)) / scale
    # The order of operations is torchvision's and Pillow's: with fractions dropped, the last
    # bit of a coordinate can decide a pixel.
    start_x = cos * (-width / 2 - shift_x) + sin * (-height / 2) + width / 2
    start_y = -sin * (-width / 2 - shift_x) + cos * (-height / 2) + height / 2
    y, x = (grid + 0.5 for grid in pixel_grid(height, width))
    source_x = cos * x + sin * y + start_x
    source_y = -sin * x + cos * y + start_y
    inside = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    sampled = bilinear(images, source_x - 0.5, source_y - 0.5, black_border=False)
    covered = torch.from_numpy(inside).to(images.device)
    return sampled.to(torch.uint8) * covered


def perspective(images: torch.Tensor, matrix: Matrix) -> torch.Tensor:
    """Warp by a 3x3 matrix as OpenCV's `warpPerspective` does with its defaults.

    Borders blend into black; results are rounded to the nearest value, ties to even.

    Args:
        images: uint8 (B, C, H, W).
        matrix: float64 (3, 3), invertible, from (x, y, 1) of the input to that of the
            output, with whole numbers at pixel centres.

    Returns:
        uint8 (B, C, H, W).

    """
    y, x = pixel_grid(*images.shape[-2:])
    inverse = np.linalg.inv(matrix)
    source_x, source_y, depth = (row[0] * x + row[1] * y + row[2] for row in inverse)
    sampled = bilinear(images, source_x / depth, source_y / depth, black_border=True)
    return sampled.round().to(torch.uint8)


def translate(images: torch.Tensor, *, start: int, count: int) -> Iterator[torch.Tensor]:
    """Shift by whole pixels in x, from `start` (negative = left) on, one more per frame.

    Takes and yields uint8 (B, C, H, W); `count` frames; uncovered pixels are black. Start and
    count are -7 and 16 in make_cifar_p.py, -20 and 41 in make_imagenet_p.py.
    """
    for frame in range(count):
        yield affine(images, shift_x=start + frame)


def rotate(images: torch.Tensor, *, count: int) -> Iterator[torch.Tensor]:
    """Rotate about the centre by one more degree per frame, the middle frame unchanged.

    Takes and yields uint8 (B, C, H, W); `count` frames (31 in make_cifar_p.py and
    make_imagenet_p.py); uncovered pixels are black.
    """
    for frame in range(count):
        yield affine(images, angle=frame - count // 2)


def scale(images: torch.Tensor, *, start: float, step: float, count: int) -> Iterator[torch.Tensor]:
    """Zoom about the centre from `start` percent on, by `step` percent points per frame.

    Takes and yields uint8 (B, C, H, W); `count` frames; uncovered pixels are black. Start and
    step are 70 and 2 in make_cifar_p.py, 40 and 2.5 in make_imagenet_p.py.
    """
    for frame in range(count):
        yield affine(images, scale=(frame * step + start) / 100.0)


def tilt(images: torch.Tensor, *, step: float, count: int) -> Iterator[torch.Tensor]:
    """Tilt the image plane about both axes by `step` more degrees per frame.

    Takes and yields uint8 (B, C, H, W); `count` frames; uncovered pixels are black. The step
    is 0.75 in make_cifar_p.py, 1 in make_imagenet_p.py. The middle frame is not quite the
    clean image, because those scripts place the image plane one unit behind the focal plane.
    """
    height, width = images.shape[-2:]
    for frame in range(count):
        angle = math.radians(step * (frame - count // 2))
        yield perspective(images, _tilt_matrix(angle, height, width))


def _tilt_matrix(angle: float, height: int, width: int) -> Matrix:
    cos, sin, focal = math.cos(angle), math.sin(angle), math.hypot(width, height)
    lift = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1], [0, 0, 1]])
    about_x = np.array([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1]])
    about_y = np.array([[cos, 0, -sin, 0], [0, 1, 0, 0], [sin, 0, cos, 0], [0, 0, 0, 1]])
    away = np.eye(4)
    away[2, 3] = focal
    project = np.array([[focal, 0, width / 2, 0], [0, focal, height / 2, 0], [0, 0, 1, 0]])
    return np.asarray(project @ away @ about_x @ about_y @ lift, dtype=np.float64)
