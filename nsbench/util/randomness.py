"""Random draws that depend on what is drawn for, never on batch size, rank or order."""

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray


def stable_hash(*keys: object) -> int:
    """A 128-bit hash of the keys' text, the same in every process and on every machine."""
    # the unit separator, which no name holds, keeps (1, 23) and (12, 3) apart
    text = "\x1f".join(str(key) for key in keys)
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")


def generator(seed: int, *keys: object) -> np.random.Generator:
    """The random stream of (seed, keys), e.g. `generator(0, image_id, "fog/3")`."""
    # NumPy takes integers of any size as a seed, so all 128 bits count
    return np.random.default_rng(stable_hash(seed, *keys))


INCREMENT = np.uint64(0x9E3779B97F4A7C15)
"""Of SplitMix64's state: 2^64 over the golden ratio."""

ROUNDS = np.arange(1, 9, dtype=np.uint64) * INCREMENT

"""The round keys' offsets; eight rounds, where four already pass for a random permutation (Luby and
Rackoff 1988)."""


def feistel_permutation(
    positions: NDArray[np.int64], count: int, *keys: object
) -> NDArray[np.int64]:
    """Where a random permutation of [0, count) puts some positions, without making all of it.

    positions: int64 (N,) in [0, count). The permutation depends on count and the keys alone. It is
    a Feistel network of eight rounds on the next larger power of four, whose values outside the
    range are put through it again until they fall inside.
    """
    # half the bits of the largest position, rounded up: a Feistel network needs two equal halves
    half = max(1, (max(count - 1, 1).bit_length() + 1) // 2)
    rounds = splitmix64(np.uint64(stable_hash(*keys) % 2**64) + ROUNDS)
    values = positions.astype(np.uint64)
    outside = np.ones(len(values), dtype=bool)
    # cycle walking (Black and Rogaway 2002): at most three of four values are outside, so few
    # rounds
    while outside.any():
        values[outside] = _feistel(values[outside], half, rounds)
        outside = values >= count
    return values.astype(np.int64)


def _feistel(
    values: NDArray[np.uint64], half: int, rounds: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    mask, width = np.uint64(2**half - 1), np.uint64(half)
    left, right = values >> width, values & mask
    for key in rounds:
        left, right = right, left ^ (splitmix64(splitmix64(right) + key) & mask)
    return (left << width) | right


def splitmix64(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Each value to another that looks random: the finisher of SplitMix64 (Steele et al. 2014)."""
    # In place after the first step, which takes half the time for large arrays.
    mixed = values ^ (values >> np.uint64(30))
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
