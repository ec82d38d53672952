"""Motion, zoom and Gaussian blur."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from nsbench.perturbations._batch import Batch
from nsbench.perturbations.geometry import magnified
from nsbench.pixels import gaussian
from nsbench.pixels.convert import constant, round_half_up, to_unit, truncate_unit
from nsbench.pixels.motion import motion_blur as move


class Motion(NamedTuple):
    """Radius and sigma of the kernel in pixels, and degrees between frames."""

    radius: float
    sigma: float
    step: float


class Smoothing(NamedTuple):
    """Sigma of the first frame and step in pixels, radius in standard deviations."""

    start: float
    step: float
    truncate: float


def motion_blur(batch: Batch, setting: Motion) -> Iterator[torch.Tensor]:
    """Turn a motion blur until it is horizontal in the last frame.

    Yields uint8 (B, 3, S, S), rounded as ImageMagick does; no frame is the clean image.
    """
    values = batch.crop().float()
    # The original's angles, (i - 30) * 4 degrees for frame i of 31.
    for frame in range(1 - batch.count, 1):
        yield round_half_up(move(values, setting.radius, setting.sigma, [frame * setting.step]))


def zoom_blur(batch: Batch, step: float) -> Iterator[torch.Tensor]:
    """Average the clean crop with ever more, ever larger copies, each by `step` larger.

    Yields uint8 (B, 3, S, S), first the clean crop.
    """
    crop = batch.crop()
    # float32 and this order of operations, as in torchvision, since the result is truncated. The
    # sum goes on from frame to frame, so that each frame needs one new copy only.
    total = to_unit(crop, torch.float32)
    yield crop
    for frame in range(1, batch.count):
        total += to_unit(magnified(batch, 1 + step * frame), torch.float32)
        yield truncate_unit(total / constant(frame + 1, total))


def gaussian_blur(batch: Batch, setting: Smoothing) -> Iterator[torch.Tensor]:
    """Blur the crop with an ever wider Gaussian.

    Yields uint8 (B, 3, S, S), truncated; no frame is the clean image.
    """
    # float64 on this scale, as in scikit-image: in even areas the last bit decides a pixel.
    unit = to_unit(batch.crop(), torch.float64)
    for frame in range(batch.count):
        sigma = setting.start + setting.step * frame
        yield truncate_unit(gaussian.gaussian_blur(unit, sigma, setting.truncate))
