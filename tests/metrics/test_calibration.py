"""Calibration and detection, against hand-worked values, transcriptions and scikit-learn."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from nsbench.metrics.calibration import (
    aupr,
    auroc,
    aurra,
    expected_calibration_error,
    fpr95,
    released_rms_calibration_error,
    reliability,
    rms_calibration_error,
)

RNG = np.random.default_rng(4)
Pair = tuple[NDArray[np.float64], NDArray[np.bool_]]
CALIBRATION = [expected_calibration_error, rms_calibration_error, aurra]
DETECTION = [auroc, fpr95, aupr]


def model(count: int) -> Pair:
    """Confidences without ties, and answers right about as often as they say."""
    confidence = RNG.permutation(np.linspace(0.1, 0.999, count))
    return confidence, RNG.random(count) < confidence**2


def test_ece_by_hand() -> None:
    confidence = np.array([0.2, 0.2, 0.9, 0.95])
    correct = np.array([True, False, True, True])
    # the third bin: |0.2 - 0.5|, half the images; 0.9 and 0.95 lie in the last two bins
    expected = 0.5 * 0.3 + 0.25 * 0.1 + 0.25 * 0.05
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected)


def test_a_bin_holds_its_upper_edge_and_not_its_lower_one() -> None:
    confidence = np.array([0.16, 0.2, 0.22])  # 0.2 ends the third bin of 15
    correct = np.array([False, True, False])
    # the third bin: |0.18 - 0.5| of two images; the fourth: |0.22 - 0| of one
    expected = (2 * 0.32 + 0.22) / 3
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected)
    bins = reliability(confidence, correct)
    assert [count for _, _, count in bins] == [0, 0, 2, 1, *[0] * 11]
    assert bins[2] == pytest.approx((0.18, 0.5, 2))
    assert bins[0] == pytest.approx((1 / 30, 0, 0))  # its middle


def test_ece_equals_a_loop_over_the_bins() -> None:
    confidence, correct = model(700)
    expected = 0.0
    for low in range(15):
        inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
        if inside.any():
            gap = abs(confidence[inside].mean() - correct[inside].mean())
            expected += inside.mean() * gap
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected)


@pytest.mark.parametrize("count", [200, 201, 299, 300, 1234])
def test_rms_equals_a_loop_over_the_bins(count: int) -> None:
    confidence, correct = model(count)
    order = sorted(range(count), key=lambda index: confidence[index])
    bins = [order[start : start + 100] for start in range(0, count - count % 100, 100)]
    bins[-1] += order[count - count % 100 :]
    gaps = [len(b) / count * (np.mean(confidence[b]) - np.mean(correct[b])) ** 2 for b in bins]
    found = rms_calibration_error(confidence, correct)
    assert found == pytest.approx(math.sqrt(sum(gaps)))
    released = released_rms_calibration_error(confidence, correct)
    assert released == pytest.approx(math.sqrt(sum(gaps[:-1])))
    assert released < found


def test_few_images_are_one_bin() -> None:
    confidence, correct = np.full(10, 0.75), np.arange(10) < 5
    assert rms_calibration_error(confidence, correct) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="needs 200 images"):
        released_rms_calibration_error(confidence, correct)


def test_aurra_by_hand() -> None:
    confidence = np.array([0.6, 0.9, 0.7, 0.8])
    correct = np.array([True, True, False, True])
    expected = (1 + 1 + 2 / 3 + 3 / 4) / 4
    assert aurra(confidence, correct) == pytest.approx(expected)
    # 0.7 twice: its images come in either order, which the mean of both settles
    tied = np.array([0.7, 0.9, 0.7, 0.8])
    other = (1 + 1 + 1 + 3 / 4) / 4
    assert aurra(tied, correct) == pytest.approx((expected + other) / 2)


def test_perfect_models() -> None:
    sure = np.ones(300)
    for right, error in ((True, 0.0), (False, 1.0)):
        correct = np.full(300, right)
        assert expected_calibration_error(sure, correct) == error
        assert rms_calibration_error(sure, correct) == error
        assert aurra(sure, correct) == 1 - error


@pytest.mark.parametrize("measure", [*CALIBRATION, released_rms_calibration_error])
def test_the_order_of_images_does_not_matter(measure: Callable[..., float]) -> None:
    confidence = RNG.integers(5, 11, 400) / 10
    correct = RNG.random(400) < confidence
    order = RNG.permutation(400)
    expected = pytest.approx(measure(confidence, correct), rel=1e-12)
    assert measure(confidence[order], correct[order]) == expected
    stored = measure(confidence.astype(np.float32), correct)  # as predictions keep it
    assert stored == pytest.approx(measure(confidence, correct), abs=1e-6)


@pytest.mark.parametrize("measure", CALIBRATION)
def test_calibration_needs_confidences(measure: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        measure(np.array([]), np.array([], bool))
    with pytest.raises(ValueError, match="is of 1 image and correct of 2"):
        measure(np.array([0.5]), np.array([True, False]))
    for wrong in (math.nan, -0.1, 1.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            measure(np.array([0.5, wrong]), np.array([True, False]))


def test_detection_by_hand() -> None:
    scores = np.array([4.0, 3, 2, 1])
    positive = np.array([True, False, True, False])
    assert auroc(scores, positive) == 0.75  # three of four pairs in order
    assert fpr95(scores, positive) == 0.5  # 2 is the threshold that both positives reach
    assert aupr(scores, positive) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_fpr_at_its_threshold() -> None:
    """95% of 20 positives are 19: the negatives above the 19th count, those at it too."""
    positive = np.r_[np.ones(20, bool), np.zeros(10, bool)]
    scores = np.r_[np.arange(20, 0, -1.0), np.full(4, 2.0), np.full(6, 1.5)]
    assert fpr95(scores, positive) == 0.4


@pytest.mark.parametrize("decimals", [1, 2, 9])
def test_detection_is_that_of_scikit_learn(decimals: int) -> None:
    positive = np.r_[np.ones(300, bool), np.zeros(800, bool)]
    scores = RNG.normal(positive * 1.5, 1).round(decimals)  # with ties
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    assert aupr(scores, positive) == pytest.approx(average_precision_score(positive, scores))
    alarms, hits, _ = roc_curve(positive, scores, drop_intermediate=False)
    assert fpr95(scores, positive) == pytest.approx(alarms[hits >= 0.95 - 1e-12][0])


def test_scores_that_say_nothing_or_all() -> None:
    positive = np.arange(10) < 4
    flat = np.zeros(10)
    assert (auroc(flat, positive), fpr95(flat, positive), aupr(flat, positive)) == (0.5, 1, 0.4)
    exact = positive.astype(float)
    assert (auroc(exact, positive), fpr95(exact, positive), aupr(exact, positive)) == (1, 0, 1)


@pytest.mark.parametrize("measure", DETECTION)
def test_detection_needs_both_kinds_and_numbers(measure: Callable[..., float]) -> None:
    for positive in (np.ones(3, bool), np.zeros(3, bool), np.array([], bool)):
        with pytest.raises(ValueError, match="both kinds"):
            measure(np.zeros(len(positive)), positive)
    with pytest.raises(ValueError, match="finite"):
        measure(np.array([0.1, math.nan]), np.array([True, False]))
    with pytest.raises(ValueError, match="finite"):
        measure(np.zeros(3), np.array([True, False]))
