"""Intervals and tests. An image is the unit: its 75 corrupted versions move together."""

import math
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from threading import Lock
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nsbench.metrics.given import COUNT, FLAGS, NUMBERS, given
from nsbench.util.errors import ArgumentError

RESAMPLES = 2000
"""Of every bootstrap. More would steady the ends of intervals and take longer in proportion; with
2,000 the smallest p-value, 2 / 2001, stays below 0.05 when it is adjusted for up to 50 rows."""

Z_95 = 1.959963984540054
"""The 97.5% quantile of the standard normal distribution, for two-sided 95%."""

CHUNK = 2**21
"""Counts drawn at once: about 30 MB with their draws. The results do not depend on it."""

BLOCK = 8
"""Resamples added up at once, a divisor of their number: few enough to stay in a cache."""

KEPT = 2**27
"""Counts, a byte each, up to which those of a number of images are kept for reuse: a file of 134
MB, for 67,000 images, and four at most. The results do not depend on it."""


_one_reader = Lock()  # of the files of counts, which threads share


class Interval(NamedTuple):
    """A 95% interval, in the unit of the value."""

    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0


class Estimate(NamedTuple):
    """A value and its 95% interval, in the unit of the value."""

    value: float
    interval: Interval


@given(successes=COUNT, trials=COUNT)
def wilson(successes: int, trials: int) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927), in fractions.

    Raises ValueError without trials.
    """
    if trials < 1:
        raise ValueError("an interval needs at least one trial")
    # Beyond, the root would be of a negative number.
    if not 0 <= successes <= trials:
        raise ArgumentError(f"successes is {successes}, but must be from 0 to trials, {trials}")
    share, z = successes / trials, Z_95
    centre = share + z * z / (2 * trials)
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    # exactly 0 and 1 where rounding would leave a trace
    low = (centre - half) / scale if successes else 0.0
    return Interval(low, (centre + half) / scale if successes < trials else 1.0)


@given(scores=NUMBERS, seed=COUNT)
def bootstrap(scores: NDArray[np.float64], seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean of per-image scores (N,), 2,000 resamples of the images.

    Given the differences of two models' scores on the same images it is the paired interval of
    their difference; all metrics here are means over images, so this one function serves them all.
    Raises ValueError without scores.
    """
    if seed < 0:
        raise ArgumentError(f"seed is {seed}, but must be at least 0")
    return percentile_interval(resampled_means(scores[:, None], seed)[:, 0])


def column_intervals(scores: NDArray[np.float64], seed: int = 0) -> list[Interval]:
    """The intervals of `bootstrap` for each of M columns of per-image scores (N, M), at once."""
    return [percentile_interval(column) for column in resampled_means(scores, seed).T]


def constant_interval(score: float, images: int, low: float, high: float) -> Interval:
    """The 95% interval of a mean of scores between `low` and `high` that are `score` on all images.

    Resamples of equal scores are all the same, so that a bootstrap has no width. But at most a
    share z^2 / (n + z^2) of all images, Wilson's bound for 0 of n, has another score, which may lie
    at either end. Where all n images are wrong the mean error is thus at least n / (n + z^2).
    Raises ValueError without images.
    """
    unlike = wilson(0, images).high
    return Interval(score - unlike * (score - low), score + unlike * (high - score))


def percentile_interval(values: NDArray[np.float64]) -> Interval:
    """The middle 95% of a statistic's values on the resamples, (R,)."""
    low, high = np.quantile(values, [0.025, 0.975])  # 2.5% beyond either end
    return Interval(float(low), float(high))


def bootstrap_p(values: NDArray[np.float64]) -> float:
    """Two-sided p-value of zero, from a statistic's values on the resamples, (R,).

    Twice the share of resamples on the rarer side of zero, zeros counting to both sides and the
    sample itself to either (Davison and Hinkley 1997, 4.2.3): below 0.05 just where the percentile
    interval excludes zero, but for rounding, and never below 2 / (R + 1).
    """
    rarer = min(np.count_nonzero(values <= 0), np.count_nonzero(values >= 0))
    return min(1.0, 2 * (1 + rarer) / (1 + len(values)))


