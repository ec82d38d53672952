"""Variants and pseudo-labels in a report: the right figures, escaped, for any number of classes."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nsbench.commands.app import app
from nsbench.metrics.change import change
from nsbench.predictions import results_of
from nsbench.reporting.report import write_report
from nsbench.suites.scores import score
from nsbench.training.generations import train
from nsbench.util.sealed import read_record, write_record
from tests.conftest import TINY_RECIPE, write_suite
from tests.evaluating import evaluate
from tests.reporting.test_report import Page

VARIANTS = """
[[variants]]
name = "quiet"
set = ["generations.1.randaugment=''", "generations.1.dropout=0"]

[[variants]]
name = "faster"
set = ["generations.1.lr=0.02"]
"""
PLAIN = 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 10\n'


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and its two variants, evaluated on one suite."""
    folder = tmp_path_factory.mktemp("ablations")
    (folder / "tiny.toml").write_text(TINY_RECIPE + VARIANTS)
    run = train(
        str(folder / "tiny.toml"),
        folder / "run",
        settings=["defaults.epochs=0.5"],
        device="cpu",
        variants=["all"],
    )
    evaluate([str(run)], [write_suite(folder / "plain.toml", PLAIN)], device="cpu")
    return run


def test_a_row_for_each_variant_with_its_paired_change(evaluated: Path, tmp_path: Path) -> None:
    summary, table = write_report(evaluated, tmp_path / "report.html")
    assert [row["model"] for row in summary.data] == ["run/generation-0", "run/generation-1"]
    assert [row[0] for row in table.rows] == [
        "run/generation-1",
        "run/quiet/generation-1",
        "run/faster/generation-1",
    ]
    assert table.notes[0] == "quiet: generations.1.randaugment='', generations.1.dropout=0"
    text = (tmp_path / "report.html").read_text()
    ablations = text[text.index('id="gain"') :]
    folders = [evaluated, *(evaluated / "variants" / name for name in ("quiet", "faster"))]
    base, *others = (
        score(results_of(folder / "generation-1" / "results")["plain"][0].folder).metrics["top1"]
        for folder in folders
    )
    for record, metric in zip(table.data, others, strict=True):
        found, expected = record["suites"]["plain"]["top1"], change(metric, base)
        assert found["value"] == metric.value
        assert found["change"]["value"] == expected.value
        assert found["change"]["interval"] == list(expected.interval)
        low, high = expected.interval
        assert f"{expected.value:+.1f} [{low:+.1f}, {high:+.1f}]" in ablations
        assert record["model"] == f"run/{record['variant']}/generation-1"
        assert record["against"] == "run/generation-1"
    assert "generations.1.randaugment=&#39;&#39;" in ablations


def test_the_json_holds_them_too(evaluated: Path, tmp_path: Path) -> None:
    arguments = [evaluated, "--out", tmp_path / "r.html", "--json", tmp_path / "r.json"]
    done = CliRunner().invoke(app, ["report", *map(str, arguments)])
    assert done.exit_code == 0
    records = json.loads((tmp_path / "r.json").read_text())
    assert [record.get("variant") for record in records] == [None, None, "quiet", "faster"]
    assert "Variants of run/generation-1" in done.output


def test_names_and_settings_are_escaped(evaluated: Path, tmp_path: Path) -> None:
    run = tmp_path / "<b>run"
    shutil.copytree(evaluated, run)
    quiet = run / "variants" / "quiet"
    quiet.rename(quiet.with_name("<script>x"))
    path = quiet.with_name("<script>x") / "variant.json"
    write_record(path, {**read_record(path, ""), "set": ["<script>y"]})
    write_report([run, evaluated], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert page.tags.count("script") == text.count("<script") == 1  # our own
    assert "b" not in page.tags
    assert "&lt;script&gt;x" in text
    assert "&lt;script&gt;y" in text
    assert len(page.ids) == len(set(page.ids))
    assert all(set(name).isdisjoint('<>" ') for name in page.ids)


def test_scores_of_another_version_are_not_compared(evaluated: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(evaluated, run)
    other = write_suite(tmp_path / "plain.toml", PLAIN.replace("10", "11"))
    evaluate([str(run / "variants" / "quiet")], [other], device="cpu")
    _, table = write_report(run, tmp_path / "report.html")
    # it has the base's version too, which is the one that compares
    assert table.data[0]["suites"].keys() == {"plain"}
    (kept,) = [r for r in (run / "variants" / "quiet").glob("*/results/plain/*") if had(r, 10)]
    shutil.rmtree(kept)
    _, table = write_report(run, tmp_path / "report.html")
    assert table.rows[1][1] == "evaluated differently"
    assert table.data[0]["suites"] == {}


def had(results: Path, images_per_class: int) -> bool:
    suite = json.loads((results / "suite.json").read_text())["suite"]
    return bool(suite["images_per_class"] == images_per_class)


def test_without_evaluated_variants_there_are_no_ablations(evaluated: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(evaluated, run)
    for results in (run / "variants").glob("*/*/results"):
        shutil.rmtree(results)
    assert len(write_report(run, tmp_path / "report.html")) == 1
    assert 'id="gain"' not in (tmp_path / "report.html").read_text()


def many(summary: dict[str, Any], count: int) -> dict[str, Any]:
    row = summary["per_class"][0]
    rows = [{**row, "class": f"<i>{n}", "confident": n, "unique": n} for n in range(count)]
    return {**summary, "per_class": rows}


@pytest.mark.parametrize("count", [10, 1000])
def test_pseudo_labels_are_told_for_any_number_of_classes(
    evaluated: Path, tmp_path: Path, count: int
) -> None:
    run = tmp_path / "run"
    shutil.copytree(evaluated, run)
    path = run / "generation-1" / "selection.json"
    summary = read_record(path, "")
    write_record(path, many(summary, count))
    write_report(run, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    labels = text[text.index('id="labels"') :]
    assert f"{summary['images']:,}" in labels
    assert labels.count('<th scope="row">&lt;i&gt;') == min(count, 40)
    assert ("the 40 with the fewest of 1,000" in labels) == (count == 1000)
    assert "i" not in Page(text).tags
    assert len(text) < 1_500_000
