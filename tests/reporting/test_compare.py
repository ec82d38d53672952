"""Comparisons of stored predictions: verdicts, corrections for many rows, and what is refused."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from nsbench import cli
from nsbench.metrics.change import change
from nsbench.metrics.intervals import error_consistency
from nsbench.predictions import Predictions, Store
from nsbench.reporting.compare import Comparison, compare
from nsbench.reporting.results import collect, headline_changes
from nsbench.reporting.tables import Table, csv_text, markdown_text
from nsbench.suites.load import parse_suite
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError

COUNT = 300
CORRUPTIONS = ["fog", "snow", "frost"]
SUITES: dict[str, dict[str, Any]] = {
    "plain": {"kind": "accuracy"},
    "c": {"kind": "corruption", "image_size": 32, "corruptions": CORRUPTIONS, "severities": [1, 2]},
    "f": {"kind": "attack", "epsilons": [0.0, 8.0], "headline": 8.0},
}
ERRORS = {"plain": 0.3, "c": 0.4, "f": 0.6}


def evaluated(
    folder: Path,
    name: str,
    lower: dict[str, float],
    images: str = "same",
    suites: str = "plain c f",
) -> Path:
    """A folder of results of a model whose errors are lower by so much, by suite or corruption."""
    for suite_name in suites.split():
        table = {"name": suite_name, "source": "digits", **SUITES[suite_name]}
        suite = parse_suite(table, "here")
        identity = {"protocol": suite.protocol(), "images": images, "generator": None, "of": name}
        store = Store(folder, suite_name, identity)
        for cell in suite.cells():
            gain = lower.get(cell.split("/")[0], lower.get(suite_name, 0.0))
            store.write(cell, rows(cell, ERRORS[suite_name] - gain))
        store.finish(
            {
                "suite": suite.model_dump(), "reference": None, "evaluated": images,
                "model": {"name": name, "arch": "a"}, "images": COUNT,
            }
        )  # fmt: skip
    return folder


def rows(cell: str, error: float) -> Predictions:
    """Images of which the hardest are wrong: two models differ by what one gained."""
    hardness = (np.random.default_rng(len(cell)).permutation(COUNT) + 0.5) / COUNT
    first = (hardness < error).astype(np.int32)
    top = np.stack([first, 1 - first, *(np.full(COUNT, c) for c in (2, 3, 4))], 1).astype(np.int32)
    ids = [str(index) for index in range(COUNT)]
    confidence = np.full(COUNT, 0.5, np.float32)
    return Predictions(ids, np.zeros(COUNT, np.int32), top, confidence)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Better on plain images and fog, worse on snow, the same elsewhere."""
    a = evaluated(tmp_path / "a", "old", {})
    b = evaluated(tmp_path / "b", "new", {"plain": 0.1, "fog": 0.2, "snow": -0.2})
    return a, b


def verdicts(found: Comparison) -> dict[str, str]:
    return {row.suite: row.judged.verdict for row in found.headlines}


def test_each_suite_has_its_verdict(two: tuple[Path, Path]) -> None:
    found = compare(*two)
    assert (found.a, found.b) == ("old", "new")
    assert verdicts(found) == {"plain": "better", "c": "undecided", "f": "undecided"}
    assert verdicts(compare(two[1], two[0]))["plain"] == "worse"
    assert {row.part: row.judged.verdict for row in found.parts["c"]} == {
        "fog": "better", "snow": "worse", "frost": "undecided"
    }  # fmt: skip
    assert list(found.parts) == ["c"]


def test_a_report_of_the_two_gives_the_same_verdicts(two: tuple[Path, Path]) -> None:
    found = collect(list(two))
    in_report = headline_changes(found[0], found)[1]
    assert {name: judged.verdict for name, judged in in_report.items()} == verdicts(compare(*two))


def test_rows_are_the_scores_and_their_paired_change(two: tuple[Path, Path]) -> None:
    before, after = (score(next((folder / "plain").iterdir())) for folder in two)
    row = next(row for row in compare(*two).headlines if row.suite == "plain")
    assert row.judged.change == change(after.metrics["top1"], before.metrics["top1"])
    right = [scores.metrics["top1"].scores > 0 for scores in (before, after)]
    assert row.kappa == error_consistency(*right)
    only_b = int((right[1] & ~right[0]).sum())
    assert row.judged.change.p_value == pytest.approx(stats.binomtest(0, only_b).pvalue)


def test_p_values_are_adjusted_for_the_rows_of_their_table(two: tuple[Path, Path]) -> None:
    found = compare(*two)
    for table in (found.headlines, found.parts["c"]):
        adjusted = stats.false_discovery_control([row.judged.change.p_value for row in table])
        assert [row.judged.adjusted_p for row in table] == pytest.approx(adjusted)
    assert found.headlines[0].judged.adjusted_p > found.headlines[0].judged.change.p_value


