import numpy as np
import pytest

from nsbench.evaluation.statistics import Interval, bootstrap, wilson


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
    covered = 0
    for _ in range(100):
        low, high = bootstrap(np.where(rng.random(200) < 0.8, 100.0, 0.0))
        covered += low <= 80 <= high
    assert 88 <= covered <= 99


@pytest.mark.parametrize(
    ("interval", "excluded"), [((0.1, 1), True), ((-1, -0.1), True), ((-1, 1), False)]
)
def test_excluding_zero(interval: tuple[float, float], excluded: bool) -> None:
    assert Interval(*interval).excludes_zero is excluded
