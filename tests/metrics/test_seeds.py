"""Metrics over seeds: hand-worked values, and intervals that cover what they say."""

import numpy as np
import pytest
from scipy import stats

from nsbench.metrics.change import Detection, DetectionMetric, Metric
from nsbench.metrics.intervals import bootstrap, constant_interval, resampled_means
from nsbench.metrics.seeds import change_over_seeds, interval_over, over_seeds, t_975
from nsbench.metrics.verdict import verdict_over_seeds
from nsbench.util.errors import NsbenchError


def metric(scores: list[float], higher_is_better: bool = True) -> Metric:
    ids = tuple(f"{row}" for row in range(len(scores)))
    return Metric("top-1", ids, np.array(scores, float), higher_is_better, True)


def test_mean_and_spread_are_over_seeds() -> None:
    pooled = over_seeds([metric([100, 0, 100, 100]), metric([0, 0, 100, 0]), metric([100, 0] * 2)])
    assert pooled.values == (75, 25, 50)
    assert (pooled.mean, pooled.spread, pooled.images) == (50, 25, 4)


def test_the_interval_is_over_the_means_of_seeds_and_the_resampled_images() -> None:
    rng = np.random.default_rng(0)
    scores = np.where(rng.random((60, 3)) < (0.48, 0.5, 0.52), 100.0, 0.0)
    pooled = over_seeds([metric(row) for row in scores.T.tolist()])
    resampled = resampled_means(scores.mean(1, keepdims=True))[:, 0]
    assert pooled.interval
    wanted = interval_over(pooled.values, resampled)
    assert list(pooled.interval) == pytest.approx(list(wanted or ()))
    change = change_over_seeds(
        [metric(row) for row in scores.T.tolist()], [metric(scores[:, 0].tolist())] * 3
    )
    gains = scores - scores[:, :1]
    resampled = resampled_means(gains.mean(1, keepdims=True))[:, 0]
    assert change.interval
    wanted = interval_over(gains.mean(0).tolist(), resampled)
    assert list(change.interval) == pytest.approx(list(wanted or ()))


def test_a_change_pairs_seeds() -> None:
    # Seeds differ by 50 points and each gains 25, so that paired changes do not vary over seeds.
    before = [metric([0, 0, 100, 0] * 10), metric([100, 0, 100, 100] * 10)]
    after = [metric([0, 100, 100, 0] * 10), metric([100] * 40)]
    change = change_over_seeds(after, before)
    assert (change.values, change.mean, change.spread) == ((25, 25), 25, 0)
    assert change.interval
    assert verdict_over_seeds(change) == "better"
    # What each seed gains on the same images is what the bootstrap of one seed's images sees.
    low, high = bootstrap(after[0].scores - before[0].scores)
    assert change.interval == pytest.approx((low, high), abs=1e-9)
    worse = change_over_seeds([metric([0] * 40, False)] * 2, [metric([100] * 40, False)] * 2)
    assert worse.better


def test_one_seed_has_no_such_interval() -> None:
    pooled = over_seeds([metric([100, 0] * 20)])
    assert (pooled.mean, pooled.spread, pooled.interval) == (50, None, None)
    change = change_over_seeds([metric([100] * 40)], [metric([0] * 40)])
    assert change.interval is None
    assert verdict_over_seeds(change) == "undecided"


def test_seeds_that_differ_widen_the_interval_as_students_does() -> None:
    # Without variation of the images, three seeds at -1, 0 and 1: Student's is 4.303 / sqrt(3).
    low, high = interval_over([-1.0, 0.0, 1.0], np.zeros(2000)) or (0, 0)
    assert high == -low
    assert high == pytest.approx(t_975(2) / 3**0.5, rel=0.1)
    # Of ten, normal ones, as exactly as percentiles of few values can be.
    values = np.linspace(-1, 1, 10)
    low, high = interval_over(values.tolist(), np.zeros(2000)) or (0, 0)
    assert high == pytest.approx(t_975(9) * values.std(ddof=1) / 10**0.5, rel=0.1)


def test_students_t_has_its_tabulated_quantiles() -> None:
    wanted = {1: 12.706, 2: 4.303, 9: 2.262, 10: 2.228, 15: 2.131, 29: 2.045, 120: 1.980}
    assert {n: round(t_975(n), 3) for n in wanted} == wanted
    with pytest.raises(ValueError, match="1 degree of freedom"):
        t_975(0)


