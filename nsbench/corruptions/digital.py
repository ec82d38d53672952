"""Contrast, elastic transform, pixelate, JPEG compression and saturate."""

import io
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import grid_sample

from nsbench.corruptions import _jpeg
from nsbench.corruptions._box import box_resize
from nsbench.pixels.convert import Shape, truncate, truncate_steady
from nsbench.pixels.draws import Draws
from nsbench.pixels.gaussian import gaussian_weights, smoothed, smoothing_matrix
from nsbench.util.device import fixed, sent

# Preferred where it is there, because it gives up Python's lock while it works, so that threads
# encode side by side; deprecated in torchvision 0.29, to be removed some day.
try:
    from torchvision.io import decode_jpeg, encode_jpeg

    torchvision_codec = True
except ImportError:
    torchvision_codec = False


def contrast(images: torch.Tensor, factor: float, _: None = None) -> torch.Tensor:
    """Shrink the distance to each channel's mean."""
    count = images.shape[-2] * images.shape[-1]
    means = images.sum((-2, -1), keepdim=True).double() / count  # of whole numbers, so exact
    # (x - mean) * factor + mean with one addition less, whose constant is rounded once.
    return truncate(images.float().mul_(factor).add_((means * (1 - factor)).float()))


def saturate(images: torch.Tensor, level: tuple[float, float], _: None = None) -> torch.Tensor:
    """Multiply S of HSV and add to it.

    Grey, whose hue is 0, turns reddish where something is added.
    """
    factor, added = level
    # Without a detour through hue, which stays: a channel is V * (1 - S * its relative distance to
    # the largest one).
    values = images.float()
    largest = values.amax(1, keepdim=True)
    spread = largest - values.amin(1, keepdim=True)
    # Both divisors are whole numbers; where they are 0, in black and in grey, so is the dividend.
    saturation = (spread / largest.clamp(min=1) * factor + added).clamp_(0, 1)
    away = (largest - values) / spread.clamp(min=1)  # 0 for the largest channel, 1 for the smallest
    reddish = fixed((0.0, 1.0, 1.0), images.device).view(3, 1, 1)
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
    # The points on the CPU for any device: six numbers, which a solver takes there.
    corners = torch.from_numpy(draws.numbers(6) * 2 - 1).view(-1, 3, 2)
    # 12 random bits a value: so few that the products in `displacement_grid` are exact.
    field = draws.halves(2, *shape) >> 4
    return Elastic(corners, field.double().mul_(2.0**-11))


def elastic_transform(
    images: torch.Tensor, level: tuple[float, float, float], drawn: Elastic
) -> torch.Tensor:
    """Move three points at random, and then every pixel a little."""
    amplitude, sigma, reach = level
    # `reflection` with align_corners mirrors about the outermost pixels, as OpenCV's
    # BORDER_REFLECT_101 does; without, about the image's edges, as SciPy's `reflect` below does.
    values = grid_sample(
        images.float(),
        affine_grid(images.shape[-2:], drawn.corners * reach, images.device),
        padding_mode="reflection",
        align_corners=True,
    )
    if amplitude:  # 0 moves no pixel, so that nothing needs to be sampled again
        moved = displacement_grid(drawn.field, sigma, amplitude)
        values = grid_sample(values, moved, padding_mode="reflection", align_corners=False)
    return truncate_steady(values)


