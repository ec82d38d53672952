import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from nsbench.commands.app import app
from nsbench.pseudo_labels.select import select
from nsbench.recipes.parts import PseudoLabels
from nsbench.reporting.labels import labels_figure, labels_table, read_labels, write_labels_picture
from nsbench.util.errors import NsbenchError
from tests.pseudo_labels.label_stores import distributions, written_store


def generation(run: Path, size: int, count: int = 400) -> dict[str, Any]:
    """A run whose generation 1 has chosen among labels of so many classes."""
    folder = run / "generation-1"
    probabilities = distributions(count, size)
    probabilities[:size] = np.eye(size)  # no class is empty
    store = written_store(folder / "labels", probabilities)
    for name in ("generation-0", "generation-1"):
        (run / name).mkdir(exist_ok=True)
        (run / name / "model.json").write_text("{}")
    (run / "recipe.toml").write_text("")
    classes = tuple(f"$kind {index}" for index in range(size))
    return select(store, PseudoLabels(per_class=30), classes, 0, folder)


def test_a_row_for_each_class(tmp_path: Path) -> None:
    summary = generation(tmp_path / "run", 10)
    name, found = read_labels(tmp_path / "run")
    assert name == "run/generation-1"
    assert found == summary
    assert read_labels(tmp_path / "run" / "generation-1") == (name, summary)
    table = labels_table(name, summary)
    first = summary["per_class"][0]
    assert table.columns == [
        "class", "labeled", "confident", "threshold", "unique kept", "selected", "copies",
    ]  # fmt: skip
    assert table.rows[0][:3] == ["$kind 0", str(first["labeled"]), str(first["confident"])]
    assert float(table.rows[0][6]) == round(first["selected"] / first["unique"], 2)
    assert len(table.rows) == 10
    assert sum(int(row[5]) for row in table.rows) == summary["selected"]
    assert f"{summary['confident']} of them" in table.notes[0]


def test_of_many_classes_the_rarest_are_shown_and_all_are_data(tmp_path: Path) -> None:
    summary = generation(tmp_path / "run", 1000, 3000)
    table = labels_table("run", summary)
    assert len(table.rows) == 40
    assert len(table.data["per_class"]) == 1000
    unique = sorted(row["unique"] for row in summary["per_class"])
    assert [int(row[4]) for row in table.rows] == unique[:40]
    assert "of 1,000" in table.notes[1]


@pytest.mark.parametrize("size", [10, 1000])
def test_the_figure_shows_before_and_after(tmp_path: Path, size: int) -> None:
    summary = generation(tmp_path / "run", size, 3000)
    drawn = labels_figure("labels-1", "run/generation-1", summary)
    text = drawn.svg
    assert text.startswith(f'<svg role="img" aria-label="{drawn.title}"')
    assert "in run/generation-1" in drawn.title
    assert len(drawn.table.rows) == min(size, 40)
    for label in ("before: confident", "after: unique", "after: with copies"):
        assert label in text
    assert ("$kind 3" in text) == (size == 10)
    assert not re.findall(r'\bid="(?!labels-1-)', text)


def test_the_command_writes_table_and_picture(tmp_path: Path) -> None:
    summary = generation(tmp_path / "run", 10)
    out, csv, data = (tmp_path / name for name in ("labels.png", "labels.csv", "labels.json"))
    arguments = ["--out", str(out), "--csv", str(csv), "--json", str(data)]
    done = CliRunner().invoke(app, ["show", "labels", str(tmp_path / "run"), *arguments])
    assert done.exit_code == 0, done.output
    assert "pseudo-labels of run/generation-1" in done.output
    assert Image.open(out).size > (600, 300)
    assert len(csv.read_text().splitlines()) == 11
    assert json.loads(data.read_text())["selected"] == summary["selected"]


def test_what_has_no_labels_or_is_no_picture(tmp_path: Path) -> None:
    summary = generation(tmp_path / "run", 10)
    with pytest.raises(NsbenchError, match="generation-0 has no pseudo-labels"):
        read_labels(tmp_path / "run" / "generation-0")
    for name in ("labels.xyz", "labels"):
        with pytest.raises(NsbenchError, match=f"{name} is not the name of a picture"):
            write_labels_picture(summary, tmp_path / name)
        assert not (tmp_path / name).exists()
