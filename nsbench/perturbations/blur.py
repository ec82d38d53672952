"""Blur sequences and the ImageMagick motion blur that the snow sequence shares."""

import math
from collections.abc import Iterator

import torch

from nsbench.corruptions._pixels import constant, round_half_up, to_unit, truncate_unit
from nsbench.perturbations.geometry import affine


def motion_blur(images: torch.Tensor, radius: float, sigma: float, angle: float) -> torch.Tensor:
    """Blur along a line as ImageMagick's MagickMotionBlurImage does.

    The kernel is one-sided: tap j has weight exp(-j^2 / (2 sigma^2)), normalised over
    2 * ceil(radius) + 1 taps, and reads the pixel j steps away along (cos, sin) of the angle,
    with borders replicated (MotionBlurImage in ImageMagick's effect.c).

    Args:
        images: float (B, C, H, W), any value range.
        radius: positive radius of the kernel in pixels.
        sigma: positive standard deviation of the kernel in pixels.
        angle: direction in degrees, clockwise from the positive x axis.

    Returns:
        Float (B, C, H, W) on the scale of the input, not rounded.

    """
    height, width = images.shape[-2:]
    weights, offsets = _kernel(radius, sigma, angle)
    margin = len(weights) - 1
    padded = _replicate_border(images, margin)
    blurred = torch.zeros_like(images)
    for weight, (dx, dy) in zip(weights, offsets, strict=True):
        top, left = margin + dy, margin + dx
        # Product and sum stay two operations: a fused one would round differently by device.
        blurred += padded[..., top : top + height, left : left + width] * weight
    return blurred


def motion_blur_frames(
    images: torch.Tensor, *, radius: float, sigma: float, step: float, count: int
) -> Iterator[torch.Tensor]:
    """Turn a motion blur from -(count - 1) * step degrees to 0.

    Args:
        images: uint8 (B, C, H, W).
        radius: kernel radius in pixels (6 in make_cifar_p.py, 10 in make_imagenet_p.py).
        sigma: kernel width in pixels (1.8 and 3).
        step: degrees between frames (9 and 4).
        count: the number of frames (21 and 31).

    Yields:
        uint8 (B, C, H, W), `count` times; no frame is the clean image.

    """
    values = images.to(torch.float32)
    for frame in range(count):
        yield round_half_up(motion_blur(values, radius, sigma, (frame - (count - 1)) * step))


def zoom_blur(images: torch.Tensor, *, step: float, count: int) -> Iterator[torch.Tensor]:
    """Average the clean image with ever more, ever larger copies of itself.

    Args:
        images: uint8 (B, C, H, W).
        step: growth in scale per frame (0.004 in make_cifar_p.py and make_imagenet_p.py).
        count: the number of frames, the clean one included.

    Yields:
        uint8 (B, C, H, W), `count` times.

    """
    # float32 and this order of operations, as in torchvision, since the result is truncated.
    total = to_unit(images, torch.float32)
    yield images.clone()
    for frame in range(1, count):
        total = total + to_unit(affine(images, scale=1 + step * frame), torch.float32)
        yield truncate_unit(total / constant(frame + 1, total))


def _replicate_border(images: torch.Tensor, margin: int) -> torch.Tensor:
    height, width = images.shape[-2:]
    rows = torch.arange(-margin, height + margin, device=images.device).clamp(0, height - 1)
    columns = torch.arange(-margin, width + margin, device=images.device).clamp(0, width - 1)
    return images.index_select(-2, rows).index_select(-1, columns)


def _kernel(radius: float, sigma: float, angle: float) -> tuple[list[float], list[tuple[int, int]]]:
    """The weight of each tap and its (x, y) offset in pixels."""
    taps = 2 * math.ceil(radius) + 1
    raw = [math.exp(-(tap**2) / (2 * sigma**2)) for tap in range(taps)]
    total = sum(raw)
    # Written as in ImageMagick, since at 30 and 150 degrees the last bit decides an offset.
    radians = math.pi * angle / 180.0
    along_x, along_y = taps * math.cos(radians), taps * math.sin(radians)
    length = math.hypot(along_x, along_y)
    offsets = [
        (math.ceil(tap * along_x / length - 0.5), math.ceil(tap * along_y / length - 0.5))
        for tap in range(taps)
    ]
    return [weight / total for weight in raw], offsets
