"""Images a second of several sides that take turns."""

import statistics
from collections.abc import Callable, Mapping

import torch

from nsbench.util.progress import stage
from nsbench.util.timing import timed

Side = tuple[Callable[[], object], int]
"""What is timed, and the images that one call of it works on."""


def rates(
    title: str, sides: Mapping[str, Side], rounds: int, device: torch.device
) -> dict[str, float]:
    """Images a second of each side: the median of `rounds` calls, in which the sides take turns.

    One more round comes first and is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    with stage(title, len(sides) * (rounds + 1), "runs") as advance:
        for _ in range(rounds + 1):
            # In turns, so that a machine that slows down slows all sides.
            for name, (run, _images) in sides.items():
                seconds[name].append(timed(run, device))
                advance()
    # The first round compiles kernels, fills caches and grows memory pools.
    return {
        name: images / statistics.median(seconds[name][1:]) for name, (_, images) in sides.items()
    }
