"""Gaussian, shot, impulse and speckle noise.

Each corruption is two functions: `draw_…` makes what is random for a batch of images, the other
applies it.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.pixels.convert import Shape, truncate
from nsbench.pixels.draws import Draws

# At least this many bits of a Poisson draw choose a column of the alias table, and the others
# decide within it. More make larger tables and other draws; 7 are 128 columns, 64 KB of outcomes.
BITS = 7


def draw_normal(draws: Draws, shape: Shape, level: object) -> torch.Tensor:
    """Standard normal float32 (B, 3, H, W), for Gaussian and speckle noise."""
    return draws.normal(3, *shape)


def gaussian_noise(images: torch.Tensor, std: float, noise: torch.Tensor) -> torch.Tensor:
    """Add normal noise of this standard deviation, on the [0, 1] scale."""
    # In place on the product, which is new, so that one array of floats is enough.
    return truncate((noise * (255 * std)).add_(images))


def speckle_noise(images: torch.Tensor, std: float, noise: torch.Tensor) -> torch.Tensor:
    """Add normal noise of this standard deviation times the value."""
    return truncate((noise * std).add_(1).mul_(images))


def draw_words(draws: Draws, shape: Shape, level: object) -> torch.Tensor:
    """32 random bits a value, int32 (B, 3, H, W), for shot and impulse noise."""
    return draws.words(3, *shape)


def impulse_noise(images: torch.Tensor, amount: float, words: torch.Tensor) -> torch.Tensor:
    """Replace this share of the values, half of them by 0 and half by 255.

    Values are replaced one by one, not pixel by pixel, as scikit-image's `random_noise` does.
    """
    # A word is uniform in [-2^31, 2^31). Below the upper threshold a value becomes white, and then
    # black below the lower one, which has half of those words.
    pepper, salt = (round(share * 2**32) - 2**31 for share in (amount / 2, amount))
    result = _unchanged(images.device).index_select(0, images.flatten().int()).view(images.shape)
    return result.masked_fill_(words < salt, 255).masked_fill_(words < pepper, 0)


def shot_noise(images: torch.Tensor, photons: float, words: torch.Tensor) -> torch.Tensor:
    """Replace each value by a Poisson count of that many expected photons for white.

    Counts are drawn by the alias method (Walker, 1977): a column of a table from some of the random
    bits, and one of the column's two counts from the others.
    """
    threshold, values = _tables_on(images.device, photons)
    columns = values.shape[1] // 2
    low = 32 - columns.bit_length() + 1  # bits that are left to decide within a column
    column = (words >> low).add_(columns // 2)  # the shift keeps the sign
    # Tables are read by flat indices, of a value's row and a column. The two outcomes of a column
    # stand side by side, the second where the rest of the bits reaches the threshold.
    entry = (images.int() * columns).add_(column).flatten()
    rest = words.bitwise_and(2**low - 1).flatten()
    entry = (entry * 2).add_(rest >= threshold.flatten().index_select(0, entry))
    return values.flatten().index_select(0, entry).view(images.shape)


@lru_cache(maxsize=8)  # five severities, or three difficulties, at one size
def alias_tables(photons: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Per 8-bit value, the columns' thresholds and their two outcomes side by side.

    Returns int32 (256, n) thresholds among the low bits of a word, and uint8 (256, 2n) pixels, with
    n a power of two that holds all counts whose probability matters.
    """
    # White's mean and 12 of its standard deviations, and 20 more for small means, whose tail is
    # heavier: counts beyond have a probability below 1e-30.
    columns = 1 << max(BITS, int(photons + 12 * photons**0.5 + 20).bit_length())
    scale = 2 ** (32 - columns.bit_length() + 1)
    counts = np.arange(columns)
    # In the original's order of operations, in float64, since the fraction is cut off.
    pixels = (np.minimum(counts / photons, 1.0) * 255).astype(np.uint8)
    threshold = np.empty((256, columns), np.int32)
    outcome = np.empty((256, columns, 2), np.uint8)
    for value in range(256):
        share, alias = _alias(_poisson(value / 255 * photons, columns))
        threshold[value] = np.round(share * scale).clip(0, scale)
        outcome[value] = np.stack((pixels, pixels[alias]), 1)
    return torch.from_numpy(threshold), torch.from_numpy(outcome.reshape(256, -1))


@lru_cache(maxsize=16)
def _tables_on(device: torch.device, photons: float) -> tuple[torch.Tensor, torch.Tensor]:
    threshold, values = alias_tables(photons)
    return threshold.to(device), values.to(device)


def _poisson(rate: float, columns: int) -> NDArray[np.float64]:
    """Probabilities of the counts 0, 1, …, those beyond the table going to its last count."""
    # From the likeliest count on, each from its neighbour: by products and quotients alone, which
    # every processor rounds alike, as it does not logarithms and exponentials.
    middle, counts = int(rate), np.arange(1.0, columns)
    below = np.cumprod(counts[:middle][::-1] / rate) if middle else np.empty(0)
    above = np.cumprod(rate / counts[middle:])
    shares = np.concatenate((below[::-1], [1.0], above))
    return np.asarray(shares / shares.cumsum()[-1])  # a sum whose order is certain


def _alias(shares: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vose's construction: the share of each column's own count, and the count of the rest."""
    # Columns are equally likely, so that each must hold 1 / n of the probability: what is missing
    # in a small one is filled with a part of a large one.
    own = shares * len(shares)
    alias = np.arange(len(shares))
    small, large = list(np.flatnonzero(own < 1)), list(np.flatnonzero(own >= 1))
    while small and large:
        low, high = small.pop(), large.pop()
        alias[low] = high
        own[high] -= 1 - own[low]
        (small if own[high] < 1 else large).append(high)
    own[small + large] = 1  # what is left differs from 1 by rounding only
    return own, alias


@lru_cache(maxsize=4)
def _unchanged(device: torch.device) -> torch.Tensor:
    """What the original makes of an untouched value: some x / 255 * 255 are truncated to x - 1."""
    values = np.arange(256) / 255.0
    return torch.from_numpy((values * 255).astype(np.uint8)).to(device)
