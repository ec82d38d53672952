"""Every number of a report is recomputed from the stored predictions, by other code."""

import csv
import html.parser
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from nsbench.reporting.report import write_report
from nsbench.suites.scores import score
from tests.reporting.test_report import evaluated as evaluated

Frames = dict[str, dict[str, Any]]

FORMATS = ("html", "md", "csv", "json", "latex")


@pytest.fixture(scope="module")
def written(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    write_report(evaluated, folder / "report.html", formats=FORMATS)
    return folder


def cells(run: Path, model: str, suite: str) -> tuple[Frames, dict[str, Any]]:
    """By cell the label, the first and all five classes and the confidence; and suite.json."""
    (folder,) = (run / model.split("/")[-1] / "results" / suite).iterdir()
    found = {}
    for path in folder.rglob("*.parquet"):
        table = pq.read_table(path)
        found[path.relative_to(folder).with_suffix("").as_posix()] = {
            "label": table["label"].to_numpy(),
            "top": np.stack(table["top"].to_numpy()),
            "confidence": table["confidence"].to_numpy(),
        }
    return found, json.loads((folder / "suite.json").read_text())


def error(rows: dict[str, Any]) -> float:
    return 100 * float(np.mean(rows["top"][:, 0] != rows["label"]))


def recomputed(run: Path, model: str, suite: str, key: str) -> float:
    """A metric by plain NumPy, from the definition of its benchmark."""
    found, manifest = cells(run, model, suite)
    names = manifest["suite"].get("corruptions")
    reference = manifest["reference"] or {}
    if key == "top1":
        return 100 - error(found["images"])
    if key == "top5":
        rows = found["images"]
        return 100 * float((rows["top"] == rows["label"][:, None]).any(1).mean())
    if key == "clean_top1":
        return 100 - error(found["clean"])
    if key == "error":
        return float(np.mean([error(rows) for cell, rows in found.items() if cell != "clean"]))
    if key in ("mce", "relative_mce"):
        clean = error(found["clean"]) / 100 if key == "relative_mce" else 0.0
        base = reference["clean"] if key == "relative_mce" else 0.0
        ratios = [
            sum(error(found[f"{name}/{s}"]) / 100 - clean for s in range(1, 6))
            / sum(e - base for e in reference["errors"][name])
            for name in names
        ]
        return 100 * float(np.mean(ratios))
    if key == "flip_probability":
        means = []
        for rows in found.values():
            ids = manifest["images"]
            top = rows["top"][:, 0].reshape(ids, -1)
            means.append(np.mean(top[:, 1:] != top[:, :-1]))
        return 100 * float(np.mean(means))
    return 100 - error(found[f"eps={key.removeprefix('fgsm_')}"])


class Cells(html.parser.HTMLParser):
    """The texts of cells with a key, by model, suite and what they are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: dict[tuple[str, ...], str] = {}
        self._key: tuple[str, ...] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        key = dict(attrs).get("data-key")
        self._key = tuple(key.split("\t")) if tag == "td" and key else None

    def handle_data(self, data: str) -> None:
        if self._key:
            self.found[self._key] = self.found.get(self._key, "") + data


def test_every_cell_of_the_summary_is_right(evaluated: Path, written: Path) -> None:
    shown = Cells((written / "report.html").read_text()).found
    metrics = {key: text for key, text in shown.items() if not key[2].startswith("run/")}
    assert len(metrics) == 2 * (2 + 4 + 1 + 3)
    for (model, suite, key), text in metrics.items():
        value, low, high = map(float, re.findall(r"-?\d+\.\d", text))
        assert value == pytest.approx(recomputed(evaluated, model, suite, key), abs=0.0501)
        assert low <= value <= high
    changes = {key: text for key, text in shown.items() if key[2].startswith("run/")}
    assert len(changes) == 4
    headlines = {"plain": "top1", "c": "mce", "p": "flip_probability", "f": "fgsm_8"}
    for (model, suite, base), text in changes.items():
        value = float(text.split()[0])
        both = [recomputed(evaluated, m, suite, headlines[suite]) for m in (model, base)]
        assert value == pytest.approx(both[0] - both[1], abs=0.0501)


def test_the_records_are_right_and_complete(evaluated: Path, written: Path) -> None:
    records = json.loads((written / "report.json").read_text())["records"]
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_kind.setdefault(record["kind"], []).append(record)
    for record in by_kind["metric"]:
        expected = recomputed(evaluated, record["model"], record["suite"], record["metric"])
        assert record["value"] == pytest.approx(expected, abs=1e-9)
    # Ten corrupted cells, a sequence and three strengths, of two models.
    assert len(by_kind["cell"]) == 2 * (10 + 1 + 3)
    for record in by_kind["cell"]:
        found, manifest = cells(evaluated, record["model"], record["suite"])
        rows = found[record["cell"]]
        if record["suite"] == "p":
            expected = recomputed(evaluated, record["model"], "p", "flip_probability")
        else:
            wrong = error(rows)
            expected = wrong if record["metric"] == "error" else 100 - wrong
        assert record["value"] == pytest.approx(expected, abs=1e-9)
        assert record["low"] - 1e-9 <= record["value"] <= record["high"] + 1e-9
        assert record["images"] == manifest["images"]


def test_the_ends_of_intervals_are_in_their_columns(evaluated: Path, written: Path) -> None:
    records = json.loads((written / "report.json").read_text())["records"]
    rows = list(csv.DictReader(io.StringIO((written / "report.csv").read_text())))
    assert len(rows) == len(records) > 40
    for kind in ("metric", "cell", "change"):
        assert any(r["kind"] == kind and r["low"] < r["value"] < r["high"] for r in records)
    for record, row in zip(records, rows, strict=True):
        assert record["low"] - 1e-9 <= record["value"] <= record["high"] + 1e-9
        assert [float(row[key]) for key in ("low", "value", "high")] == [
            record[key] for key in ("low", "value", "high")
        ]
        if record["kind"] != "metric":
            continue
        (folder,) = (
            evaluated / record["model"].split("/")[-1] / "results" / record["suite"]
        ).iterdir()
        metric = score(folder).metrics[record["metric"]]
        assert (record["low"], record["high"]) == tuple(metric.interval)


def test_all_forms_carry_the_same_values(written: Path) -> None:
    records = json.loads((written / "report.json").read_text())["records"]
    rows = list(csv.DictReader(io.StringIO((written / "report.csv").read_text())))
    assert len(rows) == len(records)
    for row, record in zip(rows, records, strict=True):
        assert row.keys() == record.keys()
        for key, text in row.items():
            value = record[key]
            assert text == ("" if value is None else str(value))
    texts = [(written / f"report.{ending}").read_text() for ending in ("md", "tex", "html")]
    for record in records:
        if record["kind"] == "cell":
            continue
        sign = "+" if record["kind"] == "change" else ""
        shown = (
            f"{record['value']:{sign}z.1f} "
            f"[{record['low']:{sign}z.1f}, {record['high']:{sign}z.1f}]"
        )
        assert all(shown in text for text in texts)


def test_the_figures_show_the_numbers_of_their_tables(evaluated: Path, written: Path) -> None:
    text = (written / "report.html").read_text()
    for model in ("run/generation-0", "run/generation-1"):
        found, _ = cells(evaluated, model, "c")
        for cell in ("contrast/1", "fog/5"):
            name, severity = cell.split("/")
            assert f"{name}, severity {severity}: {error(found[cell]):.1f} %" in text
        for level in "15":
            mean = np.mean([error(found[f"{name}/{level}"]) for name in ("contrast", "fog")])
            short = model.removeprefix("run/")
            assert f"<title>{short}, severity {level}: {mean:.1f} [" in text


def test_figures_are_written_as_pdf_and_png(evaluated: Path, tmp_path: Path) -> None:
    write_report(evaluated, tmp_path / "r.html", formats=["pdf-figures"])
    written = {path.name for path in (tmp_path / "r-figures").iterdir()}
    assert not (tmp_path / "r.html").exists()
    for key in ("plain-reliability", "c-heat", "c-severity", "p-flips", "f-curve"):
        assert {f"{key}.pdf", f"{key}.png"} <= written
    assert (tmp_path / "r-figures" / "c-heat.pdf").read_bytes().startswith(b"%PDF")
