"""Noise sequences: the clean crop, then frames of it with fresh noise each."""

from collections.abc import Callable, Iterator

import torch

from nsbench.corruptions import noise
from nsbench.perturbations._batch import Batch
from nsbench.pixels.convert import Shape
from nsbench.pixels.draws import Draws

Draw = Callable[[Draws, Shape, object], torch.Tensor]
Apply = Callable[[torch.Tensor, float, torch.Tensor], torch.Tensor]


def gaussian_noise(batch: Batch, std: float) -> Iterator[torch.Tensor]:
    """Add normal noise of this standard deviation, on the [0, 1] scale.

    Yields uint8 (B, 3, S, S), truncated.
    """
    return _noisy(batch, std, noise.draw_normal, noise.gaussian_noise)


def shot_noise(batch: Batch, photons: float) -> Iterator[torch.Tensor]:
    """Replace each value by a Poisson count of that many expected photons for white.

    Yields uint8 (B, 3, S, S), truncated.
    """
    return _noisy(batch, photons, noise.draw_words, noise.shot_noise)


def speckle_noise(batch: Batch, std: float) -> Iterator[torch.Tensor]:
    """Add normal noise of this standard deviation times the value.

    Yields uint8 (B, 3, S, S), truncated.
    """
    return _noisy(batch, std, noise.draw_normal, noise.speckle_noise)


def _noisy(batch: Batch, level: float, draw: Draw, apply: Apply) -> Iterator[torch.Tensor]:
    # The streams are made once, so that each frame goes on in them and has fresh noise, which is
    # added to the clean crop and does not pile up.
    clean, draws = batch.crop(), batch.draws()
    yield clean
    for _ in range(1, batch.count):
        yield apply(clean, level, draw(draws, (batch.size, batch.size), level))
