"""Intervals and tests, against hand-worked values, transcriptions and SciPy."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from nsbench.metrics import intervals
from nsbench.metrics.intervals import (
    RESAMPLES,
    Interval,
    benjamini_hochberg,
    bootstrap,
    bootstrap_p,
    constant_interval,
    error_consistency,
    mcnemar,
    resampled_means,
    wilson,
)

RNG = np.random.default_rng(3)


def test_wilson_against_the_textbook() -> None:
    # 15 of 20: 0.5313 to 0.8881 (Newcombe 1998's method 3, worked by hand)
    low, high = wilson(15, 20)
    assert (low, high) == pytest.approx((0.5313, 0.8881), abs=5e-5)


def test_wilson_stays_within_bounds() -> None:
    assert wilson(0, 10).low == pytest.approx(0, abs=1e-12)
    assert wilson(0, 10).high == pytest.approx(0.27753, abs=1e-5)  # z^2 / (n + z^2)
    assert wilson(10, 10).high == pytest.approx(1, abs=1e-12)
    assert wilson(10, 10).high <= 1


def test_intervals_need_data() -> None:
    with pytest.raises(ValueError, match="trial"):
        wilson(0, 0)
    with pytest.raises(ValueError, match="score"):
        bootstrap(np.array([]))


def test_bootstrap_equals_one_resample_after_the_other() -> None:
    scores = RNG.integers(0, 100, (30, 4)).astype(np.float64)  # sums of whole numbers are exact
    rng = np.random.default_rng(7)
    draws = rng.integers(30, size=(RESAMPLES, 30), dtype=np.int32)
    expected = [[sum(scores[i, m] for i in draw) / 30 for m in range(4)] for draw in draws]
    assert resampled_means(scores, seed=7).tolist() == expected
    for column in range(4):
        low, high = np.quantile([row[column] for row in expected], [0.025, 0.975])
        assert bootstrap(scores[:, column], seed=7) == (low, high)


@pytest.mark.parametrize("chunk", [1, 100, 12345])
def test_bootstrap_does_not_depend_on_its_chunks(
    chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = RNG.integers(0, 100, (50, 3)).astype(np.float64)
    expected = resampled_means(scores)
    monkeypatch.setattr(intervals, "CHUNK", chunk)
    monkeypatch.setattr(intervals, "KEPT", 0)
    assert (resampled_means(scores) == expected).all()


def test_every_resample_is_of_as_many_images() -> None:
    for count in (1, 2, 300):
        assert resampled_means(np.ones((count, 1))) == pytest.approx(1)


def test_bootstrap_agrees_with_the_normal_interval_where_that_holds() -> None:
    scores = np.random.default_rng(0).normal(3, 2, size=4000)
    low, high = bootstrap(scores)
    half = 1.96 * scores.std() / np.sqrt(len(scores))
    assert low == pytest.approx(scores.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(scores.mean() + half, abs=0.1 * half)


def test_bootstrap_is_deterministic() -> None:
    scores = np.arange(50.0)
    assert bootstrap(scores) == bootstrap(scores)
    assert bootstrap(scores, seed=1) != bootstrap(scores)


def test_bootstrap_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    samples = np.where(rng.random((200, 400)) < 0.8, 100.0, 0.0)
    lows, highs = np.quantile(resampled_means(samples), [0.025, 0.975], axis=0)
    assert 0.91 <= np.mean((lows <= 80) & (highs >= 80)) <= 0.98


@pytest.mark.parametrize(
    ("interval", "excluded"), [((0.1, 1), True), ((-1, -0.1), True), ((-1, 1), False)]
)
def test_excluding_zero(interval: tuple[float, float], excluded: bool) -> None:
    assert Interval(*interval).excludes_zero is excluded


def test_bootstrap_p_by_hand() -> None:
    assert bootstrap_p(np.arange(1.0, 2000)) == 2 / 2000  # no resample below zero
    assert bootstrap_p(-np.arange(1.0, 2000)) == 2 / 2000
    assert bootstrap_p(np.array([-1.0, 1, 2, 3, 4, 5, 6, 7, 8])) == 0.4  # 2 (1 + 1) / 10
    assert bootstrap_p(np.zeros(99)) == 1


def test_bootstrap_p_agrees_with_the_interval_and_the_t_test() -> None:
    for shift in (0.0, 0.05, 0.1, 0.15, 0.2):
        scores = RNG.normal(shift, 1, 400)
        p = bootstrap_p(resampled_means(scores[:, None])[:, 0])
        assert p == pytest.approx(stats.ttest_1samp(scores, 0).pvalue, abs=0.05)
        assert (p < 0.05) == bootstrap(scores).excludes_zero


def test_mcnemar_by_hand() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(4, 4) == 1
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert mcnemar(2, 8) == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert mcnemar(8, 2) == mcnemar(2, 8)
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


@pytest.mark.parametrize(
    ("only_a", "only_b"), [(1, 2), (7, 19), (180, 240), (5100, 5000), (12000, 12600)]
)
def test_mcnemar_is_the_binomial_test(only_a: int, only_b: int) -> None:
    expected = stats.binomtest(only_a, only_a + only_b).pvalue
    assert mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-8)


def test_mcnemar_of_many_images_neither_overflows_nor_leaves_its_range() -> None:
    assert 0 <= mcnemar(0, 50_000) < 1e-300
    assert mcnemar(500_000, 500_001) == pytest.approx(1, abs=1e-8)
    assert mcnemar(500_000, 500_001) <= 1


def test_benjamini_hochberg_by_hand() -> None:
    # by rank: .01 * 4/1, .02 * 4/2, .03 * 4/3, .5 * 4/4, then none above one of a higher rank
    adjusted = benjamini_hochberg(np.array([0.5, 0.01, 0.03, 0.02]))
    assert adjusted == pytest.approx([0.5, 0.04, 0.04, 0.04])
    assert benjamini_hochberg(np.array([0.2])) == pytest.approx([0.2])
    assert len(benjamini_hochberg(np.array([]))) == 0
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            benjamini_hochberg(np.array([0.5, wrong]))


def test_benjamini_hochberg_is_that_of_scipy() -> None:
    p_values = RNG.random(75).round(2)  # with ties
    expected = stats.false_discovery_control(p_values)
    assert benjamini_hochberg(p_values) == pytest.approx(expected)


def answers(a: str, b: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return np.array(list(a)) == "1", np.array(list(b)) == "1"


def test_error_consistency_by_hand() -> None:
    # accuracies 3/4 and 1/2, agreement 3/4; by chance 3/8 + 1/8, so (3/4 - 1/2) / (1 - 1/2)
    assert error_consistency(*answers("1110", "1100")).value == pytest.approx(0.5)
    assert error_consistency(*answers("1100", "0011")).value == pytest.approx(-1)
    assert error_consistency(*answers("1010", "1100")).value == 0


def test_error_consistency_of_models_that_agree_on_all() -> None:
    for text in ("1111", "0000", "1100"):
        assert error_consistency(*answers(text, text)) == (1, (1, 1))


def test_error_consistency_is_cohens_kappa_with_an_interval_around_it() -> None:
    common = RNG.random(600)
    a, b = common + RNG.random(600) < 1.2, common + RNG.random(600) < 0.9
    value, (low, high) = error_consistency(a, b)
    assert value == pytest.approx(cohen_kappa_score(a, b))
    assert 0 < low < value < high < 1
    independent = error_consistency(RNG.random(600) < 0.7, RNG.random(600) < 0.7)
    assert not independent.interval.excludes_zero


def test_error_consistency_needs_the_same_images() -> None:
    with pytest.raises(ValueError, match="same images"):
        error_consistency(*answers("10", "101"))


def test_the_interval_of_equal_scores_by_hand() -> None:
    z2 = 1.959963984540054**2
    # always wrong: an error of at least n / (n + z^2)
    assert constant_interval(100, 50, 0, 100) == pytest.approx((100 * 50 / (50 + z2), 100))
    assert constant_interval(0, 50, 0, 100) == pytest.approx((0, 100 * z2 / (50 + z2)))
    assert constant_interval(120, 50, 0, 120) == pytest.approx((120 * 50 / (50 + z2), 120))
    low, high = wilson(50, 50)
    assert constant_interval(1, 50, 0, 1) == pytest.approx((low, high))
    # between the bounds it reaches to both sides, as far as each is away
    share = z2 / (20 + z2)
    assert constant_interval(40, 20, -100, 100) == pytest.approx(
        (40 - 140 * share, 40 + 60 * share)
    )
