"""Single images that models get wrong, held against the stored predictions."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from nsbench.reporting.gallery import choices
from nsbench.reporting.mistakes import Apart, Sure, mistakes
from nsbench.reporting.results import collect
from nsbench.util.errors import NsbenchError
from tests.reporting.test_report import evaluated as evaluated
from tests.test_cli import call


def stored(generation: Path, suite: str, cell: str) -> dict[str, Any]:
    (folder,) = (generation / "results" / suite).iterdir()
    table = pq.read_table(folder / f"{cell}.parquet")
    found = {key: np.array(table[key].to_pylist()) for key in ("id", "label", "confidence")}
    return {**found, "top": np.stack(table["top"].to_numpy())[:, 0]}


@pytest.mark.parametrize(("suite", "cell"), [("plain", "images"), ("c", "fog/5"), ("f", "eps=8")])
def test_the_surest_mistakes_of_a_model(evaluated: Path, suite: str, cell: str) -> None:
    generation = evaluated / "generation-0"
    (sure,) = mistakes(generation, None, suite, cell, count=4)
    assert isinstance(sure, Sure)
    rows = stored(generation, suite, cell)
    wrong = rows["top"] != rows["label"]
    assert (sure.total, sure.images) == (wrong.sum(), len(wrong))
    order = sorted(np.flatnonzero(wrong), key=lambda n: -rows["confidence"][n])[:4]
    found = [(one.image, one.label, one.answer.name) for one in sure.shown]
    assert found == [(rows["id"][n], str(rows["label"][n]), str(rows["top"][n])) for n in order]
    assert sure.shown[0].answer.confidence == pytest.approx(rows["confidence"][order[0]])


def test_the_worst_corruption_is_shown_where_none_is_named(evaluated: Path) -> None:
    (sure,) = mistakes(evaluated / "generation-0", None, "c")
    assert isinstance(sure, Sure)
    errors = {}
    for name in ("contrast", "fog"):
        cells = [stored(evaluated / "generation-0", "c", f"{name}/{s}") for s in range(1, 6)]
        errors[name] = np.mean([rows["top"] != rows["label"] for rows in cells])
    assert sure.cell == f"{max(errors, key=lambda name: errors[name])}/3"


def test_of_sequences_the_surest_flip_of_each_clip(evaluated: Path) -> None:
    generation = evaluated / "generation-0"
    (sure,) = mistakes(generation, None, "p", count=3)
    assert isinstance(sure, Sure)
    rows = stored(generation, "p", "translate")
    frames = len(rows["id"]) // len(set(rows["id"]))
    top, sureness = (rows[key].reshape(-1, frames) for key in ("top", "confidence"))
    flips = np.zeros(top.shape, bool)
    flips[:, 1:] = top[:, 1:] != top[:, :-1]
    assert sure.total == flips.any(1).sum()
    for one in sure.shown:
        clip = rows["id"][::frames].tolist().index(one.image)
        assert flips[clip, one.frame]
        assert sureness[clip, one.frame] == sureness[clip][flips[clip]].max()
        assert (one.before, one.answer.name) == (
            str(top[clip, one.frame - 1]),
            str(top[clip, one.frame]),
        )


def test_two_models_differ_as_in_the_pictures_of_a_report(evaluated: Path) -> None:
    paths = [evaluated / f"generation-{number}" for number in (0, 1)]
    teacher, student = collect(paths)
    wanted = choices(teacher, student, 2)
    for suite in ("plain", "c", "p", "f"):
        found = mistakes(paths[0], paths[1], suite, count=2)
        shown = []
        for one in found:
            assert isinstance(one, Apart)
            shown += [*one.gained, *one.lost]
            rows = [stored(path, suite, one.cell) for path in paths]
            wrong = [own["top"] != own["label"] for own in rows]
            if not one.flips:
                both = (wrong[0] & ~wrong[1]).sum(), (wrong[1] & ~wrong[0]).sum()
                assert one.totals == both
        assert shown == [choice for choice in wanted if choice.suite == suite]


def test_the_command_writes_what_it_shows(
    evaluated: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    models = [evaluated / f"generation-{number}" for number in (0, 1)]
    files = ["--csv", tmp_path / "m.csv", "--json", tmp_path / "m.json"]
    options = ["--suite", "c", "--cell", "fog/3", "--count", 2]
    assert call("show", "mistakes", *models, *options, *files) == 0
    printed = capfd.readouterr().out
    records = json.loads((tmp_path / "m.json").read_text())
    with (tmp_path / "m.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [record["image"] for record in records]
    assert all(record["image"] in printed for record in records)
    assert {record["right"] for record in records} <= {"run/generation-0", "run/generation-1"}
    assert call("show", "mistakes", models[0], "--suite", "plain") == 0
    assert "images are wrong." in capfd.readouterr().out


def test_what_there_is_none_of(evaluated: Path, tmp_path: Path) -> None:
    first = evaluated / "generation-0"
    with pytest.raises(NsbenchError, match="not evaluated on 'plane'; did you mean 'plain'"):
        mistakes(first, None, "plane")
    with pytest.raises(NsbenchError, match="c has no cell 'fogg/3'; did you mean 'fog/3'"):
        mistakes(first, None, "c", "fogg/3")
    with pytest.raises(NsbenchError, match="holds 2 generations: name one, such as"):
        mistakes(evaluated, None, "c")
    bare = tmp_path / "run" / "generation-0"
    shutil.copytree(first, bare, ignore=shutil.ignore_patterns("results"))
    with pytest.raises(NsbenchError, match="was not evaluated: run nsbench eval first"):
        mistakes(bare, None, "c")


def test_it_needs_no_torch() -> None:
    code = "import sys, nsbench.reporting.mistakes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