def test_a_chance_find_among_many_is_undecided(tmp_path: Path) -> None:
    """One suite alone would be called better; beside two that do not differ it is not."""
    a = evaluated(tmp_path / "a", "old", {})
    b = evaluated(tmp_path / "b", "new", {"f": 6 / COUNT})
    alone, beside = compare(a, b, ["f"]), compare(a, b)
    assert alone.headlines[0].judged.change.p_value == pytest.approx(2 / 2**6)
    assert verdicts(alone)["f"] == "better"
    assert verdicts(beside)["f"] == "undecided"


def test_other_images_are_refused_by_name(two: tuple[Path, Path]) -> None:
    a, b = two
    for folder in (b / "c").iterdir():
        for file in sorted(folder.rglob("*.*")):
            file.unlink()
    evaluated(b, "new", {}, images="other", suites="c")
    found = compare(a, b)
    assert list(verdicts(found)) == ["plain", "f"]
    [note] = found.notes
    assert note.startswith("c is left out, as the two were evaluated differently")
    assert found.tables()[0].notes[-1] == note
    with pytest.raises(NsbenchError) as nothing:
        compare(a, b, ["c"])
    way_out = "; evaluate both alike, or name the difference by --across"
    assert str(nothing.value) == f"there is nothing to compare: {note[:-1]}{way_out}"


def test_a_suite_of_one_model_is_named(two: tuple[Path, Path], tmp_path: Path) -> None:
    b = evaluated(tmp_path / "less", "less", {}, suites="plain")
    found = compare(two[0], b)
    assert list(verdicts(found)) == ["plain"]
    assert found.notes == ["less was not evaluated on c.", "less was not evaluated on f."]
    with pytest.raises(NsbenchError, match="less was not evaluated on c: run nsbench eval first"):
        compare(two[0], b, ["plain", "c"])
    with pytest.raises(NsbenchError, match="was not evaluated on"):
        compare(evaluated(tmp_path / "c", "c", {}, suites="c"), b)


def test_models_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    a, b = (evaluated(tmp_path / name, "same", {}, suites="plain") for name in "ab")
    found = compare(a, b)
    assert (found.a, found.b) == (str(a), str(b))


def test_a_run_of_several_generations_is_no_one_model(tiny_run: Path) -> None:
    one = tiny_run / "generation-1"
    with pytest.raises(NsbenchError, match=f"holds 2 generations: name one, such as {one}"):
        compare(tiny_run, one)


def test_tables_say_it_all_in_words(two: tuple[Path, Path]) -> None:
    tables = compare(*two).tables()
    assert [table.title for table in tables] == [
        "B: new\nA: old\nB against A (%)",
        "c, error ↓: B against A (%)",
    ]
    plain = tables[0].rows[0]
    assert plain[:2] == ["plain", "top-1 ↑"]
    assert plain[-2] == "better"
    assert plain[5] == "<0.001"
    assert [row[0] for row in tables[1].rows] == CORRUPTIONS
    text = markdown_text(tables)
    assert "| plain | top-1 ↑ |" in text
    assert "Benjamini-Hochberg" in text


def test_the_command_writes_every_format(
    two: tuple[Path, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    files = {option: tmp_path / f"out.{option}" for option in ("json", "csv", "markdown")}
    options = [text for option, file in files.items() for text in (f"--{option}", str(file))]
    with pytest.raises(SystemExit) as left:
        cli.main(["compare", *map(str, two), "--suite", "plain", "c", *options])
    assert left.value.code in (None, 0)
    assert "B against A" in capfd.readouterr().out
    data = json.loads(files["json"].read_text())
    assert [(row["suite"], row["part"]) for row in data["rows"]] == [
        ("plain", ""), ("c", ""), ("c", "fog"), ("c", "snow"), ("c", "frost")
    ]  # fmt: skip
    lines = list(csv.DictReader(io.StringIO(files["csv"].read_text())))
    assert [float(line["change"]) for line in lines] == [row["change"] for row in data["rows"]]
    assert lines[0]["kappa"]
    assert not lines[1]["kappa"]
    assert files["markdown"].read_text().count("**") == 4


def test_markdown_cells_keep_to_their_lines() -> None:
    text = markdown_text([Table("t", ["a", "b"], [["x|y", "two\nlines"]], notes=["Below."])])
    assert text == "**t**\n\n| a | b |\n| --- | ---: |\n| x\\|y | two lines |\n\nBelow.\n"


def test_csv_quotes_what_needs_it() -> None:
    assert csv_text([{"a": "x,y", "b": None}, {"a": 'z"', "b": 1.5}]) == 'a,b\n"x,y",\n"z""",1.5\n'
    assert csv_text([]) == ""


def test_comparing_does_not_import_torch() -> None:
    code = "import sys, nsbench.reporting.compare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
