"""Random draws for a batch, each image from a stream of its own.

A stream depends on (seed, image id, purpose of the draw) alone, and what is drawn from it is whole
numbers, or made of them by single exact operations: the same on every device.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.pixels import splitmix
from nsbench.util.errors import ArgumentError
from nsbench.util.randomness import stable_hash
from nsbench.util.text import a_type

Key = int | str


def as_keys(ids: Sequence[Key] | torch.Tensor) -> list[Key]:
    """Image ids as Python strings and whole numbers. Raises ValueError for anything else."""
    if isinstance(ids, str):  # a sequence too, of its letters
        raise ArgumentError("ids are one for each image: give a list, not one string")
    given = ids.tolist() if isinstance(ids, torch.Tensor | np.ndarray) else ids
    if not isinstance(given, Iterable):
        raise ArgumentError(f"ids is {a_type(ids)}, but must be a list")
    chosen = list(given)
    wrong = [key for key in chosen if not isinstance(key, str) and not is_whole(key)]
    if wrong:
        raise ArgumentError(f"ids are strings or whole numbers, not {wrong[0]!r}")
    return [key if isinstance(key, str) else int(key) for key in chosen]


def is_whole(value: object) -> bool:
    """Whether a value is an integer of Python or NumPy, and not a Boolean."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


class Draws:
    """The streams of a batch of images.

    Every method returns one value or field for each image, stacked along the first dimension, and
    advances all streams alike.

    Args:
        ids: one id per image.
        seed: of all draws.
        key: the purpose of the draws, e.g. `fog/3`.
        device: where the fields are made.

    """

    def __init__(self, ids: Sequence[Key], seed: int, key: str, device: torch.device) -> None:
        hashes = [stable_hash(seed, image_id, key) for image_id in ids]
        # Half of the hash's 128 bits each. A step must be odd, for the counter to meet every state.
        self._streams: splitmix.Streams = np.array(
            [(value >> 64, value % 2**64 | 1) for value in hashes], np.uint64
        ).reshape(-1, 2)
        self._drawn = 0
        self.device = device

    def numbers(self, count: int) -> NDArray[np.float64]:
        """Uniform float64 (B, count) in [0, 1), drawn on the CPU whatever the device is."""
        words = splitmix.words(self._streams, self._advance(count), count, torch.device("cpu"))
        return np.asarray((words.numpy().view(np.uint64) >> np.uint64(11)) * 2.0**-53, np.float64)

    def words(self, *shape: int) -> torch.Tensor:
        """32 random bits each, as int32 (B, *shape)."""
        return self._fields(shape, torch.int32)

    def halves(self, *shape: int) -> torch.Tensor:
        """16 random bits each, as int16 (B, *shape)."""
        return self._fields(shape, torch.int16)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Uniform float32 (B, *shape) in [0, 1), multiples of 2^-24."""
        return (self.words(*shape) >> 8).bitwise_and_(2**24 - 1).float().mul_(2.0**-24)

    def integers(self, low: int, high: int, *shape: int) -> torch.Tensor:
        """Whole numbers int8 (B, *shape), each in [low, high).

        Of 16 random bits each, so that for a few numbers none is rarer than another by more than a
        share of (high - low) / 2^16.
        """
        scaled = self.halves(*shape).int().bitwise_and_(2**16 - 1).mul_(high - low)
        return (scaled >> 16).add_(low).to(torch.int8)

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal float32 (B, *shape), up to 6.1 in size: a sum of two from a table."""
        words = self.words(*shape).flatten()
        table = _normal_table(self.device)
        low, high = words.bitwise_and(2**16 - 1), (words >> 16).bitwise_and_(2**16 - 1)
        noise = table.index_select(0, low).add_(table.index_select(0, high))
        return noise.view(-1, *shape)

    def _fields(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        if not len(self._streams):  # an empty array has no strides to be seen as another type
            return torch.empty(0, *shape, dtype=dtype, device=self.device)
        values = prod(shape)
        count = -(-values * dtype.itemsize // 8)
        words = splitmix.words(self._streams, self._advance(count), count, self.device)
        # Of a word the lower part comes first, as all machines that torch runs on store it.
        return words.view(dtype)[:, :values].reshape(-1, *shape)

    def _advance(self, count: int) -> int:
        first = self._drawn
        self._drawn += count
        return first


NORMALS = 2**16
"""Entries of the table of normal numbers."""


def normal_quantiles() -> NDArray[np.float64]:
    """Numbers whose sums of two, each drawn from all of them, are standard normal; float64 (2^16,).

    Quantiles of the normal distribution in the middles of equal shares, scaled to the variance 1/2.
    Two together have its tails up to 6.1 standard deviations. They are multiples of 2^-20, so that
    a float32 holds them and their sums exactly, whatever the last bits of the quantiles here were.
    """
    shares = (torch.arange(NORMALS, dtype=torch.float64) + 0.5) / NORMALS
    quantiles = torch.special.ndtri(shares).numpy()
    return np.asarray(np.round(quantiles / np.sqrt(2 * np.mean(quantiles**2)) * 2**20) / 2**20)


@lru_cache(maxsize=16)  # the devices of a machine; 256 KB each
def _normal_table(device: torch.device) -> torch.Tensor:
    return torch.from_numpy(normal_quantiles().astype(np.float32)).to(device)
