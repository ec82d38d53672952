"""What a dry run says is what the evaluation then does."""

from pathlib import Path

import pytest

from nsbench.evaluation.estimate import estimate
from nsbench.evaluation.options import make_options
from nsbench.predictions import read_cell
from nsbench.reporting.run_tables import estimate_table
from nsbench.suites.load import load_suite
from tests.conftest import write_suite
from tests.evaluating import evaluate

FEW = 'source = "digits"\nimages_per_class = 1\nseed = 77\n'
SUITES = {
    "ea": f'kind = "accuracy"\n{FEW}',
    "ec": f'kind = "corruption"\n{FEW}image_size = 32\ncorruptions = ["fog"]\n',
    "ep": f'kind = "perturbation"\n{FEW}image_size = 32\nperturbations = ["translate"]\n',
    "ef": f'kind = "attack"\n{FEW}epsilons = [0.0, 8.0]\nheadline = 8.0\n',
}


def test_it_counts_what_the_evaluation_does(tiny_run: Path, tmp_path: Path) -> None:
    models = [str(tiny_run)]
    suites = [load_suite(write_suite(tmp_path / f"{n}.toml", t)) for n, t in SUITES.items()]
    options = make_options(device="cpu")
    before = estimate(models, suites, options)
    assert [(row["suite"], row["cells"]) for row in before] == [
        ("ea", 1), ("ea", 1), ("ec", 6), ("ec", 6), ("ep", 1), ("ep", 1), ("ef", 2), ("ef", 2)
    ]  # fmt: skip
    assert all(row["seconds"] > 0 for row in before)
    assert not list(tiny_run.rglob("results/e?"))
    for row, folder in zip(before, evaluate(models, suites, device="cpu"), strict=True):
        cells = [path.relative_to(folder) for path in folder.rglob("*.parquet")]
        assert len(cells) == row["cells"]
        rows = sum(len(read_cell(folder, str(cell.with_suffix(""))).top) for cell in cells)
        assert rows == row["forward_passes"]
        assert row["images"] == 10
    after = estimate(models, suites, options)
    assert sum(row["forward_passes"] for row in after) == 0
    assert sum(row["seconds"] for row in after) == pytest.approx(0)


def test_the_table_sums_up() -> None:
    row = {
        "suite": "c", "model": "m", "cells": 75, "of_cells": 76, "images": 50_000,
        "forward_passes": 3_750_000, "seconds": 7_500.0, "bytes": 112_500_000,
        "decoded_bytes": 7_526_400_000,
    }  # fmt: skip
    table = estimate_table([row, row | {"model": "n", "seconds": 30.0}])
    assert table.rows[0] == ["c", "m", "75 of 76", "50,000", "3,750,000", "2.1 h", "112 MB"]
    assert table.rows[2] == ["all", "", "", "", "7,500,000", "2.1 h", "225 MB"]
    assert "7.53 GB" in table.notes[0]
