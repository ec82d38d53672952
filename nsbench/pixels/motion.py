"""ImageMagick's motion blur, at one angle for the batch or one an image."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch.nn.functional import pad

from nsbench.util.device import sent

SCALE = 2**16
"""Weights are multiples of its inverse. With the 8 bits of a pixel that makes the 24 bits that a
float32 holds exactly; a larger one would let sums be rounded."""

Offsets = list[tuple[int, int]]


class Kernel(NamedTuple):
    """Weights of the taps, and the (x, y) offset in pixels of each."""

    weights: list[float]
    offsets: Offsets


def motion_blur(
    images: torch.Tensor, radius: float, sigma: float, angles: Sequence[float]
) -> torch.Tensor:
    """Blur along a line as ImageMagick's MagickMotionBlurImage does.

    The kernel is one-sided: tap j has weight exp(-j^2 / (2 sigma^2)), normalised over
    2 * ceil(radius) + 1 taps, and reads the pixel j steps away along (cos, sin) of the angle,
    with borders replicated (MotionBlurImage in ImageMagick's effect.c).

    Weights are multiples of 2^-16, so that all sums of 8-bit pixels are exact in float32: the
    result depends neither on the order of the sums nor on the device.

    Args:
        images: float32 (B, C, H, W), whole numbers in [0, 255].
        radius: positive radius of the kernel in pixels.
        sigma: positive standard deviation of the kernel in pixels.
        angles: directions in degrees, clockwise from the positive x axis; one for all images, or
            one an image.

    Returns:
        float32 (B, C, H, W) in [0, 255], not rounded.

    """
    margin = 2 * math.ceil(radius)  # the distance of the last tap
    padded = pad(images, (margin,) * 4, mode="replicate")
    if len(set(angles)) == 1:
        return _shifted(padded, margin, motion_kernel(radius, sigma, angles[0]))
    # One angle for each image: slices on a CPU, and on other devices one gather for all images, so
    # that the number of operations does not grow with the batch. Both sums are exact, and equal.
    kernels = [motion_kernel(radius, sigma, angle) for angle in angles]
    if images.device.type == "cpu":
        pairs = zip(padded.split(1), kernels, strict=True)
        return torch.cat([_shifted(image, margin, kernel) for image, kernel in pairs])
    return _gathered(padded, margin, kernels)


def _shifted(padded: torch.Tensor, margin: int, kernel: Kernel) -> torch.Tensor:
    height, width = (side - 2 * margin for side in padded.shape[-2:])
    total: torch.Tensor = padded.new_zeros((*padded.shape[:-2], height, width))
    for weight, (dx, dy) in zip(*kernel, strict=True):
        top, left = margin + dy, margin + dx
        total.add_(padded[..., top : top + height, left : left + width], alpha=weight)
    return total


def _gathered(padded: torch.Tensor, margin: int, kernels: list[Kernel]) -> torch.Tensor:
    """The same with a kernel for each image, without a loop over images."""
    high, wide = padded.shape[-2:]
    height, width = high - 2 * margin, wide - 2 * margin
    device = padded.device
    # Taps as steps in the flattened padded image. All kernels have the same weights, which do not
    # depend on the angle.
    steps = torch.tensor([[dy * wide + dx for dx, dy in kernel.offsets] for kernel in kernels])
    rows = torch.arange(margin, margin + height, device=device)[:, None] * wide
    home = (rows + torch.arange(margin, margin + width, device=device)).flatten()
    flat = padded.flatten(-2)
    total: torch.Tensor = padded.new_zeros((*padded.shape[:2], height * width))
    for weight, step in zip(kernels[0].weights, sent(steps, device).T, strict=True):
        index = (home + step[:, None])[:, None].expand_as(total)
        total.add_(flat.gather(-1, index), alpha=weight)
    return total.view(*padded.shape[:2], height, width)


def motion_kernel(radius: float, sigma: float, angle: float) -> Kernel:
    """The kernel's taps in order of distance; those that weigh less than 2^-17 are left out."""
    weights, taps = _weights(radius, sigma)
    # Written as in ImageMagick, since at 30 and 150 degrees the last bit decides an offset.
    radians = math.pi * angle / 180.0
    along_x, along_y = taps * math.cos(radians), taps * math.sin(radians)
    length = math.hypot(along_x, along_y)
    # ceil(x - 0.5): to the nearest pixel, halves down.
    offsets = [
        (math.ceil(tap * along_x / length - 0.5), math.ceil(tap * along_y / length - 0.5))
        for tap in range(len(weights))
    ]
    return Kernel(weights, offsets)


@lru_cache(maxsize=64)  # all radii and sigmas of all tables
def _weights(radius: float, sigma: float) -> tuple[list[float], int]:
    taps = 2 * math.ceil(radius) + 1  # GetOptimalKernelWidth1D of ImageMagick
    raw = [math.exp(-(tap**2) / (2 * sigma**2)) for tap in range(taps)]
    total = sum(raw)
    whole = [round(weight / total * SCALE) for weight in raw]
    whole[0] += SCALE - sum(whole)  # weights sum to exactly 1, so that even areas stay as they are
    return [weight / SCALE for weight in whole if weight], taps
