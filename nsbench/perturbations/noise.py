"""Noise sequences: a clean frame followed by frames with fresh noise."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from nsbench.corruptions._pixels import constant, to_unit, truncate_unit
from nsbench.perturbations._draws import Array, draw_batch


def gaussian_noise(
    images: torch.Tensor, ids: Sequence[str], seed: int, *, scale: float, count: int
) -> Iterator[torch.Tensor]:
    """Add fresh normal noise to the clean image in every frame after the first.

    Args:
        images: uint8 (B, C, H, W).
        ids: one id per image; with `seed` they decide the noise.
        seed: the seed of all draws.
        scale: standard deviation on the [0, 1] scale (0.02 in make_cifar_p.py,
            0.03 in make_imagenet_p.py of hendrycks/robustness).
        count: the number of frames, the clean one included.

    Yields:
        uint8 (B, C, H, W), `count` times.

    """
    shape = tuple(images.shape[1:])
    unit = to_unit(images, torch.float32)

    def draw(index: int, rng: np.random.Generator) -> Array:
        return rng.standard_normal(shape, dtype=np.float32)

    yield images.clone()
    for frame in range(1, count):
        noise = torch.from_numpy(draw_batch(draw, ids, seed, f"gaussian_noise/{frame}", shape))
        yield truncate_unit(unit + noise.to(unit) * scale)


def shot_noise(
    images: torch.Tensor, ids: Sequence[str], seed: int, *, photons: float, count: int
) -> Iterator[torch.Tensor]:
    """Replace the clean image by Poisson counts of it in every frame after the first.

    Args:
        images: uint8 (B, C, H, W).
        ids: one id per image; with `seed` they decide the counts.
        seed: the seed of all draws.
        photons: expected count of a white pixel (700 in make_cifar_p.py, 300 in
            make_imagenet_p.py of hendrycks/robustness).
        count: the number of frames, the clean one included.

    Yields:
        uint8 (B, C, H, W), `count` times.

    """
    shape = tuple(images.shape[1:])
    rates = (to_unit(images, torch.float64) * photons).contiguous().cpu().numpy()

    def draw(index: int, rng: np.random.Generator) -> Array:
        return np.asarray(rng.poisson(rates[index]))

    yield images.clone()
    for frame in range(1, count):
        counts = torch.from_numpy(draw_batch(draw, ids, seed, f"shot_noise/{frame}", shape))
        counts = counts.to(images.device)
        yield truncate_unit(counts / constant(photons, counts))
