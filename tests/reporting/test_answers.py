"""What a report says of each generation, in words made from the numbers."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from nsbench.metrics.change import Metric
from nsbench.metrics.intervals import Interval
from nsbench.reporting.gains import Gain, sentence, teacher_of
from nsbench.reporting.report import write_report
from nsbench.reporting.results import collect
from nsbench.util.errors import NsbenchError
from tests.reporting.test_report import evaluated as evaluated


def gain(suite: str, name: str, higher: bool, value: float, verdict: str) -> Gain:
    metric = Metric(name, ("a",), np.array([0.0]), higher)
    return Gain(suite, metric, value, Interval(value - 0.5, value + 0.5), verdict)


MCE = ("c", "mCE", False)
TOP1 = ("digits", "top-1", True)
FGSM = ("f", "FGSM ε=8", True)

SENTENCES = [
    ([(*MCE, -4.1, "better"), (*TOP1, 0.2, "undecided")],
     "Generation 2 cuts mCE by 4.1 points (3.6 to 4.6) against its teacher; top-1 undecided."),
    ([(*MCE, 4.1, "worse")], "Generation 2 raises mCE by 4.1 points (3.6 to 4.6) against its "
     "teacher."),
    ([(*TOP1, 1.0, "better"), (*MCE, -2.0, "better"), (*FGSM, -3.0, "worse")],
     "Generation 2 raises top-1 by 1.0 points (0.5 to 1.5) and cuts mCE by 2.0 points (1.5 to "
     "2.5) against its teacher, but lowers FGSM ε=8 by 3.0 points (2.5 to 3.5)."),
    ([(*TOP1, 0.1, "undecided"), (*MCE, 0.1, "undecided"), (*FGSM, 0.1, "undecided")],
     "Generation 2 against its teacher: undecided on top-1, mCE and FGSM ε=8."),
    ([(*TOP1, 1.0, "better"), ("digits-a", "top-1", True, 0.1, "undecided")],
     "Generation 2 raises top-1 on digits by 1.0 points (0.5 to 1.5) against its teacher; top-1 "
     "on digits-a undecided."),
    ([], "Generation 2 and its teacher have no suite in common."),
]  # fmt: skip


@pytest.mark.parametrize(("gains", "text"), SENTENCES)
def test_sentences(gains: list[tuple[str, str, bool, float, str]], text: str) -> None:
    assert sentence("generation 2", "its teacher", [gain(*one) for one in gains]) == text


def test_the_teacher_is_found_by_its_weights(evaluated: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(evaluated, copy)
    entries = collect([evaluated, copy])
    # Both runs have a teacher of these weights: each student's is the one beside it.
    assert teacher_of(entries[1], entries) is entries[0]
    assert teacher_of(entries[3], entries) is entries[2]
    assert teacher_of(entries[0], entries) is None


def test_one_model_has_nothing_to_be_held_against(evaluated: Path, tmp_path: Path) -> None:
    write_report(evaluated / "generation-0", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "There is one model, and nothing to hold it against." in text


@pytest.mark.parametrize("lacking", ["c", "plain", "f", "p", "[a-z]*"])
@pytest.mark.parametrize("generation", [0, 1])
def test_half_of_the_results_is_a_report(
    evaluated: Path, tmp_path: Path, generation: int, lacking: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(evaluated, run)
    for results in (run / f"generation-{generation}" / "results").glob(lacking):
        shutil.rmtree(results)
    write_report(run, tmp_path / "r.html", formats=["html", "csv", "json", "md", "latex"])
    assert "not evaluated" in (tmp_path / "r.html").read_text()


def test_control_characters_of_names_do_not_survive(evaluated: Path, tmp_path: Path) -> None:
    run = tmp_path / "\x1b[31mred\x07<i>"
    shutil.copytree(evaluated, run)
    write_report(run, tmp_path / "r.html", title="\x1b[2J<b>title")
    text = (tmp_path / "r.html").read_text()
    assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in text)
    assert "&lt;b&gt;title" in text
    assert "<i>" not in text


def test_forty_models_are_a_report_that_says_what_figures_show(
    evaluated: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / f"m{number}" / "generation-0" for number in range(40)]
    for path in paths:
        shutil.copytree(evaluated / "generation-0", path)
    write_report(paths, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert "Figures show 8 of 40 models, the first ones and the last; tables show all." in text
    assert len(text) < 1_500_000


def test_an_unknown_format_is_told_before_anything_is_written(
    evaluated: Path, tmp_path: Path
) -> None:
    with pytest.raises(NsbenchError, match="there is no format 'htlm'; did you mean 'html'"):
        write_report(evaluated, tmp_path / "r.html", formats=["htlm"])
    with pytest.raises(NsbenchError, match="name a format"):
        write_report(evaluated, tmp_path / "r.html", formats=[])
    assert list(tmp_path.iterdir()) == []
