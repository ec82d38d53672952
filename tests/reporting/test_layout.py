"""Tables at any width: nothing is broken inside, what is left out is told."""

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len

from nsbench.reporting.layout import PIECES, shared_prefix, wrapped
from nsbench.reporting.tables import Table, table_lines

WORDS = "top-1 94.8 [93.2, 96.0] +0.4 [-0.8, +1.6] mean error"
TABLE = Table(
    "accuracy (%, with 95% intervals)",
    ["model", "top-1\n↑", "mean error", "p", "verdict"],
    [
        ["runs/x/generation-0", "94.8 [93.2, 96.0]", "10.2 [8.4, 12.2]", "", ""],
        ["runs/x/generation-1", "95.2 [93.7, 96.4]\n+0.4 [-0.8, +1.6]", "8.7 [7.1, 10.5]", "0.6",
         "undecided"],
    ],
    notes=["Images by another generator."],
    models=True,
    spare=("p",),
)  # fmt: skip


def test_short_parentheses_stay_whole() -> None:
    assert wrapped("relative mCE (6 of 15)", 14) == ["relative mCE", "(6 of 15)"]
    assert wrapped("(a parenthesis of many words is broken)", 20)[0] == "(a parenthesis of"


def test_the_column_that_is_sorted_by_stays() -> None:
    table = replace(TABLE, keep=("verdict",))
    assert "verdict" not in "\n".join(table_lines(TABLE, 45)).split("Not shown")[0]
    assert "verdict" in "\n".join(table_lines(table, 45)).split("Not shown")[0]


def test_pieces_are_words_numbers_and_intervals() -> None:
    whole = ["top-1", "94.8", "[93.2, 96.0]", "+0.4", "[-0.8, +1.6]", "mean", "error"]
    assert PIECES.findall(WORDS) == whole


def test_text_is_broken_between_pieces_only() -> None:
    assert wrapped("mean error 94.8 [93.2, 96.0]", 12) == ["mean error", "94.8", "[93.2, 96.0]"]
    assert wrapped("a-very-long-word b", 4) == ["a-very-long-word", "b"]
    assert wrapped("one\ntwo", 80) == ["one", "two"]


@pytest.mark.parametrize("width", [30, 40, 50, 60, 80, 140])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    lines = table_lines(TABLE, width)
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    # What is shown is whole.
    assert (
        text.count("[") == text.count("]") == len(re.findall(r"\[[^\[\]\n]+, [^\[\]\n]+\]", text))
    )
    shown = [head for head in ("top-1", "mean error", "verdict") if head in text.split("─")[0]]
    told = re.sub(r"\s+", " ", text.partition("Not shown here:")[2])
    for head in ("top-1 ↑", "mean error", "p", "verdict"):
        assert head.split()[0] in " ".join(shown) + told


def test_spare_columns_go_first_and_the_first_never() -> None:
    assert "Not shown here: p; a wider" in " ".join(table_lines(TABLE, 50)[-2:])
    lines = table_lines(TABLE, 20)
    assert [line.split()[0] for line in lines if line.startswith("generation")] == [
        "generation-0", "generation-1",
    ]  # fmt: skip


def test_rows_of_one_line_stay_whole() -> None:
    wide = Table("t", ["suite", "change", "p"], [["c", "-1.5 [-2.6, -0.5]", "0.003"]], whole=True)
    assert len(table_lines(wide, 80)) == 4
    assert "Not shown here: p" in " ".join(table_lines(wide, 26))


def test_what_names_share_is_told_once() -> None:
    lines = table_lines(TABLE, 80)
    assert lines[0] == "accuracy (%, with 95% intervals); models: runs/x/…"
    assert sum("runs/x" in line for line in lines) == 1
    assert shared_prefix(["a/b", "a/c"]) == "a/"
    assert (
        shared_prefix(["ab", "ac"]) == shared_prefix(["a/b"]) == shared_prefix(["a/", "a/b"]) == ""
    )
    assert shared_prefix(["a/b/c", "a/b/c/d"]) == "a/b/"


def test_wide_letters_count_as_they_are_shown() -> None:
    lines = table_lines(Table("t", ["model", "x"], [["模型", "1"], ["ab", "2"]]), 80)
    assert [cell_len(line) for line in lines[1:]] == [8, 8, 8, 8]
