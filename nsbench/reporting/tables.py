"""Tables for the terminal, as Markdown for people, as JSON and CSV for programs."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console

from nsbench.reporting.layout import GAP, columns_that_fit, shared_prefix, wrapped
from nsbench.util.files import write_json
from nsbench.util.text import printable


@dataclass(frozen=True)
class Table:
    """Rows of text under columns, sentences below them, and the same as data.

    prose: the columns hold text to read, not figures to compare. models: the first column holds
    names of models, of which what all begin with is printed once. whole: a row is one line, however
    narrow the terminal. spare: heads of columns that are left out first where it is narrow; keep:
    those that go last.
    commands: to be copied, so that each is one line, however long.
    """

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    data: Any = None
    notes: list[str] = field(default_factory=list)
    prose: bool = False
    models: bool = False
    whole: bool = False
    spare: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The table in the width of the terminal."""
        return "\n".join(table_lines(self, Console().width))


def print_table(table: Table, json: Path | None = None) -> None:
    """Print a table on standard output, and write its data if a file is given."""
    print_tables([table])
    if json:
        write_json(json, table.data)


def print_tables(tables: Sequence[Table], json: Path | None = None) -> None:
    """Print tables on standard output, and write their data as one list if a file is given."""
    console = Console(emoji=False)  # python:m:make is no letter in a circle
    for number, table in enumerate(tables):
        # No markup: names of models and files may hold [brackets].
        lines = table_lines(table, console.width)
        for line in ["", *lines] if number else lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if json:
        write_json(json, [table.data for table in tables])


def table_lines(table: Table, width: int) -> list[str]:
    """A table as lines that fit a width: no word, number or interval is broken.

    Columns that do not fit are left out, and a note says which. Only a single piece of text that is
    wider than the terminal, such as a path, makes a longer line.
    """
    # Names of models and files may hold what steers a terminal.
    rows = [[printable(cell, keep="\n") for cell in row] for row in table.rows]
    title = printable(table.title, keep="\n")
    if table.models and (prefix := shared_prefix([row[0] for row in rows])):
        rows = [[row[0].removeprefix(prefix), *row[1:]] for row in rows]
        title = f"{title}; models: {prefix}…"
    columns = [list(cells) for cells in zip(table.columns, *rows, strict=True)]
    spare = [table.columns.index(head) for head in table.spare if head in table.columns]
    last = [n for n, head in enumerate(table.columns) if head in table.keep]
    kept, widths = columns_that_fit(columns, width, spare, table.whole, last)
    heads, *body = [[row[n] for n in kept] for row in (table.columns, *rows)]
    lines = wrapped(title, width)
    lines += _row_lines(heads, widths, table.prose) if any(heads) else []
    lines.append("─" * min(width, sum(widths) + GAP * (len(widths) - 1)))
    tall = any("\n" in cell for row in body for cell in row)
    for number, row in enumerate(body):
        lines += [""] if tall and number else []
        lines += _row_lines(row, widths, table.prose)
    lost = [" ".join(head.split()) for n, head in enumerate(table.columns) if n not in kept]
    notes = [printable(note) for note in table.notes]
    if lost:
        notes.append(f"Not shown here: {', '.join(lost)}; a wider terminal shows all.")
    lines += [line for note in notes for line in wrapped(note, width)]
    return [*lines, *table.commands]


def _row_lines(row: Sequence[str], widths: Sequence[int], prose: bool) -> list[str]:
    """The lines of a row: names and texts to the left, figures to the right."""
    cells = [wrapped(cell, width) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for parts in zip_longest(*cells, fillvalue=""):
        padded = [
            part + " " * (width - cell_len(part))
            if prose or not number
            else " " * (width - cell_len(part)) + part
            for number, (part, width) in enumerate(zip(parts, widths, strict=True))
        ]
        lines.append((" " * GAP).join(padded).rstrip())
    return lines


def plain_text(tables: Sequence[Table]) -> str:
    """Tables as the terminal shows them, in its width."""
    return "\n\n".join(map(str, tables))


def markdown_text(tables: Sequence[Table]) -> str:
    """Tables as Markdown (GitHub's), the titles in bold and the notes below."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    side = "---" if table.prose else "---:"
    below = ["---", *[side] * (len(table.columns) - 1)]
    lines = map(_markdown_line, [table.columns, below, *table.rows])
    notes = [f"\n{note}" for note in table.notes]
    return "\n".join([f"**{table.title}**", "", *lines, *notes]) + "\n"


def _markdown_line(cells: Sequence[str]) -> str:
    # A cell is one line, and a bar would end it.
    plain = [" ".join(cell.replace("|", "\\|").split()) for cell in cells]
    return f"| {' | '.join(plain)} |"


LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "ε": r"$\varepsilon$",
    "κ": r"$\kappa$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
}
"""What LaTeX would take for commands, or has no letter for in its usual fonts."""


def latex_text(tables: Sequence[Table]) -> str:
    """Tables as LaTeX with the rules of the package booktabs, titles as captions, notes below."""
    return "\n".join(_latex(table) for table in tables)


def _latex(table: Table) -> str:
    sides = "l" + ("l" if table.prose else "r") * (len(table.columns) - 1)
    head, *rows = [
        " & ".join(map(_latex_cell, row)) + r" \\" for row in (table.columns, *table.rows)
    ]
    inside = [r"\toprule", head, r"\midrule", *rows, r"\bottomrule"]
    tabular = [rf"\begin{{tabular}}{{{sides}}}", *inside, r"\end{tabular}"]
    notes = [_latex_cell(note) for note in table.notes]
    caption = rf"\caption{{{_latex_cell(table.title)}}}"
    whole = [r"\begin{table}", r"\centering", caption, *tabular, *notes, r"\end{table}"]
    return "\n".join(whole) + "\n"


def _latex_cell(cell: str) -> str:
    return " ".join("".join(LATEX.get(letter, letter) for letter in cell).split())


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Records of the same keys as CSV, a column a key; None is an empty cell.

    Without records the text is empty.
    """
    if not records:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def size_text(count: float) -> str:
    """`1.2 GB`."""
    return _scaled(count, ("B", "KB", "MB", "GB", "TB"))


def count_text(count: float) -> str:
    """`1.2 M`; `512` as it is."""
    return _scaled(count, ("", "K", "M", "G", "T")).rstrip()


def _scaled(count: float, units: Sequence[str]) -> str:
    # By the number of digits, as a logarithm is inexact at powers of ten.
    power = min(len(str(int(count))) - 1, 3 * len(units) - 1) // 3
    return f"{count / 1000**power:.3g} {units[power]}"


def duration(seconds: float) -> str:
    """`35 s`, `4 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
