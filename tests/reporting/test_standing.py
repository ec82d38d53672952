"""Published results in a report: beside ours only where they are of the same."""

import numpy as np
import pytest

from nsbench.reporting.figures.shift import shift_figures
from nsbench.reporting.grid import every_metric
from nsbench.reporting.results import Entry
from nsbench.reporting.standing import published_group, standing
from nsbench.suites.base import SuiteScores
from tests.published.results import result


def entry(*scores: SuiteScores) -> Entry:
    return Entry("timm:resnet50.a1_in1k", None, {}, {one.suite.name: one for one in scores})


def test_a_value_of_the_same_weights_stands_beside_ours_under_its_status() -> None:
    found = standing([entry(result("imagenet-1k", {"top1": 80.4}, 50_000))])
    own = found[0]
    assert own.title == "Published results of the same weights"
    assert own.rows[0] == [
        "resnet50.a1_in1k", "imagenet-1k", "top-1", "80.38", "80.40", "repeats", "timm",
    ]  # fmt: skip
    assert own.rows[1][5].startswith("another protocol: at 288 px")
    others = found[1]
    assert others.title.startswith("Published results on imagenet-1k, of other weights, the best")
    assert len(others.rows) == 10
    values = [float(row[2]) for row in others.rows]
    assert values == sorted(values, reverse=True)
    assert "In this report: timm:resnet50.a1_in1k 80.4" in others.notes[0]


def test_rows_in_the_table_of_every_metric_are_of_the_same_protocol_only() -> None:
    ours = [entry(result("imagenet-1k", {"top1": 80.4}, 50_000))]
    (group,) = published_group(ours, every_metric(ours, []).columns)
    ((name, cells),) = group.rows
    assert name == "resnet50.a1_in1k, timm"
    assert [cell.text for cell in cells] == ["80.4"]
    assert cells[0].value == 80.382
    part = [entry(result("imagenet-1k", {"top1": 80.4}, 5_000, chosen="--quick"))]
    assert published_group(part, every_metric(part, []).columns) == []
    assert all("of other weights" not in table.title for table in standing(part))


def test_effective_robustness_is_of_whole_standard_results() -> None:
    scores = [
        result("imagenet-1k", {"top1": 80.0}, 50_000),
        result("imagenet-v2-matched-frequency", {"top1": 70.0}, 10_000),
    ]
    tables = {table.title: table for table in standing([entry(*scores)])}
    (row,) = tables["Effective robustness"].rows
    # logit(0.8) * 0.923 - 0.498 = 0.78153, whose logistic is 68.60 %.
    assert row == ["timm:resnet50.a1_in1k", "+1.4"]


def test_without_published_results_there_is_nothing() -> None:
    assert standing([entry(result("digits", {"top1": 96.0}, 1_000))]) == []


def line_entry(name: str, clean: float, shifted: float) -> Entry:
    tables: dict[str, dict[str, list[float]]] = {"calibration": {}}
    scores = [
        result("imagenet-1k", {"top1": clean}, 50_000, tables=tables),
        result("imagenet-v2-matched-frequency", {"top1": shifted}, 10_000, tables=tables),
    ]
    return Entry(name, None, {}, {one.suite.name: one for one in scores})


def test_models_are_drawn_beside_the_line_of_standard_models() -> None:
    models = [line_entry("a", 80.0, 70.0), line_entry("b", 84.0, 70.0), line_entry("c", 50.0, 40.0)]
    (drawn,) = shift_figures(models)
    assert drawn.title.startswith("On imagenet-v2-matched-frequency a lies 1.4 points above the ")
    assert [row[3] for row in drawn.table.rows] == ["+1.4", "-3.7", "no line"]
    (axes,) = drawn.figure.axes
    *points, (xs, ys) = [np.asarray(line.get_data()) for line in axes.lines]
    assert [tuple(point[:, 0]) for point in points] == [(80, 70), (84, 70), (50, 40)]
    assert xs[0] == 55  # below it there is no line
    # 0.923 ln(x / (100 - x)) - 0.498 by hand at 55: -0.3128, whose logistic is 42.24 %.
    assert ys[0] == pytest.approx(42.24, abs=0.01)
    (low,) = shift_figures(models[2:])
    assert low.title == (
        "No model is accurate enough for the line of standard models on "
        "imagenet-v2-matched-frequency"
    )