def affine_grid(shape: torch.Size, moves: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Where each pixel comes from when three points near the centre move.

    Takes the image's (H, W) and float64 (B, 3, 2) moves in pixels, x and y, on the CPU. Returns
    float32 (B, H, W, 2) on the device, for `grid_sample` with `align_corners=True`.
    """
    height, width = shape
    # Rows before columns although points are (x, y), as in the original; in its square images they
    # are the same.
    centre, third = np.array([height // 2, width // 2]), min(height, width) // 3
    points = centre + third * np.array([[1, 1], [1, -1], [-1, -1]])
    there = torch.from_numpy(np.column_stack((points, np.ones(3))))
    here = torch.cat((torch.from_numpy(points) + moves, torch.ones(len(moves), 3, 1)), 2)
    # The inverse map, from a pixel to its source, as grid_sample needs.
    back = torch.linalg.solve(here, there.expand_as(here).contiguous())  # rows: (x, y, 1) @ back
    # grid_sample's coordinates: -1 and 1 are the centres of the outermost pixels.
    parts = back[:, :, :2] * 2 / torch.tensor([width - 1, height - 1])
    # Six numbers an image go to the device, and the grid is made there.
    across, down, start = sent(parts.float(), device)[:, :, None, None].unbind(1)
    x = torch.arange(width, device=device)[:, None]
    y = torch.arange(height, device=device)[:, None, None]
    grid: torch.Tensor = across * x + (down * y + (start - 1))
    return grid


def displacement_grid(field: torch.Tensor, sigma: float, amplitude: float) -> torch.Tensor:
    """Where each pixel comes from when each moves by smoothed noise.

    Takes float64 (B, 2, H, W) noise. Returns float32 (B, H, W, 2) for `grid_sample` with
    `align_corners=False`. The products are exact, see `smoothing_matrix`.
    """
    height, width = field.shape[-2:]
    # Cut off at 3 standard deviations, as the original asks of scikit-image (whose default is 4).
    rows = smoothing_matrix(height, sigma, 3.0, field.device)
    columns = smoothing_matrix(width, sigma, 3.0, field.device)
    radius = len(gaussian_weights(sigma, 3.0)) - 1
    smooth = smoothed(smoothed(field, rows, -2, radius), columns, -1, radius)
    moved = smooth.mul_(amplitude).float()
    # Centres of pixels lie at halves where -1 and 1 are the image's edges.
    x = moved[:, 0] + torch.arange(0.5, width, device=field.device)
    y = moved[:, 1] + torch.arange(0.5, height, device=field.device)[:, None]
    return torch.stack((x * (2 / width), y * (2 / height)), -1).sub_(1)


def pixelate(images: torch.Tensor, factor: float, _: None = None) -> torch.Tensor:
    """Shrink with a box filter, and enlarge again with one, each as Pillow does."""
    height, width = images.shape[-2:]
    small = (int(height * factor), int(width * factor))
    if images.device.type != "cpu":  # the same pixels; Pillow itself is faster on a CPU
        return box_resize(box_resize(images, *small), height, width)
    return torch.from_numpy(_pixelated(images.contiguous().numpy(), *small))


def _pixelated(images: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize all planes in one call each way: stacked below each other, then side by side.

    Enlarging with a box filter is taking the pixel under the centre.
    """
    # The width in a call of its own, and first: so one version of Pillow cannot change the height
    # before the width where another does not.
    batch, channels, high, wide = images.shape
    planes = batch * channels
    tall = Image.fromarray(images.reshape(-1, wide))
    narrow = np.asarray(tall.resize((width, tall.height), Image.Resampling.BOX))
    across = narrow.reshape(planes, high, width).transpose(1, 0, 2).reshape(high, -1)
    flat = Image.fromarray(across).resize((planes * width, height), Image.Resampling.BOX)
    small = np.asarray(flat).reshape(height, planes, width)
    columns = small.take(_centres(width, wide), 2).transpose(1, 0, 2)
    return columns.take(_centres(height, high), 1).reshape(images.shape)


def _centres(small: int, large: int) -> NDArray[np.int64]:
    """The pixels of the small side under the centres of those of the large one."""
    return ((np.arange(large) + 0.5) * (small / large)).astype(np.int64)


def jpeg_compression(images: torch.Tensor, quality: int, _: None = None) -> torch.Tensor:
    """Encode as JPEG of this quality with Pillow's defaults, and decode.

    On the CPU libjpeg does it, elsewhere integer code that gives the same bytes.
    """
    if images.device.type != "cpu":
        return _jpeg.jpeg(images, quality)
    # Both call libjpeg-turbo, and give the same bytes.
    recode = recode_by_torchvision if torchvision_codec else recode_by_pillow
    return torch.stack([recode(image, quality) for image in images.contiguous()])


def recode_by_torchvision(image: torch.Tensor, quality: int) -> torch.Tensor:
    """Lets threads encode side by side. Takes and returns uint8 (3, H, W)."""
    decoded: torch.Tensor = decode_jpeg(encode_jpeg(image, quality))
    return decoded


def recode_by_pillow(image: torch.Tensor, quality: int) -> torch.Tensor:
    """The same bytes, but one thread at a time."""
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, "JPEG", quality=quality)
    # np.array copies, as torch wants memory that is writable.
    return torch.from_numpy(np.array(Image.open(buffer))).permute(2, 0, 1)
