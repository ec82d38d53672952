"""Only results that were computed alike stand beside each other."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nsbench.predictions import Result
from nsbench.reporting.compare import compare
from nsbench.reporting.report import write_report
from nsbench.reporting.seed_texts import ONE_SEED
from nsbench.reporting.versions import choose
from nsbench.suites.load import load_suite
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.evaluating import evaluate

PLAIN = 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 3\n'
Evaluate = Callable[..., None]


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("results"))
    return tmp_path / "run"


@pytest.fixture
def evaluated(run: Path, tmp_path: Path) -> Evaluate:
    suite = write_suite(tmp_path / "plain.toml", PLAIN)

    def evaluated(*generations: int, **options: Any) -> None:
        models = [str(run / f"generation-{number}") for number in generations]
        evaluate(models, [suite], device="cpu", **options)

    return evaluated


@pytest.mark.parametrize("key", ["protocol", "images", "generator", "precision", "device"])
def test_results_that_differ_in_one_of_these_stand_in_no_column_together(key: str) -> None:
    same = {"protocol": "p", "images": "i", "generator": "g", "precision": "float32"}
    alike = {**same, "device": "cpu", "weights": "w"}

    def result(weights: str, **change: str) -> Result:
        suite = load_suite("digits-c").model_dump()
        manifest: dict[str, Any] = {"suite": suite, "reference": None}
        manifest |= {"identity": alike | {"weights": weights} | change, "evaluated": weights}
        return Result(Path(weights), manifest)

    models = [{"digits-c": [result(name)]} for name in "ab"]
    assert all(one.shown and not one.other for one in choose(models))
    models.append({"digits-c": [result("c", **{key: "another"})]})
    chosen = choose(models)
    assert [list(one.shown) for one in chosen] == [["digits-c"], ["digits-c"], []]
    assert "digits-c" in chosen[2].other


def shown(run: Path, tmp_path: Path, **options: Any) -> tuple[list[bool], list[str]]:
    """Whether each generation has a value in the report, and the notes below the summary."""
    summary, *_ = write_report(run, tmp_path / "report.html", **options)
    text = (tmp_path / "report.html").read_text()
    assert all(note.replace("'", "&#39;") in text for note in summary.notes)
    *notes, of_seeds = summary.notes
    assert of_seeds == ONE_SEED
    return ["plain" in row["suites"] for row in summary.data], notes


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"precision": "bfloat16"}, "precision bfloat16, not float32"),
        ({"channels_last": False}, "memory format channels first, not channels last"),
        ({"limit": 4}, "--limit 4, not all images"),
        ({"batch_size": 7}, None),
    ],
)
def test_what_both_models_have_is_shown_and_the_rest_is_told(
    run: Path, tmp_path: Path, evaluated: Evaluate, options: dict[str, Any], difference: str | None
) -> None:
    evaluated(0, 1)
    evaluated(1, **options)
    present, notes = shown(run, tmp_path)
    assert present == [True, True]
    told = f"run/generation-1 has other results on plain, which are left out: {difference}."
    assert notes == ([told] if difference else [])
    found = compare(run / "generation-0", run / "generation-1")
    assert len(found.headlines) == 1
    assert len(found.notes) == len(notes)


def test_unlike_results_are_not_paired_unless_the_user_names_the_difference(
    run: Path, tmp_path: Path, evaluated: Evaluate
) -> None:
    evaluated(0)
    evaluated(1, precision="bfloat16")
    assert shown(run, tmp_path)[0].count(True) == 1
    assert "evaluated differently" in (tmp_path / "report.html").read_text()
    two = run / "generation-0", run / "generation-1"
    unlike = r"plain is left out, as the two were evaluated differently \(run/gen.*precision"
    with pytest.raises(NsbenchError, match=f"^there is nothing to compare: {unlike}"):
        compare(*two)
    assert shown(run, tmp_path, across=["precision"])[0] == [True, True]
    assert len(compare(*two, across=["precision"]).headlines) == 1
    with pytest.raises(NsbenchError, match="there is nothing to compare"):
        compare(*two, across=["device", "subset"])
    with pytest.raises(NsbenchError, match="across 'precisoin'; did you mean 'precision'"):
        compare(*two, across=["precisoin"])


def test_the_full_run_is_preferred_to_a_later_part(
    run: Path, tmp_path: Path, evaluated: Evaluate
) -> None:
    evaluated(0)
    evaluated(0, 1, limit=4)
    present, notes = shown(run, tmp_path)
    assert present == [True, False]
    assert notes == [
        "run/generation-0 has other results on plain, which are left out: --limit 4, not all "
        "images.",
        "run/generation-1 is not shown on plain, where it was evaluated differently: --limit 4, "
        "not all images.",
    ]
    found = compare(run / "generation-0", run / "generation-1", across=["subset"])
    (row,) = found.headlines
    assert row.judged.change.images == len(row.a.ids) == len(row.b.ids) == 4
    assert row.record()["chosen"] == "--limit 4"
    assert found.notes[0] == (
        "plain: 4 images that both have (run/generation-0: all images, run/generation-1: 4 images, "
        "chosen by --limit 4)."
    )


def test_every_form_says_that_results_are_of_a_part(
    run: Path, tmp_path: Path, evaluated: Evaluate
) -> None:
    evaluated(0, 1, limit=4)
    told = "plain: 4 images, chosen by --limit 4."
    forms = ["html", "md", "csv", "json", "latex", "pdf-figures"]
    summary, *_ = write_report(run, tmp_path / "report.html", formats=forms)
    assert summary.notes[0] == told
    for form in ("html", "md", "json"):
        assert told in (tmp_path / f"report.{form}").read_text()
    tables = (tmp_path / "report.tex").read_text().split("\\begin{table}")[1:]
    assert all(told in table for table in tables)
    pypdf = pytest.importorskip("pypdf", reason="pypdf is not installed")
    for path in (tmp_path / "report-figures").glob("plain-*.pdf"):
        assert told in pypdf.PdfReader(path).pages[0].extract_text()
    found = compare(run / "generation-0", run / "generation-1")
    assert found.notes == found.data()["notes"] == [told]
    assert told in str(found)
    lines = list(csv.DictReader((tmp_path / "report.csv").open()))
    assert {line["chosen"] for line in [*lines, *found.records()]} == {"--limit 4"}
