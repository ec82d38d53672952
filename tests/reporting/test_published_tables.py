"""What `nsbench published` shows."""

from nsbench.published.rows import rows
from nsbench.reporting.published_tables import (
    model_table,
    models_table,
    overview_table,
    records,
    suite_tables,
)


def test_the_overview_counts_all_rows_by_protocol() -> None:
    table = overview_table(rows())
    assert table.title == "published results: 2,738 of 236 models"
    assert sum(entry["rows"] for entry in table.data) == 2738
    assert ["imagenet-a", "nsbench's", "104", "120"] in table.rows
    assert len(table.rows) < 80


def test_a_model_has_its_protocols_and_sources() -> None:
    table = model_table("tf_efficientnet_l2.ns_jft_in1k", rows())
    assert table.columns[:3] == ["suite", "metric", "value (%)"]
    timm, *others = [row for row in table.rows if row[0] == "imagenet-a"]
    assert timm[:6] == ["imagenet-a", "top-1", "84.68", "800", "nsbench's", "timm"]
    assert timm[6].startswith("huggingface/pytorch-image-models@")
    assert {row[4] for row in others} == {"own transform", "the paper's"}
    assert table.data[0]["licence"] in ("Apache-2.0", "MIT", "cited")
    assert len(table.data) == len(table.rows)


def test_models_that_begin_alike_are_a_line_each() -> None:
    some = [row for row in rows() if row.model.startswith("tf_efficientnet_l2")]
    table = models_table("tf_efficientnet_l2", some)
    assert [row[0] for row in table.rows] == [
        "tf_efficientnet_l2.ns_jft_in1k", "tf_efficientnet_l2.ns_jft_in1k_475",
    ]  # fmt: skip


def test_a_suite_has_the_best_models_first() -> None:
    mce, *others = suite_tables("imagenet-c", rows())
    assert mce.columns[1] == "mCE (%)"
    found = [float(row[1]) for row in mce.rows]
    assert found == sorted(found)
    assert [table.columns[1] for table in others] == [
        "relative mCE (%)", "mean accuracy (%)", "mean accuracy of 14 (%)",
    ]  # fmt: skip
    (top1,) = suite_tables("imagenet-r", [r for r in rows() if r.metric == "top1_acc_pct"])
    assert top1.rows[0][1] == "91.1"
    found = [float(row[1]) for row in top1.rows]
    assert found == sorted(found, reverse=True)


def test_the_last_table_tells_what_is_not_shown() -> None:
    tables = suite_tables("imagenet-p", rows())
    assert any("of a single corruption or sequence" in note for note in tables[-1].notes)
    assert all(not table.notes for table in tables[:-1])


def test_records_are_whole() -> None:
    first = records(rows()[:1])[0]
    assert first["source"].startswith("huggingface/pytorch-image-models@aa4b5850")
    assert (first["value"], first["unit"], first["crop_pct"]) == (90.056, "%", 1.0)
    assert all(len(record) == len(first) for record in records(rows()))
