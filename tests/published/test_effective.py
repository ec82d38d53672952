"""Effective robustness, against values worked by hand and the distances of known models."""

from math import log

import pytest

from nsbench.data.catalog import data_set
from nsbench.published.effective import (
    LINES,
    effective_robustness,
    expected,
    line_of,
    robustness_of,
)
from nsbench.published.rows import rows
from tests.published.results import result


def of_testbed(model: str, suite: str, protocol: str = "own transform") -> float:
    """The top-1 that imagenet-testbed measured, from which the lines come."""
    (value,) = (
        row.value
        for row in rows()
        if (row.model, row.suite, row.protocol) == (model, suite, protocol)
        and row.origin.short == "testbed"
        and row.means.key == "top1"
    )
    return value


def test_a_line_by_hand() -> None:
    # logit(0.8) = ln 4 = 1.38629; 0.923 * 1.38629 - 0.498 = 0.78155; 1 / (1 + e^-0.78155) = 0.68601
    (line,) = LINES["imagenet-v2-matched-frequency"]
    assert log(80 / 20) == pytest.approx(1.38629, abs=1e-5)
    assert expected(line, 80) == pytest.approx(68.601, abs=0.001)
    points = effective_robustness("imagenet-v2-matched-frequency", 80, 70)
    assert points == pytest.approx(1.399, abs=0.001)


@pytest.mark.parametrize(
    ("model", "suite", "protocol", "points"),
    [
        ("tf_efficientnet_l2.ns_jft_in1k", "imagenet-v2-matched-frequency",
         "format-val, own transform", 1.1),
        ("tf_efficientnet_l2.ns_jft_in1k", "imagenet-sketch", "own transform", 2.7),
        ("resnext101_32x48d.fb_wsl_ig1b_ft_in1k", "imagenet-v2-matched-frequency",
         "format-val, own transform", 1.3),
        ("resnext101_32x48d.fb_wsl_ig1b_ft_in1k", "imagenet-sketch", "own transform", 20.5),
        ("tf_efficientnet_b7.ra_in1k", "imagenet-v2-matched-frequency",
         "format-val, own transform", 0.1),
        ("tf_efficientnet_b7.ra_in1k", "imagenet-sketch", "own transform", 3.9),
        ("tf_efficientnet_b7.ap_in1k", "imagenet-sketch", "own transform", 4.1),
    ],
)  # fmt: skip
def test_known_models_on_the_measurements_that_the_lines_come_from(
    model: str, suite: str, protocol: str, points: float
) -> None:
    found = effective_robustness(
        suite, of_testbed(model, "imagenet-1k"), of_testbed(model, suite, protocol)
    )
    assert found == pytest.approx(points, abs=0.06)


def test_the_line_of_imagenet_a_bends() -> None:
    # B7 with RandAugment has 96.90% of the classes' validation images and is 5.0 below its line.
    a = of_testbed("tf_efficientnet_b7.ra_in1k", "imagenet-a")
    assert effective_robustness("imagenet-a", 96.90, a) == pytest.approx(-5.0, abs=0.06)
    below, above = line_of("imagenet-a", 91.85), line_of("imagenet-a", 91.86)
    assert (below, above) == LINES["imagenet-a"]
    # Both are about where ResNet-50 is, which has next to nothing of ImageNet-A right.
    assert below is not None
    assert above is not None
    assert abs(expected(below, 91.86) - expected(above, 91.86)) < 2


def test_a_line_says_what_it_is_of() -> None:
    assert {line.clean for line in LINES["imagenet-sketch"]} == {"imagenet-1k top-1"}
    assert {line.clean for line in LINES["imagenet-r"]} == {"clean top-1 of the suite's classes"}


@pytest.mark.parametrize(
    ("suite", "clean"),
    [("imagenet-real", 80), ("imagenet-sketch", 54.9), ("imagenet-sketch", 100), ("mine", 80)],
)
def test_where_no_line_holds_nothing_is_said(suite: str, clean: float) -> None:
    assert effective_robustness(suite, clean, 50) is None


def test_the_results_of_a_model_give_its_distances() -> None:
    clean = result("imagenet-1k", {"top1": 80.0}, 50_000)
    a = result("imagenet-a", {"top1": 10.0, "clean_top1": 92.5}, 7_500)
    c = result("imagenet-c", {"mce": 60.0, "error": 52.0}, 50_000)
    sketch = result("imagenet-sketch", {"top1": 30.0}, data_set("imagenet-sketch").images)
    found = robustness_of([clean, sketch, a, c])
    assert found == {
        "imagenet-sketch": effective_robustness("imagenet-sketch", 80.0, 30.0),
        "imagenet-c": effective_robustness("imagenet-c", 80.0, 48.0),
        "imagenet-a": effective_robustness("imagenet-a", 92.5, 10.0),
    }
    # Without imagenet-1k only those have one that bring their own clean images.
    assert set(robustness_of([a, c])) == {"imagenet-a"}
    without = result("imagenet-a", {"top1": 10.0}, 7_500)
    fly = result("imagenet-c", {"mce": 60.0, "error": 52.0}, 50_000, released_files=False)
    few = result("imagenet-a", {"top1": 10.0, "clean_top1": 92.5}, 500, chosen="--limit 500")
    assert robustness_of([clean, without, fly]) == robustness_of([few]) == {}
