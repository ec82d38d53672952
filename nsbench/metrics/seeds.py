"""A metric over trainings of several seeds: mean, spread, an interval over seeds and images.

An interval over images tells how one trained model would do on other images. What a recipe gives
varies with the seed too, by which the labels are chosen, the weights begin and the noise is drawn;
an interval over seeds and images covers both, and is another thing with another name.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsbench.metrics.change import (
    MIN_IMAGES,
    DetectionMetric,
    Metric,
    least_and_most,
    on_resamples,
)
from nsbench.metrics.intervals import (
    Z_95,
    Interval,
    constant_interval,
    percentile_interval,
    resampled_means,
)
from nsbench.metrics.robustness import Floats
from nsbench.util.errors import NsbenchError

OVER = "seeds and images"
"""What such an interval is over, as data and tables call it."""

T_975 = (12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157)
"""The 97.5% quantiles of Student's t distribution with 1 to 9 degrees of freedom (Fisher 1925)."""


@dataclass(frozen=True)
class OverSeeds:
    """A metric in percent, or its change, over seeds.

    values: of each seed. images: on which each was measured. interval: the 95% interval over seeds
    and images, None for one seed, which cannot tell how seeds vary.
    """

    values: tuple[float, ...]
    images: int
    interval: Interval | None

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds, with n - 1 below; None for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class SeedChange(OverSeeds):
    """The change of a metric over seeds: each seed's model against its base on the same images."""

    better: bool

    @property
    def significant(self) -> bool:
        """Whether the interval over seeds and images excludes zero, on enough images."""
        return bool(self.images >= MIN_IMAGES and self.interval and self.interval.excludes_zero)


def over_seeds(metrics: Sequence[Metric]) -> OverSeeds:
    """A metric of the same images in each seed.

    Raises NsbenchError if the seeds were measured on different images.
    """
    values, images = tuple(metric.value for metric in metrics), _common_images(metrics)
    least = min(metric.bounds[0] for metric in metrics)
    most = max(metric.bounds[1] for metric in metrics)
    scores = np.stack([metric.scores for metric in metrics], 1)
    if not _is_mean(metrics):
        resampled = np.stack([on_resamples(metric) for metric in metrics]).mean(0)
        return OverSeeds(values, images, _within(interval_over(values, resampled), least, most))
    return OverSeeds(values, images, _of_scores(scores, least, most))


def change_over_seeds(metrics: Sequence[Metric], bases: Sequence[Metric]) -> SeedChange:
    """Each seed's metric minus its base, paired: both sides have the same seeds and images.

    Raises NsbenchError if they were measured on different images.
    """
    pairs = list(zip(metrics, bases, strict=True))
    images = _common_images([*metrics, *bases])
    values = tuple(metric.value - base.value for metric, base in pairs)
    better = (statistics.fmean(values) > 0) == metrics[0].higher_is_better
    bounds = [least_and_most(*pair) for pair in pairs]
    least, most = min(low for low, _ in bounds), max(high for _, high in bounds)
    if not _is_mean(metrics):
        resampled = np.stack([on_resamples(m) - on_resamples(b) for m, b in pairs]).mean(0)
        interval = _within(interval_over(values, resampled), least, most)
        return SeedChange(values, images, interval, better)
    scores = np.stack([metric.scores - base.scores for metric, base in pairs], 1)
    return SeedChange(values, images, _of_scores(scores, least, most), better)


def _is_mean(metrics: Sequence[Metric]) -> bool:
    """Whether the metric is a mean over images, which that of a detection is not."""
    return not any(isinstance(metric, DetectionMetric) for metric in metrics)


def _common_images(metrics: Sequence[Metric]) -> int:
    """How many images all were measured on."""
    for metric in metrics:
        if metric.ids != metrics[0].ids:
            raise NsbenchError(
                f"{metric.name} was measured on different images in different seeds: evaluate them "
                "again, in one command"
            )
    return len(metrics[0].ids)


def _of_scores(scores: Floats, least: float, most: float) -> Interval | None:
    """The interval of per-image scores (N, S) between `least` and `most`, in S seeds."""
    images, seeds = scores.shape
    if seeds > 1 and bool((scores == scores[0, 0]).all()):  # whose resamples have no width
        return constant_interval(float(scores[0, 0]), images, least, most)
    resampled = resampled_means(scores.mean(1, keepdims=True))[:, 0]
    return _within(interval_over(scores.mean(0).tolist(), resampled), least, most)


def _within(interval: Interval | None, least: float, most: float) -> Interval | None:
    """The part of an interval that can be: widened, it may end below an accuracy of 0."""
    return interval and Interval(max(interval.low, least), min(interval.high, most))


def interval_over(
    values: Sequence[float], resampled: NDArray[np.float64], seed: int = 0
) -> Interval | None:
    """The 95% interval over seeds and images by a two-level bootstrap; None for one seed.

    values: a statistic of each of S seeds. resampled: its mean over seeds on R = 2,000 resamples of
    the images, (R,), which all seeds share, so that what an image does in all of them stays
    together. With each resample S of the S values are drawn too, with replacement, and their
    deviation from the mean is added. The draws depend on S and `seed` alone, so that those of a
    paired difference are of the same seeds on both sides.

    With few seeds such draws vary too little: by the root of (S - 1) / S, and with normal tails in
    place of Student's. Where seeds differ much, nominal 95% intervals of three seeds then cover
    75%. So the deviations are widened by the root of S / (S - 1) and by t / z: where the images
    play no part, the interval is about as wide as Student's. Simulated, it covers 92% or more with
    three, five and ten seeds; more, where trainings of one seed disagree on many images, as their
    noise is then in both parts. It would be in them twice if seeds were drawn by their values on
    the resample. The ends are percentiles: BCa would estimate its acceleration from as few seeds.
    """
    seeds, known = len(values), np.array(values)
    if seeds < 2:
        return None
    drawn = np.random.default_rng(seed).integers(seeds, size=(len(resampled), seeds))
    deviation = known[drawn].mean(1) - known.mean()
    widened = (seeds / (seeds - 1)) ** 0.5 * t_975(seeds - 1) / Z_95
    return percentile_interval(resampled + widened * deviation)


def t_975(freedom: int) -> float:
    """The 97.5% quantile of Student's t distribution, to three decimals.

    Raises ValueError below 1 degree of freedom.
    """
    if freedom < 1:
        raise ValueError("Student's t has 1 degree of freedom at least")
    if freedom <= len(T_975):
        return T_975[freedom - 1]
    # Peizer's expansion in 1 / freedom (Abramowitz and Stegun 26.7.5).
    z, n = Z_95, freedom
    first = (z**3 + z) / (4 * n)
    second = (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
    return z + first + second + third