def test_scores_that_are_all_equal_have_an_interval_all_the_same() -> None:
    pooled = over_seeds([metric([100] * 50)] * 3)
    assert pooled.interval == constant_interval(100, 50, 0, 100)
    change = change_over_seeds([metric([100] * 50)] * 3, [metric([100] * 50)] * 3)
    assert change.interval == constant_interval(0, 50, -100, 100)


def test_intervals_end_where_a_metric_does() -> None:
    seeds = [[100.0] + [0.0] * 49, [0.0] * 50, [100.0] * 9 + [0.0] * 41]
    pooled = over_seeds([metric(scores) for scores in seeds])
    assert pooled.interval
    assert pooled.interval.low == 0
    assert pooled.interval.high < 100


def test_few_images_decide_nothing() -> None:
    change = change_over_seeds([metric([100] * 19)] * 3, [metric([0] * 19)] * 3)
    assert verdict_over_seeds(change) == "undecided"


def test_a_measure_that_is_no_mean_over_images_is_resampled_as_a_whole() -> None:
    rng = np.random.default_rng(0)
    positive = np.arange(60) < 30
    ids = tuple(map(str, range(60)))

    def detected(shift: float) -> DetectionMetric:
        scores = rng.normal(0, 1, 60) + shift * positive
        detection = Detection(scores, positive)
        return DetectionMetric("AUROC", ids, scores, True, detection=detection)

    before, after = [detected(0) for _ in range(3)], [detected(4) for _ in range(3)]
    pooled = over_seeds(after)
    assert pooled.values == tuple(one.value for one in after)
    assert pooled.interval
    assert pooled.interval.low < pooled.mean < pooled.interval.high
    assert verdict_over_seeds(change_over_seeds(after, before)) == "better"


def test_seeds_of_different_images_are_refused() -> None:
    other = Metric("top-1", ("a", "b"), np.array([0.0, 100.0]), True)
    with pytest.raises(NsbenchError, match="different images in different seeds"):
        over_seeds([metric([0, 100]), other])
    with pytest.raises(NsbenchError, match="different images in different seeds"):
        change_over_seeds([metric([0, 100])], [other])


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize(
    ("between_seeds", "between_images", "rest"),
    [(1.0, 0.0, 1.0), (1.0, 5.0, 5.0), (0.5, 20.0, 5.0), (1.0, 10.0, 20.0)],
)
def test_intervals_cover_what_they_say(
    seeds: int, between_seeds: float, between_images: float, rest: float
) -> None:
    # A two-level model of mean 0: a score is the seed's, the image's and a rest of their own.
    images, trials = 200, 200
    ids = tuple(map(str, range(images)))
    rng = np.random.default_rng(seeds)
    covered = 0
    for _ in range(trials):
        scores = rng.normal(0, between_seeds, seeds) + rng.normal(0, between_images, (images, 1))
        scores = scores + rng.normal(0, rest, (images, seeds))
        found = over_seeds(
            [Metric("m", ids, of_one, True, bounds=(-1e3, 1e3)) for of_one in scores.T]
        )
        assert found.interval
        covered += found.interval.low <= 0 <= found.interval.high
    assert covered / trials >= 0.9


def test_the_level_of_a_measure_that_is_no_mean_has_its_resamples_over_seeds() -> None:
    rng = np.random.default_rng(3)
    positive = np.arange(60) < 25
    ids = tuple(map(str, range(60)))
    every = []
    for _ in range(2):
        scores = rng.normal(0, 1, 60) + positive
        found = Detection(scores, positive)
        every.append(DetectionMetric("AUROC", ids, scores, True, detection=found))
    pooled = over_seeds(every)
    resampled = np.mean([100 * own.detection.resampled["AUROC"] for own in every], 0)
    assert resampled.shape == (2000,)
    wanted = interval_over(pooled.values, resampled)
    assert pooled.interval
    assert wanted
    assert tuple(pooled.interval) == pytest.approx(
        (max(wanted.low, 0), min(wanted.high, 100)), abs=1e-9
    )


def test_every_tabulated_quantile_is_scipys() -> None:
    assert [t_975(n) for n in range(1, 10)] == pytest.approx(
        stats.t.ppf(0.975, range(1, 10)), abs=5e-6
    )
