"""Snow, brightness and spatter."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.nn.functional import pad

from nsbench.corruptions import weather
from nsbench.perturbations._batch import Batch
from nsbench.pixels.convert import constant, round_half_up, to_unit, truncate, truncate_unit
from nsbench.pixels.hsv import hsv_to_rgb, rgb_to_hsv
from nsbench.pixels.motion import motion_blur
from nsbench.pixels.spatter import WATER, colour, liquid_layer, water_cover


class Snow(NamedTuple):
    """Mean, standard deviation and magnification of the flakes, radius and sigma of their motion.

    The first two are on the [0, 1] scale, the last two in pixels.
    """

    mean: float
    std: float
    zoom: float
    radius: float
    sigma: float


class Spatter(NamedTuple):
    """Mean, standard deviation and sigma of the liquid, its threshold, and how it runs down.

    Sigma is in pixels, `flow` a kernel along the columns, the rest on the [0, 1] scale.
    """

    mean: float
    std: float
    sigma: float
    threshold: float
    flow: tuple[float, ...]


def snow(batch: Batch, setting: Snow) -> Iterator[torch.Tensor]:
    """Whiten the crop and add one layer of flakes, whose motion blur turns by 4 degrees a frame.

    Yields uint8 (B, 3, S, S), truncated; no frame is the clean image.
    """
    mean, std, zoom, radius, sigma = setting
    # Flakes and the whitened crop are the same in all frames; 0.5, 0.85, 4 and -150 are the same at
    # all sizes, see `_settings`.
    flakes = batch.draws().normal(1, batch.size, batch.size)
    sharp = weather.snow_layer(flakes, mean, std, zoom, threshold=0.5).float()
    white = weather.whiten(batch.crop().float(), 0.85)
    for frame in range(batch.count):
        layer = round_half_up(motion_blur(sharp, radius, sigma, [frame * 4 - 150])).float()
        yield truncate(white + (layer + layer.rot90(2, (-2, -1))))


def brightness(batch: Batch, percent: float) -> Iterator[torch.Tensor]:
    """Add `percent` hundredths more to V of HSV per frame, none in the middle frame.

    Hue and saturation stay, so all channels are scaled by V'/V; black turns grey. The round trip
    through HSV is scikit-image's, whose rounding lowers some pixels by 1 even at V' = V.

    Yields uint8 (B, 3, S, S), truncated.
    """
    hue, saturation, value = rgb_to_hsv(to_unit(batch.crop(), torch.float64))
    # V is a factor of every channel, so that the rest is computed once, at V = 1; the products are
    # those of a round trip in each frame.
    shares, value = hsv_to_rgb(hue, saturation, torch.ones_like(value)), value.unsqueeze(1)
    for frame in range(batch.count):
        brighter = value + (frame - batch.count // 2) * percent / 100.0
        yield truncate_unit(shares * brighter.clamp_(0.0, 1.0))


def spatter(batch: Batch, setting: Spatter) -> Iterator[torch.Tensor]:
    """Cover the crop with drops of water that run down. Needs OpenCV.

    Where no drop is left, as in some late frames of 32 px, the frame is the clean crop: there the
    original divides by zero.

    Yields uint8 (B, 3, S, S), truncated.
    """
    mean, std, sigma, threshold, flow = setting
    noise = batch.draws().normal(batch.size, batch.size)
    liquid = liquid_layer(noise, mean, std, sigma, threshold)
    unit = to_unit(batch.crop(), torch.float32)  # float32 as in the original
    water = colour(WATER, unit.device)
    water = water / constant(255.0, water)
    for _ in range(batch.count):
        cover = water_cover(liquid) * 0.6  # the original's strength, at all sizes
        yield truncate_unit(unit + cover * water)
        liquid = run_down(liquid, flow)


def run_down(liquid: torch.Tensor, flow: tuple[float, ...]) -> torch.Tensor:
    """Convolve the columns of (B, H, W) with a kernel, as `numpy.convolve` does in mode `same`."""
    # `same` keeps the middle of the full convolution: of an even number of taps, one more reads
    # above than below.
    height, above = liquid.shape[-2], len(flow) // 2
    padded = pad(liquid, (0, 0, above, len(flow) - 1 - above))
    total = torch.zeros_like(liquid)
    for row, weight in enumerate(reversed(flow)):  # a convolution flips its kernel
        total += padded.narrow(-2, row, height) * weight
    return total
