"""Contrast, elastic transform, pixelate, JPEG compression and saturate."""

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import grid_sample

from nsbench.corruptions import _jpeg
from nsbench.corruptions._box import box_resize
from nsbench.corruptions._draws import Draws
from nsbench.corruptions._gaussian import smoothing_matrix
from nsbench.corruptions._pixels import Shape, truncate


def contrast(images: torch.Tensor, factor: float, _: None = None) -> torch.Tensor:
    """Shrink the distance to each channel's mean."""
    count = images.shape[-2] * images.shape[-1]
    means = images.sum((-2, -1), keepdim=True).double() / count  # of whole numbers, so exact
    return truncate(images.float().mul_(factor).add_((means * (1 - factor)).float()))


def saturate(images: torch.Tensor, level: tuple[float, float], _: None = None) -> torch.Tensor:
    """Multiply S of HSV and add to it.

    Grey, whose hue is 0, turns reddish where something is added.
    """
    factor, added = level
    values = images.float()
    largest = values.amax(1, keepdim=True)
    spread = largest - values.amin(1, keepdim=True)
    saturation = (spread / largest.clamp(min=1) * factor + added).clamp_(0, 1)
    away = (largest - values) / spread.clamp(min=1)  # 0 for the largest channel, 1 for the smallest
    reddish = torch.tensor([0.0, 1.0, 1.0], device=images.device).view(3, 1, 1)
    away = torch.where(spread > 0, away, reddish)
    return truncate(largest * (1 - away.mul_(saturation)))


class Elastic(NamedTuple):
    """What the elastic transform draws, all uniform in [-1, 1).

    corners: float64 (B, 3, 2) on the CPU, moves of three points. field: float64 (B, 2, H, W),
    x and y, in multiples of 2^-11.
    """

    corners: torch.Tensor
    field: torch.Tensor


def draw_elastic(draws: Draws, shape: Shape, level: object) -> Elastic:
    """Moves of three points, and noise for the displacement."""
    corners = [stream.uniform(-1, 1, (3, 2)) for stream in draws.streams]
    field = draws.words(2, *shape) >> 20
    return Elastic(torch.from_numpy(np.stack(corners)), field.double().div_(2**11))


def elastic_transform(
    images: torch.Tensor, level: tuple[float, float, float], drawn: Elastic
) -> torch.Tensor:
    """Move three points at random, and then every pixel a little."""
    amplitude, sigma, reach = level
    values = grid_sample(
        images.float(),
        affine_grid(images.shape[-2:], drawn.corners * reach).to(images.device),
        padding_mode="reflection",
        align_corners=True,
    )
    if amplitude:
        moved = displacement_grid(drawn.field, sigma, amplitude)
        values = grid_sample(values, moved, padding_mode="reflection", align_corners=False)
    return truncate(values)


def affine_grid(shape: torch.Size, moves: torch.Tensor) -> torch.Tensor:
    """Where each pixel comes from when three points near the centre move.

    Takes the image's (H, W) and float64 (B, 3, 2) moves in pixels, x and y. Returns float32
    (B, H, W, 2) for `grid_sample` with `align_corners=True`.
    """
    height, width = shape
    centre, third = np.array([height // 2, width // 2]), min(height, width) // 3
    points = centre + third * np.array([[1, 1], [1, -1], [-1, -1]])
    there = torch.from_numpy(np.column_stack((points, np.ones(3))))
    here = torch.cat((torch.from_numpy(points) + moves, torch.ones(len(moves), 3, 1)), 2)
    back = torch.linalg.solve(here, there.expand_as(here).contiguous())  # rows: (x, y, 1) @ back
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = x.double(), y.double()
    parts = back[:, :, :2, None, None]
    source = parts[:, 0] * x + parts[:, 1] * y + parts[:, 2]
    limits = torch.tensor([width - 1, height - 1], dtype=torch.float64).view(2, 1, 1)
    grid: torch.Tensor = (source * 2 / limits - 1).permute(0, 2, 3, 1)
    return grid.float()


def displacement_grid(field: torch.Tensor, sigma: float, amplitude: float) -> torch.Tensor:
    """Where each pixel comes from when each moves by smoothed noise.

    Takes float64 (B, 2, H, W) noise. Returns float32 (B, H, W, 2) for `grid_sample` with
    `align_corners=False`. The products are exact, see `smoothing_matrix`.
    """
    height, width = field.shape[-2:]
    rows = smoothing_matrix(height, sigma, 3.0).to(field.device)
    columns = smoothing_matrix(width, sigma, 3.0).to(field.device)
    moved = (rows @ field @ columns.T).mul_(amplitude)
    x = moved[:, 0] + torch.arange(width, device=field.device)
    y = moved[:, 1] + torch.arange(height, device=field.device)[:, None]
    return torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), -1).float()


def pixelate(images: torch.Tensor, factor: float, _: None = None) -> torch.Tensor:
    """Shrink with a box filter, and enlarge again with one, each as Pillow does."""
    height, width = images.shape[-2:]
    small = (int(width * factor), int(height * factor))
    if images.device.type != "cpu":
        return box_resize(box_resize(images, small[1], small[0]), height, width)

    def resize(image: Image.Image) -> Image.Image:
        box = Image.Resampling.BOX
        return image.resize(small, box).resize((width, height), box)

    return _by_pillow(images, resize)


def jpeg_compression(images: torch.Tensor, quality: int, _: None = None) -> torch.Tensor:
    """Encode as JPEG of this quality with Pillow's defaults, and decode.

    Pillow itself does it on the CPU, being the fastest; elsewhere integer code gives its bytes.
    """
    if images.device.type != "cpu":
        return _jpeg.jpeg(images, quality)

    def recode(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer)

    return _by_pillow(images, recode)


def _by_pillow(images: torch.Tensor, change: Callable[[Image.Image], Image.Image]) -> torch.Tensor:
    changed = torch.empty_like(images.permute(0, 2, 3, 1), memory_format=torch.contiguous_format)
    for image, out in zip(images.permute(0, 2, 3, 1).contiguous().numpy(), changed, strict=True):
        out.copy_(torch.from_numpy(np.array(change(Image.fromarray(image)))))
    return changed.permute(0, 3, 1, 2).contiguous()
