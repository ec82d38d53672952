"""Figures as text."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from nsbench.metrics.change import Change, Metric
from nsbench.metrics.intervals import Interval
from nsbench.names import PERTURBATIONS
from nsbench.reporting.score_tables import change_text, metric_text
from nsbench.reporting.suite_tables import suite_table
from nsbench.reporting.tables import Table, print_table, print_tables
from tests.conftest import write_suite
from tests.test_cli import call


def test_what_rounds_to_zero_has_no_minus() -> None:
    change = Change(-0.04, Interval(-0.06, 0.049), better=False, images=100, p_value=1.0)
    # An end that is not zero does not read as zero: the verdict depends on its side.
    assert change_text(change) == "+0.0 [-0.1, +0.05]"
    same = Change(0.0, Interval(-0.0, -0.0), better=False, images=100, p_value=1.0)
    assert change_text(same) == "+0.0 [+0.0, +0.0]"
    assert change_text(None) == ""
    metric = Metric("m", ("a", "b"), np.array([-0.03, -0.04]), False)
    assert metric_text(metric) == "0.0 [0.0, 0.0]"


def test_names_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """`:m:` is a picture to rich, and a part of a model's name to us."""
    print_table(Table("python:m:make", ["python:m:make"], [["python:m:make"]]))
    assert capsys.readouterr().out.count(":m:") == 3
    print_table(Table("run[red]", ["[bold]model"], [["a[/] [link]b"]]))
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("run[red]", "[bold]model", "a[/] [link]b"))
    assert call("eval", "python:m:", "--suite", "digits", "--device", "cpu") == 2
    assert "the model python:m: must be python:MODULE:FUNCTION" in capsys.readouterr().err


@pytest.mark.parametrize("count", [7, 8, 9])
def test_of_many_cells_eight_are_named(count: int, tmp_path: Path) -> None:
    names = ", ".join(f'"{name}"' for name in PERTURBATIONS[:count])
    text = f'kind = "perturbation"\nsource = "digits"\nimage_size = 32\nperturbations = [{names}]\n'
    made = suite_table(write_suite(tmp_path / "p.toml", text))
    (cells,) = (row[1] for row in made.rows if row[0] == "cells")
    assert cells.startswith(f"{count}: {', '.join(PERTURBATIONS[: min(count, 8)])}")
    assert cells.endswith(" …") == (count > 8)


def test_control_characters_of_names_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_tables([Table("\x1b[2Jt", ["model"], [["\x1b[31mred\x07"]], notes=["\x9b1m"])])
    shown = capsys.readouterr().out
    assert "[31mred" in shown
    assert not any(unicodedata.category(letter) == "Cc" for letter in shown if letter != "\n")
