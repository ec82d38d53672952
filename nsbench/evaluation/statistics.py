"""Intervals. An image is the unit: its 75 corrupted versions move together."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
Z_95 = 1.959963984540054


class Interval(NamedTuple):
    """A 95% interval, in the unit of the value."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0


def wilson(successes: int, trials: int) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927), in fractions.

    Raises ValueError without trials.
    """
    if trials < 1:
        raise ValueError("an interval needs at least one trial")
    share, z = successes / trials, Z_95
    centre = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return Interval(max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale))


def bootstrap(scores: NDArray[np.float64], seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean of per-image scores (N,), 2,000 resamples of the images.

    Given the differences of two models' scores on the same images it is the paired interval of
    their difference; all metrics here are means over images, so this one function serves them all.
    Raises ValueError without scores.
    """
    if not len(scores):
        raise ValueError("an interval needs at least one score")
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        means[index] = scores[rng.integers(len(scores), size=len(scores))].mean()
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(low), float(high))
