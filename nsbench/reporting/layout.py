"""How a table fits a terminal: which columns, how wide, and where their text may be broken."""

import re
import shutil
from collections.abc import Sequence

from rich.cells import cell_len

from nsbench.util.text import printable

GAP = 2
"""Blanks between two columns."""

PIECES = re.compile(r"\[[^\[\]]*\][^\s]*|\([^()\n]{,16}\)\S*|\S+")
"""The parts of a text that stay whole: words, numbers, intervals such as `[1.0, 2.0]`, and short
parentheses such as `(6 of 15)`; longer ones are broken as text is."""


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text at a width, broken only between its pieces."""
    lines: list[str] = []
    for line in text.split("\n"):
        current = ""
        for piece in PIECES.findall(line):
            longer = f"{current} {piece}" if current else piece
            if current and cell_len(longer) > width:
                lines.append(current)
                longer = piece
            current = longer
        lines.append(current)
    return lines


def print_sentence(text: str) -> None:
    """Print a sentence on standard output at once, in lines of the terminal's width."""
    lines = wrapped(text, shutil.get_terminal_size().columns)
    print(printable("\n".join(lines), keep="\n"), flush=True)


def natural(cells: Sequence[str]) -> int:
    """The width at which no cell of a column is broken."""
    return max((cell_len(line) for cell in cells for line in cell.split("\n")), default=0)


def least(cells: Sequence[str]) -> int:
    """The width below which a piece of a cell would be broken."""
    return max((cell_len(piece) for cell in cells for piece in PIECES.findall(cell)), default=0)


def columns_that_fit(
    columns: Sequence[Sequence[str]],
    width: int,
    first_to_go: Sequence[int],
    whole: bool,
    last_to_go: Sequence[int] = (),
) -> tuple[list[int], list[int]]:
    """The numbers of the columns that fit a width, and how wide each of them is.

    columns: the cells of each, its head first. first_to_go: which are left out first where all are
    too wide; after them the others go from the right, at last last_to_go, but never the first one.
    whole: whether no
    cell may be broken at all.
    """
    named = {*first_to_go, *last_to_go}
    others = [n for n in reversed(range(1, len(columns))) if n not in named]
    order = [*first_to_go, *others, *reversed(last_to_go)]
    kept = list(range(len(columns)))
    needed = {n: (natural if whole else least)(columns[n]) for n in kept}
    wanted = {n: natural(columns[n]) for n in kept}
    while _total(needed, kept) > width and order:
        kept.remove(order.pop(0))
    widths = {n: wanted[n] for n in kept}
    while _total(widths, kept) > width:
        # From the widest one first, so that the narrow columns stay as they are.
        shrinkable = [n for n in kept if widths[n] > needed[n]]
        if not shrinkable:
            break
        widths[max(shrinkable, key=lambda n: widths[n])] -= 1
    return kept, [widths[n] for n in kept]


def _total(widths: dict[int, int], kept: Sequence[int]) -> int:
    return sum(widths[n] for n in kept) + GAP * (len(kept) - 1)


def shared_prefix(names: Sequence[str]) -> str:
    """What all of several names begin with, up to a slash; empty where that is nothing."""
    if len(names) < 2:
        return ""
    first, last = min(names), max(names)
    pairs = enumerate(zip(first, last, strict=False))
    same = next((place for place, (a, b) in pairs if a != b), len(first))
    cut = first[:same].rfind("/") + 1
    return first[:cut] if all(len(name) > cut for name in names) else ""
