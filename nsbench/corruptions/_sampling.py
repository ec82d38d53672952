"""Bilinear sampling of a batch at the same real coordinates in every image."""

import numpy as np
import numpy.typing as npt
import torch

Grid = npt.NDArray[np.float64]


def pixel_grid(height: int, width: int) -> tuple[Grid, Grid]:
    """The y and the x of every pixel, each float64 (height, width)."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    return y, x


def bilinear(images: torch.Tensor, x: Grid, y: Grid, *, black_border: bool) -> torch.Tensor:
    """Interpolate between the four pixels around each point.

    Args:
        images: (B, C, H, W), any dtype.
        x: float64 (h, w), columns to sample at, whole numbers at pixel centres.
        y: float64 (h, w), rows to sample at.
        black_border: whether pixels beyond the border are 0, or else those of the border.

    Returns:
        float64 (B, C, h, w), not rounded.

    """
    left, top = np.floor(x), np.floor(y)
    weight_x, weight_y = _on_device(x - left, images), _on_device(y - top, images)

    def corner(right: int, down: int) -> torch.Tensor:
        return _gather(images, left + right, top + down, black_border=black_border)

    upper = _blend(corner(0, 0), corner(1, 0), weight_x)
    lower = _blend(corner(0, 1), corner(1, 1), weight_x)
    return _blend(upper, lower, weight_y)


def _blend(first: torch.Tensor, second: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    # Pillow's form, in separate operations; torch.lerp rounds differently.
    return first + (second - first) * weight


def _gather(images: torch.Tensor, x: Grid, y: Grid, *, black_border: bool) -> torch.Tensor:
    height, width = images.shape[-2:]
    column, row = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    index = (row * width + column).astype(np.int64)
    flat = images.flatten(-2)[..., torch.from_numpy(index).to(images.device)]
    values = flat.to(torch.float64)
    if black_border:
        values = values * _on_device(((column == x) & (row == y)).astype(np.float64), images)
    return values


def _on_device(array: Grid, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(array).to(like.device)
