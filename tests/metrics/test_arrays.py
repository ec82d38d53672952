"""The metrics for arrays of one's own: published values, values by hand, and what is refused."""

from typing import Any

import numpy as np
import pytest

import nsbench
from nsbench import metrics
from nsbench.util.errors import NsbenchError
from tests.metrics.test_robustness import RESNEXT_FP, RESNEXT_T5D

ALEXNET = nsbench.load_reference("alexnet")


def test_the_reference_is_100_of_itself() -> None:
    assert metrics.mean_corruption_error(ALEXNET.errors, ALEXNET) == pytest.approx(100)
    assert metrics.mean_flip_rate(ALEXNET.flip_probability, ALEXNET) == pytest.approx(100)
    assert metrics.mean_top5_distance(ALEXNET.top5_distance, ALEXNET) == pytest.approx(100)
    assert ALEXNET.clean is not None
    relative = metrics.relative_mean_corruption_error(ALEXNET.errors, ALEXNET.clean, ALEXNET)
    assert relative == pytest.approx(100)


def test_by_hand() -> None:
    errors, base = {"fog": [0.2, 0.4], "snow": [0.5, 0.5]}, {"fog": [0.5, 0.7], "snow": [1.0, 1.0]}
    assert metrics.mean_corruption_error(errors, base) == pytest.approx(50)  # 0.6 / 1.2, 1 / 2
    # rises of 0.4 over 0.8, and of 0.8 over 1.6
    relative = metrics.relative_mean_corruption_error(errors, 0.1, base, reference_clean=0.2)
    assert relative == pytest.approx(50)
    assert metrics.mean_flip_rate({"tilt": 0.1}, {"tilt": 0.4}) == pytest.approx(25)


def test_relative_errors_by_image() -> None:
    errors, base = {"fog": np.array([[0.0, 1.0], [1.0, 1.0]])}, {"fog": [0.5, 0.7]}
    found = metrics.relative_mean_corruption_error(
        errors, np.array([0.0, 1.0]), base, reference_clean=0.2
    )
    assert found == pytest.approx([100 / 0.8, 0])  # (0 + 1) and (0 + 0) over 0.3 + 0.5


def test_published_values_of_resnext() -> None:
    assert metrics.mean_flip_rate(
        {k: v / 100 for k, v in RESNEXT_FP.items()}, ALEXNET
    ) == pytest.approx(46.15, abs=0.01)
    assert metrics.mean_top5_distance(RESNEXT_T5D, ALEXNET) == pytest.approx(70.54, abs=0.01)


def test_a_value_for_each_image() -> None:
    wrong = np.array([[True, False, True], [True, True, False]])  # two severities, three images
    each = metrics.mean_corruption_error({"fog": wrong}, {"fog": [0.5, 0.5]})
    assert each.tolist() == [200.0, 100.0, 100.0]
    whole = metrics.mean_corruption_error({"fog": wrong.mean(1)}, {"fog": [0.5, 0.5]})
    assert whole == pytest.approx(each.mean())


WRONG: dict[str, Any] = {
    r"errors\['fog'\] reaches from 20 to 40, but must be fractions from 0 to 1, not percent": (
        {"fog": [20, 40]}, {"fog": [0.5, 0.5]},
    ),
    r"errors\['fog'\] reaches from -0.1 to 0.4, but must be fractions from 0 to 1$": (
        {"fog": [-0.1, 0.4]}, {"fog": [0.5, 0.5]},
    ),
    r"errors\['fog'\] has a value that is not a number": (
        {"fog": [0.2, float("nan")]}, {"fog": [0.5, 0.5]},
    ),
    "has no 'fogg'; did you mean 'fog'": ({"fogg": [0.2]}, {"fog": [0.5]}),
    r"errors\['fog'\] has 1 severity, but the reference has 2": (
        {"fog": [0.2]}, {"fog": [0.5, 0.5]},
    ),
    r"reference\['fog'\] is 0": ({"fog": [0.2]}, {"fog": [0.0]}),
    r"errors\['fog'\] is \['a'\], but must be numbers": ({"fog": ["a"]}, {"fog": [0.5]}),
    "errors is empty": ({}, {"fog": [0.5]}),
}  # fmt: skip


@pytest.mark.parametrize("sentence", WRONG)
def test_what_cannot_be_is_one_sentence(sentence: str) -> None:
    with pytest.raises(NsbenchError, match=sentence):
        metrics.mean_corruption_error(*WRONG[sentence])


def test_what_is_no_mapping_is_a_wrong_type() -> None:
    with pytest.raises(TypeError, match="errors is a list"):
        metrics.mean_corruption_error([0.2], ALEXNET)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="reference is a str"):
        metrics.mean_corruption_error({"fog": [0.2]}, "alexnet")
    with pytest.raises(NsbenchError, match="no error on clean images: give reference_clean"):
        metrics.relative_mean_corruption_error({"fog": [0.2]}, 0.1, {"fog": [0.5]})


def test_a_clean_error_of_the_reference_is_a_fraction() -> None:
    for wrong in (1.5, -0.1, 40):
        with pytest.raises(
            NsbenchError, match="reference_clean .* must be .*fractions? from 0 to 1"
        ):
            metrics.relative_mean_corruption_error({"fog": [0.2]}, 0.1, {"fog": [0.5]}, wrong)
    found = metrics.relative_mean_corruption_error({"fog": [0.2]}, 0.1, {"fog": [0.5]}, 0.25)
    assert found == pytest.approx(40)


def test_a_paired_change_of_right_and_wrong() -> None:
    before, after = np.zeros(40, bool), np.zeros(40, bool)
    before[:20], after[:30] = True, True
    found = metrics.paired_change(after, before)
    assert (found.value, found.images, found.better) == (25.0, 40, True)
    assert found.p_value == pytest.approx(2 / 2**10)  # McNemar: ten of ten
    assert found.interval.low < 25 < found.interval.high
    assert found.significant
    assert not metrics.paired_change(after, before, higher_is_better=False).better


def test_a_paired_change_of_constant_scores_reaches_as_far_as_these() -> None:
    # Of 20 images that all changed by 3 at most a share z² / (20 + z²) changed by something else,
    # from -3 to 3, as scores are from 2 to 5.
    found = metrics.paired_change(np.full(20, 5.0), np.full(20, 2.0))
    assert tuple(found.interval) == pytest.approx((3 - 6 * 3.841459 / 23.841459, 3))


def test_scores_of_other_images_are_not_paired() -> None:
    with pytest.raises(NsbenchError, match=r"shapes \(2,\) and \(3,\)"):
        metrics.paired_change([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(NsbenchError, match="of the same images"):
        metrics.paired_change([], [])


def test_references_by_name_and_file(tmp_path: Any) -> None:
    assert ALEXNET.model == "AlexNet (published)"
    assert ALEXNET.clean == 0.43478
    assert len(ALEXNET.errors) == 19
    with pytest.raises(NsbenchError, match="no reference 'alexnett'; did you mean 'alexnet'"):
        nsbench.load_reference("alexnett")
    with pytest.raises(NsbenchError, match="cannot read .*none.json"):
        nsbench.load_reference(tmp_path / "none.json")
