"""Published results in a report: beside ours only where they are of the same."""

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
