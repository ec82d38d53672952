"""Scores to compute with: by name, as records, files and tables, and without torch."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

import nsbench
from nsbench.results import Results, load_results
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite

PLAIN = 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 3\n'
FOGGY = (
    'kind = "corruption"\nsource = "digits"\nimages_per_class = 3\nimage_size = 32\n'
    'corruptions = ["fog"]\nseverities = [1, 2]\n'
)


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, whose results are of these tests alone."""
    run = tmp_path_factory.mktemp("results") / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("results"))
    return run


@pytest.fixture(scope="module")
def results(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("suites")
    suites = [write_suite(folder / "plain.toml", PLAIN), write_suite(folder / "foggy.toml", FOGGY)]
    return nsbench.evaluate(run, suites, device="cpu")


def test_numbers_by_name(results: Results) -> None:
    assert (results.suites, len(results.models)) == (["plain", "foggy"], 2)
    first, last = results.models
    assert last.endswith("/generation-1")
    assert results["foggy"][first]["error"] is results[first]["foggy"]["error"]
    metric = results["plain"][last]["top1"]
    assert metric.value == results[1].metrics["top1"].value
    low, high = metric.interval
    assert low <= metric.value <= high
    assert repr(metric) == f"<top-1: {metric.value:.1f} [{low:.1f}, {high:.1f}] of 30 images>"
    assert [score.model for score in results[:2]] == [first, last]
    assert list(results["foggy"][last].metrics) == ["error", "clean_top1"]


def test_what_a_notebook_shows_is_short(results: Results) -> None:
    assert re.fullmatch(r"<.*/generation-0 on plain: <top-1: .* of 30 images>>", repr(results[0]))
    compared = results.compare(*results.models)
    assert re.fullmatch(r"<Comparison of .* against .* on plain, foggy>", repr(compared))


def test_names_that_are_none(results: Results) -> None:
    with pytest.raises(NsbenchError, match="model or metric 'fogy'; did you mean 'foggy'"):
        results["fogy"]
    with pytest.raises(NsbenchError, match="'top1' is a metric of 4 results .*name the suite and"):
        results["top1"]
    with pytest.raises(NsbenchError, match="are 4 scores: name a suite and a model first"):
        results.metrics  # noqa: B018 - a property
    with pytest.raises(IndexError):
        results[4]


def test_records_and_files_are_those_of_the_command(results: Results, tmp_path: Path) -> None:
    records = results.to_records()
    metrics = sum(len(score.metrics) for score in results)
    assert len(records) == metrics
    wanted = {"suite", "model", "metric", "value", "low", "high", "images"}
    assert wanted <= records[0].keys()
    results.save_csv(tmp_path / "r.csv")
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert [float(row["value"]) for row in rows] == [record["value"] for record in records]
    results.save_json(tmp_path / "r.json")
    suites = json.loads((tmp_path / "r.json").read_text())
    top1 = suites[0]["models"][results.models[0]]["metrics"]["top1"]
    assert top1["value"] == records[0]["value"]
    results.save_markdown(tmp_path / "r.md")
    assert f"| {results.models[0]} |" in (tmp_path / "r.md").read_text()


def test_latex_can_be_set(results: Results, tmp_path: Path) -> None:
    results.save_latex(tmp_path / "r.tex")
    text = (tmp_path / "r.tex").read_text()
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2
    assert r"\toprule" in text
    bare = text.replace(r"\%", "").replace(r"\_", "").replace(r"\&", "")
    assert "%" not in bare
    assert "_" not in bare


def test_html_is_escaped(results: Results) -> None:
    score = results[0]
    named = Results([score.__class__(**{**vars(score), "model": "<b>&"})])
    html = named._repr_html_()
    assert "&lt;b&gt;&amp;" in html
    assert "<b>" not in html
    assert results._repr_html_().count("<tr>") == 3


def test_two_models_are_compared(results: Results) -> None:
    comparison = results.compare(*results.models)
    rows = {row["suite"]: row for row in comparison.records() if not row["part"]}
    assert list(rows) == ["plain", "foggy"]
    change = rows["plain"]["b"] - rows["plain"]["a"]
    assert rows["plain"]["change"] == pytest.approx(change)
    assert rows["plain"]["verdict"] in ("better", "worse", "undecided")
    with pytest.raises(NsbenchError, match="there is no model 'nobody'"):
        results.compare("nobody", results.models[0])
    with pytest.raises(TypeError, match="a model is named by a string, not by int"):
        results.compare(1, results.models[0])  # type: ignore[arg-type]


def test_predictions_are_a_table(results: Results) -> None:
    table = results.predictions()
    assert table.num_rows == 2 * 30 + 2 * 3 * 30
    assert table.column_names == ["suite", "model", "cell", "image", "label", "top5", "confidence"]
    own = results["plain"][results.models[1]].predictions()
    right = pa.compute.equal(pa.compute.list_element(own["top5"], 0), own["label"])
    share = 100 * pa.compute.mean(pa.compute.cast(right, pa.float64())).as_py()
    assert share == pytest.approx(results[1].metrics["top1"].value)
    assert Results([]).predictions().num_rows == 0


def test_a_data_frame_has_the_records(results: Results) -> None:
    pandas = pytest.importorskip("pandas")
    frame = results.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["value"].tolist() == [record["value"] for record in results.to_records()]


def test_a_data_frame_without_pandas_is_one_sentence(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(NsbenchError, match=r"needs pandas: pip install 'nsbench\[pandas\]'"):
        results.to_pandas()


def test_stored_predictions_give_the_same_without_torch(results: Results, run: Path) -> None:
    again = load_results(run)
    assert again.models == results.models
    for score in results:
        found = again[score.suite.name][score.model].metrics
        assert {k: m.value for k, m in found.items()} == {
            k: m.value for k, m in score.metrics.items()
        }
    code = (
        f"import sys, nsbench; r = nsbench.load_results({str(run)!r})\n"
        "assert r['plain'] and r.to_records() and r._repr_html_() and r.predictions()\n"
        "assert 'torch' not in sys.modules"
    )
    home = {**os.environ, "PYTHONPATH": str(Path(nsbench.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=home)
    assert done.returncode == 0, done.stderr


def test_folders_without_results_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match="is neither a run folder nor a folder of results"):
        load_results(tmp_path)
