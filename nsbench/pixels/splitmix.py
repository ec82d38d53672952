"""Random bits by counting: the same on every device, for it is whole-number arithmetic.

A stream is two 64-bit numbers, a start and an odd step. Its word n is SplitMix64's finisher
(Steele, Lea and Flood 2014) of start + (n + 1) * step, modulo 2^64. So any part of any stream can
be made by itself, and a whole batch at once. `words` is this definition in NumPy, in torch and, in
`_splitmix_triton`, as one kernel.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.util.device import sent
from nsbench.util.errors import first_line
from nsbench.util.progress import say
from nsbench.util.randomness import splitmix64

Streams = NDArray[np.uint64]
"""Start and step of each stream, uint64 (B, 2)."""

Kernel = Callable[[torch.Tensor, int, int], torch.Tensor]
"""As `words`, of streams that are int64 (B, 2) on the device."""


def words(streams: Streams, first: int, count: int, device: torch.device) -> torch.Tensor:
    """Words `first` to `first + count - 1` of each stream, int64 (B, count) on the device."""
    if device.type == "cpu":
        places = np.arange(first + 1, first + 1 + count, dtype=np.uint64)
        states = streams[:, :1] + places * streams[:, 1:]  # arrays wrap modulo 2^64
        return torch.from_numpy(splitmix64(states).view(np.int64))
    kernel = triton_kernel(device) or words_in_steps
    return kernel(sent(torch.from_numpy(streams.view(np.int64)), device), first, count)


def words_in_steps(streams: torch.Tensor, first: int, count: int) -> torch.Tensor:
    """The same by torch's operations, on any device.

    Takes int64 (B, 2) streams and returns int64 (B, count) on their device.
    """
    places = torch.arange(first + 1, first + 1 + count, device=streams.device)
    state = places * streams[:, 1:] + streams[:, :1]
    # torch shifts with the sign, which the masks take away again.
    state ^= (state >> 30).bitwise_and_(2**34 - 1)
    state *= 0xBF58476D1CE4E5B9 - 2**64
    state ^= (state >> 27).bitwise_and_(2**37 - 1)
    state *= 0x94D049BB133111EB - 2**64
    state ^= (state >> 31).bitwise_and_(2**33 - 1)
    return state


@lru_cache(maxsize=16)  # the devices of a machine
def triton_kernel(device: torch.device) -> Kernel | None:
    """The kernel, tried once; None where it does not run, with a line that says so."""
    if device.type != "cuda":
        return None
    try:
        from nsbench.pixels._splitmix_triton import words_by_triton

        streams = torch.tensor([[3, 5], [-7, 11]])
        found = words_by_triton(streams.to(device), 1, 9).cpu()
    # Whatever it is: Triton may be missing, or a compiler that it needs, or the GPU too old.
    except Exception as error:
        say(f"random numbers are drawn in more steps, as Triton fails here: {first_line(error)}")
        return None
    if not torch.equal(found, words_in_steps(streams, 1, 9)):
        say("random numbers are drawn in more steps, as Triton gives wrong ones here")
        return None
    return words_by_triton
