"""Defocus, glass, motion, zoom and Gaussian blur."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import pad

from nsbench.pixels import gaussian
from nsbench.pixels.convert import STEADY, Shape, constant, round_half_up, truncate
from nsbench.pixels.draws import Draws
from nsbench.pixels.motion import motion_blur as move
from nsbench.pixels.zoom import clipped_zoom


def gaussian_blur(images: torch.Tensor, sigma: float, _: None = None) -> torch.Tensor:
    """Blur with a Gaussian, as scikit-image does."""
    # In float32, half the memory of the sequence's float64: at most one value in 1,000 differs from
    # the original's, and by no more than 1.
    return truncate(gaussian.gaussian_blur(images.float(), sigma))


def defocus_blur(images: torch.Tensor, level: tuple[float, float], _: None = None) -> torch.Tensor:
    """Correlate with an antialiased disk, with borders mirrored about the outermost pixels.

    By Fourier transforms, as OpenCV does with large kernels. Each image is transformed by itself:
    a library may add up in another order in a batch of another size.
    """
    height, width = images.shape[-2:]
    kernel, size, reach = _disk_spectrum(level, height, width, images.device)
    # What is left of the transform's size lies to the right and below, where it reaches no pixel
    # that is kept.
    sides = (reach, size[1] - width - reach, reach, size[0] - height - reach)
    blurred = torch.empty_like(images, dtype=torch.float32)
    for image, out in zip(images, blurred, strict=True):
        spectrum = torch.fft.rfft2(pad(image.float(), sides, mode="reflect"))
        whole = torch.fft.irfft2(spectrum.mul_(kernel), s=size)
        # As `truncate_steady` does it, in the copy that is needed anyway.
        torch.add(whole[:, :height, :width], STEADY, out=out)
    return truncate(blurred)


@lru_cache(maxsize=16)  # five severities at three sizes; some 100 KB each at 224 px
def _disk_spectrum(
    level: tuple[float, float], height: int, width: int, device: torch.device
) -> tuple[torch.Tensor, tuple[int, int], int]:
    """The disk's transform at a size that holds the padded image, that size, and the disk's reach.

    The kernel starts at the first pixel, so the result starts there too: nothing is rolled.
    """
    kernel = torch.from_numpy(disk(*level))
    size = (_fast_size(height + len(kernel) - 1), _fast_size(width + len(kernel) - 1))
    # Conjugated once here and not at each use: a product with it is a correlation, as OpenCV's
    # filter2D computes, and no convolution.
    spectrum = torch.fft.rfft2(kernel.to(device), s=size).conj().resolve_conj()
    return spectrum, size, len(kernel) // 2


def _fast_size(size: int) -> int:
    """The next multiple of 16, a size that transforms are fast at."""
    return -(-size // 16) * 16


def disk(radius: float, sigma: float) -> NDArray[np.float32]:
    """The kernel of make_imagenet_c.py: a disk, blurred to antialias it; its sum may not be 1."""
    # The sizes of disk() there: at least 17 x 17 however small the radius, for which OpenCV filters
    # by Fourier transforms; and 3 or 5 taps for the Gaussian.
    reach, taps = (8, 3) if radius <= 8 else (int(radius), 5)
    line = np.arange(-reach, reach + 1)
    inside = (line**2 + line[:, None] ** 2 <= radius**2).astype(np.float32)
    distance = np.arange(taps) - taps // 2
    weights = np.exp(-(distance**2) / (2 * sigma**2))
    weights /= weights.sum()
    # Normalised before it is blurred, and not again afterwards: where the disk touches the border
    # of its square, mirroring raises the sum (to 1.013 for radius 8).
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
    # The pixels that are shuffled are 8-bit ones, as in the original.
    pixels = truncate(gaussian.gaussian_blur(images.float(), sigma))
    for step in offsets.unbind(1):
        pixels = shuffle(pixels, step, largest)
    return truncate(gaussian.gaussian_blur(pixels.float(), sigma))


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
    dx, dy = offsets.long().unbind(1)  # int64 for the index; int8 would overflow below
    home = torch.arange(height * width, device=pixels.device)
    visited = torch.zeros(height, width, dtype=torch.bool, device=pixels.device)
    # The bounds of the original's loops, range(size - largest, largest, -1). Pixels that are not
    # visited stay.
    visited[largest + 1 : height - largest + 1, largest + 1 : width - largest + 1] = True
    step = (dy * width + dx).masked_fill_(~visited, 0).flatten(1)
    source = home + step
    # A step forwards leads to a pixel that was visited before, where a chain goes on; a step back
    # to one that still has its own value, where it ends.
    if largest > 1:  # offsets of -1 and 0 never lead forwards
        source = source.gather(1, _chain_ends(home + step.clamp_(min=0)))
    index = source[:, None].expand(-1, pixels.shape[1], -1)
    return pixels.flatten(-2).gather(-1, index).view(pixels.shape)


def _chain_ends(onward: torch.Tensor) -> torch.Tensor:
    """Where each chain ends.

    Takes and returns int64 (B, N): the position after each position, itself at the end of a chain.
    """
    # Each step doubles how far a pointer leads, and no chain has more positions than there are. On
    # the CPU the longest one of a batch ends it sooner; elsewhere a look would wait for the device.
    for _ in range((onward.shape[1] - 1).bit_length()):
        twice = onward.gather(1, onward)
        if onward.device.type == "cpu" and torch.equal(twice, onward):
            break
        onward = twice
    return onward


def draw_angles(draws: Draws, shape: Shape, level: object) -> list[float]:
    """Directions in degrees, uniform in [-45, 45)."""
    return [float(number) for number in draws.numbers(1)[:, 0] * 90 - 45]


def motion_blur(
    images: torch.Tensor, level: tuple[float, float], angles: list[float]
) -> torch.Tensor:
    """Blur along each image's direction, rounded to the nearest pixel value as ImageMagick does."""
    return round_half_up(move(images.float(), *level, angles))


def zoom_blur(images: torch.Tensor, level: tuple[float, float], _: None = None) -> torch.Tensor:
    """Average the images with ever larger copies of themselves."""
    end, step = level
    # The original's arange, whose length hangs on rounding: to 1.06 and 1.11 it holds the end that
    # it should leave out, to the others it does not.
    factors = np.arange(1, end, step)
    values = images.float()
    total = values.clone()  # the image itself is in the average besides the factor 1
    for factor in factors:
        total += clipped_zoom(values, float(factor))
    return truncate(total.div_(constant(len(factors) + 1, total)))
