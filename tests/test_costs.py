"""Nothing may come to wait for a GPU, or to launch or move more, without the table telling it."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nsbench.names import CORRUPTIONS
from tests.costs import GOAL, TABLE, Row

ROOT = Path(__file__).parents[1]


def rows(text: str) -> list[Row]:
    """Rows of a table, without the line that says by which version of torch it was made."""
    lines = [line for line in io.StringIO(text) if not line.startswith("#")]
    return [
        Row._make([work, *map(int, numbers), reason])
        for work, *numbers, reason in list(csv.reader(lines))[1:]
    ]


BOUNDS = {row.work: row for row in rows(TABLE.read_text())}


@pytest.mark.parametrize("part", ["", "--gradients"])
def test_batches_cost_at_most_what_the_table_says(part: str) -> None:
    made_by = TABLE.read_text().split("\n")[0].removeprefix("# torch ")
    if not torch.__version__.startswith(f"{made_by}."):
        pytest.skip(f"the table is of torch {made_by}: other versions launch other kernels")
    done = subprocess.run(
        [sys.executable, "-m", "tests.costs", *part.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = rows(done.stdout)
    assert {row.work for row in found} <= set(BOUNDS)
    assert len(found) == (2 if part else len(BOUNDS) - 2)
    for row in found:
        bound = BOUNDS[row.work]
        assert row.launches <= bound.launches, row
        assert row.megabytes <= bound.megabytes, row
        assert row.copied_bytes <= bound.copied_bytes, row
        assert row.waits <= bound.waits, row


def test_the_table_has_nothing_that_waits_without_a_reason() -> None:
    for row in BOUNDS.values():
        assert not row.waits or row.reason, row


def test_every_cell_reaches_the_goal_by_memory_and_launches() -> None:
    cells = [f"{name}/{severity}" for name in CORRUPTIONS for severity in range(1, 6)]
    assert len(cells) == 75
    for cell in cells:
        assert BOUNDS[cell].images_per_second >= GOAL or BOUNDS[cell].reason, cell
