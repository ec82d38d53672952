"""Random numbers of an image that depend on its key and on what they are drawn for, nothing else.

They are counter-based: the output function of SplitMix64 (Steele, Lea and Flood 2014, "Fast
splittable pseudorandom number generators") is applied to the key plus a multiple of its
increment. So there is no state to save, a batch is drawn in a few NumPy operations on the host, and
the values are the same on every platform, in every batch and in every order.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from nsbench.util.randomness import INCREMENT, splitmix64, stable_hash

Keys = NDArray[np.uint64]


class Purpose(IntEnum):
    """What the numbers are drawn for. Layers of RandAugment add multiples of 4 to the last four."""

    # Any numbers would do, as long as no two meet; but others give other draws, so that earlier
    # runs could not be repeated.
    FLIP = 0
    CROP_TOP = 1
    CROP_LEFT = 2
    CUTOUT_ROW = 3
    CUTOUT_COLUMN = 4
    LAYER_OPERATION = 8
    LAYER_SIGN = 9
    LAYER_ROW = 10
    LAYER_COLUMN = 11


def image_keys(seed: int, stream: str, positions: NDArray[np.int64]) -> Keys:
    """One key per image: uint64 (B,).

    Args:
        seed: of the run.
        stream: what the images are for, e.g. `labeled`; streams do not share numbers.
        positions: int64 (B,), how many images the run used before each one.

    """
    start = np.uint64(stable_hash(seed, stream) % 2**64)
    return _output(start, positions.astype(np.uint64))


def uniform(keys: Keys, purpose: int) -> NDArray[np.float64]:
    """One number per key, float64 (B,), uniform in [0, 1) in steps of 2^-53."""
    # 53 of 64 bits, which a float64 holds exactly.
    return (_bits(keys, purpose) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def integers(keys: Keys, purpose: int, high: int) -> NDArray[np.int64]:
    """One whole number per key, int64 (B,), uniform in [0, high), for a `high` below 2^31."""
    # The upper 32 bits as a fraction, times `high`: no division, and a bias below high / 2^32.
    upper = _bits(keys, purpose) >> np.uint64(32)
    return (upper * np.uint64(high) >> np.uint64(32)).astype(np.int64)


def _bits(keys: Keys, purpose: int) -> Keys:
    return _output(keys, np.full(1, purpose, np.uint64))


def _output(start: np.uint64 | Keys, counter: Keys) -> Keys:
    """What SplitMix64 that began at `start` gives as its number `counter`."""
    return splitmix64(start + (counter + np.uint64(1)) * INCREMENT)  # arrays wrap modulo 2^64
