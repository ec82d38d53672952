"""Bilinear sampling of a batch at the same real coordinates in every image.

What depends on the coordinates alone is prepared once, for any number of images.
"""

from typing import NamedTuple

import torch

from nsbench.pixels.convert import Shape


class Taps(NamedTuple):
    """Where h x w points read an image, and how much.

    Attributes:
        pixels: int32 (4 * h * w,), the flat index of each point's upper left pixel, then of all
            upper right, lower left and lower right ones.
        inside: uint8 (4 * h * w,), 0 for a pixel that counts as black; None if none does.
        weight_x: float64 (h, w) in [0, 1), the share of the right pixels.
        weight_y: float64 (h, w) in [0, 1), the share of the lower pixels.

    """

    pixels: torch.Tensor
    inside: torch.Tensor | None
    weight_x: torch.Tensor
    weight_y: torch.Tensor


def prepare(
    x: torch.Tensor, y: torch.Tensor, shape: Shape, covered: torch.Tensor | None = None
) -> Taps:
    """Find the four pixels around each point, and their weights.

    Args:
        x: float64 (h, w), columns to sample at, whole numbers at pixel centres.
        y: float64 (h, w), rows to sample at.
        shape: height and width of the images.
        covered: bool (h, w), the points that are not black, around which pixels beyond the border
            are those of the border. Without it, all pixels beyond the border are black.

    """
    left, top = x.floor(), y.floor()
    # Upper left, upper right, lower left, lower right: one selection fetches all four.
    columns = torch.stack((left, left + 1, left, left + 1))
    rows = torch.stack((top, top, top + 1, top + 1))
    near_x, near_y = columns.clamp(0, shape[1] - 1), rows.clamp(0, shape[0] - 1)
    index = (near_y * shape[1] + near_x).to(torch.int32).flatten()
    inside = (near_x == columns) & (near_y == rows) if covered is None else covered.expand_as(rows)
    # None where all points lie inside, so that `sample` leaves out a product; but only the CPU is
    # asked, as for the answer of another device all would wait.
    whole = inside.device.type == "cpu" and bool(inside.all())
    black = None if whole else inside.to(torch.uint8).flatten()
    return Taps(index, black, x - left, y - top)


def sample(images: torch.Tensor, taps: Taps) -> torch.Tensor:
    """Interpolate in uint8 images (B, C, H, W). Returns float64 (B, C, h, w), not rounded."""
    picked = _select(images.flatten(0, 1).flatten(1), taps.pixels)
    if taps.inside is not None:
        picked *= taps.inside
    # float64, as Pillow computes, since results are truncated; what follows is in place because
    # these four values a pixel are the largest array.
    corners = picked.view(*images.shape[:2], 4, *taps.weight_x.shape).to(torch.float64)
    upper, right, lower, lower_right = corners.unbind(2)
    # Pillow's form, in separate operations; torch.lerp rounds differently.
    upper += (right.sub_(upper)).mul_(taps.weight_x)
    lower += (lower_right.sub_(lower)).mul_(taps.weight_x)
    return (lower.sub_(upper)).mul_(taps.weight_y).add_(upper)


def _select(planes: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """`planes.index_select(1, index)`, which a CPU does four times as fast plane by plane."""
    if planes.device.type != "cpu":
        return planes.index_select(1, index)
    picked = planes.new_empty(len(planes), len(index))
    for plane, out in zip(planes, picked, strict=True):
        torch.index_select(plane, 0, index, out=out)
    return picked