def resampled_means(scores: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """The means (R, M) of M columns of per-image scores (N, M) on 2,000 resamples of the images.

    An image enters a resample with all its scores, so columns stay paired and cells of one image
    move together. The resamples depend on N and the seed alone. Raises ValueError without scores.
    """
    if not len(scores):
        raise ValueError("an interval needs at least one score")
    # float64 for BLAS; counts are whole numbers, so nothing is lost. A few resamples at a time, in
    # memory that is used again: what is new each time takes most of the time.
    block = np.empty((BLOCK, len(scores)))
    sums = np.empty((RESAMPLES, scores.shape[1]))
    row = 0
    with _one_reader:
        for counts in _counts(len(scores), seed):
            for start in range(0, len(counts), BLOCK):
                np.copyto(block, counts[start : start + BLOCK])
                np.matmul(block, scores, out=sums[row : row + BLOCK])
                row += BLOCK
    means: NDArray[np.float64] = sums / len(scores)
    return means


def resampled_counts(images: int, seed: int = 0) -> NDArray[np.uint8]:
    """How often each image is in each of 2,000 resamples, (R, N), by N and the seed alone."""
    return np.concatenate(list(_draw(images, seed)))


def _counts(images: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    """How often each image is in each resample, in chunks (rows, N)."""
    if images * RESAMPLES > KEPT:
        yield from _draw(images, seed)
        return
    file = _kept(images, seed)
    file.seek(0)
    for rows in _rows(images):
        yield np.fromfile(file, np.uint8, rows * images).reshape(rows, images)


@lru_cache(maxsize=4)
def _kept(images: int, seed: int) -> IO[bytes]:
    # drawing takes most of the time, and a report asks for hundreds of intervals on the images of a
    # few suites in turn; files, so that memory does not grow with their number
    file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it is read for as long as it is kept
    for counts in _draw(images, seed):
        counts.tofile(file)
    return file


def _rows(images: int) -> list[int]:
    """How many resamples each chunk has."""
    # Whole blocks, so that all resamples are added up alike; one at least, of however many images.
    rows = max(1, CHUNK // images // BLOCK) * BLOCK
    return [min(rows, RESAMPLES - start) for start in range(0, RESAMPLES, rows)]


def _draw(images: int, seed: int) -> Iterator[NDArray[np.uint8]]:
    # Chunks take their draws one after the other from one generator, so that their size is of no
    # effect.
    rng = np.random.default_rng(seed)
    for rows in _rows(images):
        shape = (rows, images)
        draws = rng.integers(images, size=shape, dtype=np.int32)
        counts = np.empty(shape, np.uint8)  # that one image is drawn 256 times has odds of 10^-507
        for row, drawn in zip(counts, draws, strict=True):
            row[:] = np.bincount(drawn, minlength=images)
        yield counts


@given(only_a=COUNT, only_b=COUNT)
def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value of two models being right equally often (McNemar 1947).

    only_a, only_b: the images that one of the two alone gets right; under the hypothesis each is
    a fair coin. 1 where there are none. Raises ValueError for negative counts.
    """
    if min(only_a, only_b) < 0:
        raise ValueError("counts of images are not negative")
    trials, fewer = only_a + only_b, min(only_a, only_b)
    # Twice the tail would count the middle term twice.
    if only_a == only_b:
        return 1.0
    # the likeliest term by logarithms, as 2^-trials underflows; the others by their ratios to it
    log_term = math.lgamma(trials + 1) - math.lgamma(fewer + 1) - math.lgamma(trials - fewer + 1)
    steps = np.arange(fewer, 0, -1)
    tail = 1 + float(np.cumprod(steps / (trials - steps + 1)).sum())
    return min(1.0, 2 * tail * math.exp(log_term - trials * math.log(2)))


def benjamini_hochberg(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """P-values (M,) adjusted for being many (Benjamini and Hochberg 1995), in their order.

    Calling those below 0.05 different is wrong for at most 5% of the calls on average.
    Raises ValueError for numbers outside 0 to 1.
    """
    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("a p-value lies between 0 and 1")
    # From the largest down: each is multiplied by M / rank, and none may exceed a larger one's.
    order = np.argsort(values)[::-1]
    scaled = values[order] * len(values) / np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled), 1)
    return adjusted


@given(correct_a=FLAGS, correct_b=FLAGS)
def error_consistency(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> Estimate:
    """Cohen's kappa of which images (N,) two models get right (Geirhos et al., NeurIPS 2020).

    0: they agree as often as two independent models of their accuracies would; 1: on every image,
    also where both are right on all, as in the authors' code. The interval is bootstrapped.
    Raises ValueError for different numbers of images, or none.
    """
    if correct_a.shape != correct_b.shape:
        raise ValueError("error consistency needs two models' predictions of the same images")
    columns = np.stack([correct_a, correct_b, correct_a == correct_b], 1).astype(np.float64)
    resamples = _kappa(resampled_means(columns))
    value = _kappa(columns.mean(0, keepdims=True))
    return Estimate(float(value[0]), percentile_interval(resamples))


def _kappa(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kappa (R,) of accuracies and observed agreement in the columns of (R, 3)."""
    a, b, observed = means.T
    chance = a * b + (1 - a) * (1 - b)
    agree = observed == 1  # where chance may be 1 too, and kappa 0 / 0
    kappa: NDArray[np.float64] = (observed - chance) / np.where(agree, 1, 1 - chance)
    return np.where(agree, 1, kappa)
