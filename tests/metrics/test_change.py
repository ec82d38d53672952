"""A metric and its paired change between two models."""

import numpy as np
import pytest

from nsbench.metrics.change import (
    Detection,
    DetectionMetric,
    Metric,
    change,
    changes,
    changes_of_all,
    on_common_images,
)
from nsbench.util.errors import NsbenchError

RNG = np.random.default_rng(0)


def test_a_change_is_paired() -> None:
    scores = RNG.normal(50, 20, 200)
    base = Metric("m", tuple(map(str, range(200))), scores, True)
    better = Metric("m", base.ids, scores + RNG.normal(1, 0.5, 200), True)
    found = change(better, base)
    assert found.value == pytest.approx(1, abs=0.1)
    assert found.significant
    assert found.better
    assert found.interval.high - found.interval.low < 0.3  # against about 5.5 unpaired
    assert not change(base, better).better
    assert not change(base, base).significant
    with pytest.raises(NsbenchError, match="different images"):
        change(better, Metric("m", tuple(map(str, range(1, 201))), scores, True))


def test_a_change_on_a_handful_of_images_is_never_sure() -> None:
    few = tuple(map(str, range(19)))
    base = Metric("m", few, np.zeros(19), True)
    assert not change(Metric("m", few, np.full(19, 100.0), True), base).significant
    many = (*few, "19")
    base = Metric("m", many, np.zeros(20), True)
    assert change(Metric("m", many, np.full(20, 100.0), True), base).significant


def test_changes_share_their_resamples() -> None:
    ids = tuple(map(str, range(60)))
    before = [Metric("m", ids, RNG.normal(50, 20, 60), False) for _ in range(3)]
    after = [Metric("m", ids, RNG.normal(45, 20, 60), False) for _ in range(3)]
    together = changes(after, before)
    for one, other, both in zip(after, before, together, strict=True):
        alone = change(one, other)
        assert both.interval == pytest.approx(alone.interval)
        assert (both.value, both.better, both.p_value) == (alone.value, True, alone.p_value)


def test_the_p_value_of_proportions_is_mcnemars() -> None:
    ids = tuple(map(str, range(30)))
    before = Metric("m", ids, np.repeat([100.0, 0, 100], [2, 8, 20]), True, proportion=True)
    after = Metric("m", ids, np.repeat([0.0, 100, 100], [2, 8, 20]), True, proportion=True)
    assert change(after, before).p_value == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert change(before, before).p_value == 1


def test_common_images_keep_their_scores_in_the_order_of_the_first() -> None:
    one = Metric("m", ("a", "b", "c"), np.array([1.0, 2.0, 3.0]), True)
    other = Metric("m", ("c", "x", "a"), np.array([30.0, 0.0, 10.0]), True)
    mine, theirs = on_common_images(one, other)
    assert mine.ids == theirs.ids == ("a", "c")
    assert (mine.scores.tolist(), theirs.scores.tolist()) == ([1, 3], [10, 30])
    with pytest.raises(NsbenchError, match="no image in common"):
        on_common_images(one, Metric("m", ("y",), np.zeros(1), True))


def test_all_pairs_change_as_each_does() -> None:
    ids = tuple(map(str, range(120)))
    metrics = [Metric("m", ids, RNG.normal(50 + n, 20, 120), True) for n in range(3)]
    every = changes_of_all(metrics)
    assert list(every) == [(0, 1), (0, 2), (1, 2)]
    for (one, other), found in every.items():
        wanted = change(metrics[one], metrics[other])
        assert found.value == pytest.approx(wanted.value)
        assert tuple(found.interval) == pytest.approx(tuple(wanted.interval))
    metrics[1] = Metric("m", ids[::-1], metrics[1].scores, True)
    with pytest.raises(NsbenchError, match="different images"):
        changes_of_all(metrics)


def test_a_share_has_wilsons_interval_in_percent() -> None:
    right = Metric("m", tuple("abcdefghij"), np.repeat([0.0, 100.0], 5), True, proportion=True)
    # By hand: (5 + z²/2 ∓ z √(5 · 5 / 10 + z²/4)) / (10 + z²), z = 1.959964.
    assert right.interval == pytest.approx((23.659, 76.341), abs=1e-3)


def test_a_detection_does_not_differ_from_itself() -> None:
    scores, positive = RNG.normal(0, 1, 80), np.arange(80) < 30
    detection = Detection(scores + positive, positive)
    name = next(iter(detection.values))
    metric = DetectionMetric(name, tuple(map(str, range(80))), scores, True, detection=detection)
    (found,) = changes([metric], [metric])
    assert (found.value, tuple(found.interval)) == (0, (0, 0))
