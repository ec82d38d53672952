"""A metric with its interval, and the change of one between two models."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from nsbench.metrics.calibration import DETECTION, curves
from nsbench.metrics.intervals import (
    Interval,
    bootstrap,
    bootstrap_p,
    constant_interval,
    mcnemar,
    percentile_interval,
    resampled_counts,
    resampled_means,
    wilson,
)
from nsbench.metrics.robustness import Floats
from nsbench.util.errors import ArgumentError, NsbenchError
from nsbench.util.progress import counted
from nsbench.util.text import a_type

MIN_IMAGES = 20
"""A change on fewer images than this is never called significant: percentile intervals of few are
too narrow (Hesterberg 2015). 20 is a round number; it decides verdicts, and no value."""

DETECTION_CHUNK = 50
"""Resamples of a detection at once, to keep the curves small: the results do not depend on it."""


@dataclass(frozen=True, repr=False)
class Metric:
    """A metric in percent (mT5D included) as the mean of per-image scores.

    proportion: whether the scores are 0 or 100, so that Wilson's interval applies. bounds: the
    least and greatest score that an image can have.
    """

    name: str
    ids: tuple[str, ...]
    scores: Floats
    higher_is_better: bool
    proportion: bool = False
    bounds: tuple[float, float] = (0.0, 100.0)

    def __post_init__(self) -> None:
        """Raises TypeError for fields of another type, and for scores of other images."""
        # By hand, as a check of each of 50,000 ids would take longer than the metric.
        scores = self.scores
        if not isinstance(self.name, str):
            raise TypeError(f"Metric: name is {a_type(self.name)}, but must be a text")
        if not isinstance(self.ids, tuple):
            raise TypeError(f"Metric: ids is {a_type(self.ids)}, but must be a tuple of texts")
        if not isinstance(scores, np.ndarray) or scores.ndim != 1 or scores.dtype.kind not in "fiu":
            raise TypeError(f"Metric: scores is {a_type(scores)}, but must be an array (N,)")
        if len(self.ids) != len(scores):
            raise ArgumentError(
                f"Metric: there are {counted(len(self.ids), 'id')} and "
                f"{counted(len(scores), 'score')}: give one id for each score"
            )

    def __repr__(self) -> str:
        """`<top-1: 96.1 [94.7, 97.1] of 1,000 images>`."""
        low, high = self.interval
        about = f"{self.value:z.1f} [{low:z.1f}, {high:z.1f}] of {len(self.scores):,} images"
        return f"<{self.name}: {about}>"

    @property
    def value(self) -> float:
        """The metric."""
        return float(self.scores.mean())

    @property
    def rank(self) -> float:
        """What sorts the best first: the metric, negative where higher is better."""
        return -self.value if self.higher_is_better else self.value

    @cached_property
    def interval(self) -> Interval:
        """Its 95% interval over images."""
        # A bootstrap of a share near 0 or 100% is too narrow, and without width at either end.
        if self.proportion:
            low, high = wilson(int(np.count_nonzero(self.scores)), len(self.scores))
            return Interval(100 * low, 100 * high)
        if _is_constant(self.scores):
            return constant_interval(float(self.scores[0]), len(self.scores), *self.bounds)
        return bootstrap(self.scores)


def _is_constant(scores: Floats) -> bool:
    return bool((scores == scores[:1]).all())


# eq: arrays have no single truth value; cached properties need no comparison.
@dataclass(frozen=True, eq=False)
class Detection:
    """Scores of images of unknown classes, which are `positive`, and of known ones, (N,) each.

    Its measures are those of `calibration.DETECTION`, as fractions by name.
    """

    scores: Floats
    positive: NDArray[np.bool_]

    @cached_property
    def values(self) -> dict[str, float]:
        """The measures."""
        both = curves(self.scores, self.positive)
        return {name: float(measure(*both)[0]) for name, measure in DETECTION.items()}

    @cached_property
    def resampled(self) -> dict[str, Floats]:
        """The measures on 2,000 resamples, (R,) each: each group of images is drawn from itself.

        The resamples depend on the numbers of images alone, so those of two models are paired.
        """
        # The number of the group as the seed: groups of equal size are drawn independently.
        drawn = [resampled_counts(int(kind.sum()), seed) for seed, kind in enumerate(self._kinds)]
        chunks = zip(*map(_in_chunks, drawn), strict=True)
        parts = [self._measured(*chunk) for chunk in chunks]
        return {name: np.concatenate([part[name] for part in parts]) for name in DETECTION}

    @property
    def _kinds(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        return self.positive, ~self.positive

    def _measured(self, *drawn: NDArray[np.uint8]) -> dict[str, Floats]:
        counts = np.empty((len(drawn[0]), len(self.scores)), np.uint8)
        for kind, times in zip(self._kinds, drawn, strict=True):
            counts[:, kind] = times
        both = curves(self.scores, self.positive, counts)
        return {name: measure(*both) for name, measure in DETECTION.items()}


def _in_chunks(counts: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    starts = range(0, len(counts), DETECTION_CHUNK)
    return [counts[start : start + DETECTION_CHUNK] for start in starts]


@dataclass(frozen=True, kw_only=True, repr=False)
class DetectionMetric(Metric):
    """One of the measures of a detection, not a mean over images. Scores are for pairing."""

    detection: Detection

    @property
    def value(self) -> float:
        """The measure in percent."""
        return 100 * self.detection.values[self.name]

    @cached_property
    def interval(self) -> Interval:
        """Its 95% interval over images of both groups."""
        return percentile_interval(100 * self.detection.resampled[self.name])


def on_common_images(one: Metric, other: Metric) -> tuple[Metric, Metric]:
    """Both metrics on the images that both were measured on, in the order of the first.

    Raises NsbenchError if there is none.
    """
    rows = {name: row for row, name in enumerate(other.ids)}
    kept = [(row, rows[name]) for row, name in enumerate(one.ids) if name in rows]
    if not kept:
        raise NsbenchError(f"{one.name} was measured on no image in common: evaluate again")
    return (
        _rows(one, [row for row, _ in kept]),
        _rows(other, [row for _, row in kept]),
    )


def _rows(metric: Metric, rows: list[int]) -> Metric:
    ids, scores = tuple(metric.ids[row] for row in rows), metric.scores[rows]
    if isinstance(metric, DetectionMetric):
        both = metric.detection
        detection = Detection(both.scores[rows], both.positive[rows])
        return replace(metric, ids=ids, scores=scores, detection=detection)
    return replace(metric, ids=ids, scores=scores)


@dataclass(frozen=True)
class Change:
    """The difference of a metric between two models on the same images.

    p_value: of no difference, by McNemar's test for proportions, else from the bootstrap.
    """

    value: float
    interval: Interval
    better: bool
    images: int
    p_value: float

    @property
    def significant(self) -> bool:
        """Whether the paired 95% interval excludes zero, on enough images."""
        return self.images >= MIN_IMAGES and self.interval.excludes_zero


def change(metric: Metric, base: Metric) -> Change:
    """`metric` minus `base`, with a paired bootstrap interval.

    Where all images changed by the same, as those of two models that are always wrong, that has no
    width, and the interval is that of `constant_interval`.
    Raises NsbenchError if the two were not measured on the same images.
    """
    return changes([metric], [base])[0]


def changes(metrics: Sequence[Metric], bases: Sequence[Metric]) -> list[Change]:
    """Each of `metrics` minus its base, as `change` has them; they share the resamples.

    All are of the same images. Raises NsbenchError if one was not measured on them.
    """
    for metric in (*metrics, *bases):
        if metric.ids != metrics[0].ids:
            raise NsbenchError(f"{metric.name} was measured on different images: evaluate again")
    pairs = list(zip(metrics, bases, strict=True))
    columns = _resampled(pairs)
    return [_change(*pair, column) for pair, column in zip(pairs, columns, strict=True)]


def changes_of_all(metrics: Sequence[Metric]) -> dict[tuple[int, int], Change]:
    """Each metric minus each later one, by the places of both; as `changes`, but for rounding.

    All are of the same images. Raises NsbenchError if one was not measured on them.
    """
    for metric in metrics:
        if metric.ids != metrics[0].ids:
            raise NsbenchError(f"{metric.name} was measured on different images: evaluate again")
    # Each metric is resampled once, and no pair: of 200 models there are 19,900 pairs, whose scores
    # on 50,000 images would be 8 GB. The mean of a difference is the difference of the means.
    if any(isinstance(metric, DetectionMetric) for metric in metrics):
        columns = np.stack([on_resamples(metric) for metric in metrics])
    else:
        columns = np.ascontiguousarray(
            resampled_means(np.stack([metric.scores for metric in metrics], 1)).T
        )
    return {
        (one, other): _change(metrics[one], metrics[other], columns[one] - columns[other])
        for one, other in combinations(range(len(metrics)), 2)
    }


def _resampled(pairs: Sequence[tuple[Metric, Metric]]) -> Sequence[Floats]:
    """The differences of each pair on the resamples, (R,)."""
    # A detection has no scores whose difference could be resampled: both models are, alike.
    if any(isinstance(metric, DetectionMetric) for metric, _ in pairs):
        return [on_resamples(metric) - on_resamples(base) for metric, base in pairs]
    # All columns in one product: the resamples are most of the work.
    means = resampled_means(np.stack([metric.scores - base.scores for metric, base in pairs], 1))
    return list(means.T)


def on_resamples(metric: Metric) -> Floats:
    """The metric on the resamples of its images, (R,)."""
    if isinstance(metric, DetectionMetric):
        return 100 * metric.detection.resampled[metric.name]
    return resampled_means(metric.scores[:, None])[:, 0]


def _change(metric: Metric, base: Metric, resampled: Floats) -> Change:
    difference = metric.scores - base.scores
    value = metric.value - base.value
    better = (value > 0) == metric.higher_is_better
    # Where images are right or wrong, the exact test of those that only one model gets right.
    if metric.proportion:
        p_value = mcnemar(int((difference < 0).sum()), int((difference > 0).sum()))
    else:
        p_value = bootstrap_p(resampled)
    return Change(value, _interval(metric, base, resampled), better, len(difference), p_value)


def _interval(metric: Metric, base: Metric, resampled: Floats) -> Interval:
    difference = metric.scores - base.scores
    if isinstance(metric, DetectionMetric) or not _is_constant(difference):
        return percentile_interval(resampled)
    return constant_interval(float(difference[0]), len(difference), *least_and_most(metric, base))


def least_and_most(metric: Metric, base: Metric) -> tuple[float, float]:
    """The bounds of a difference, from those of both metrics."""
    return metric.bounds[0] - base.bounds[1], metric.bounds[1] - base.bounds[0]
