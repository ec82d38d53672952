"""Progress with rate and time left: a bar on a terminal, plain lines elsewhere."""

import shutil
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from nsbench.util.launched import is_first
from nsbench.util.text import printable

LINE_SECONDS = 10.0
"""Between two lines in a log: frequent enough to see life, rare enough to read."""


BESIDE = 10 + 10 + 5
"""Of a line with a bar: the bar, a note such as `loss 1.234`, and the blanks between columns."""


class Advance(Protocol):
    """Tells a stage that `count` more units are done, optionally with a note such as the loss."""

    def __call__(self, count: int = 1, note: str = "") -> None:
        """Count units as done; a negative count takes back those that have to be done again."""


class _RateColumn(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        """The rate as text."""
        return Text(f"{_rate(task.speed or 0)} {task.fields['unit']}/s")


def _rate(speed: float) -> str:
    return f"{speed:,.1f}" if speed < 10 else f"{speed:,.0f}"


@contextmanager
def stage(name: str, total: int | None, unit: str = "images", done: int = 0) -> Iterator[Advance]:
    """Show the progress of one stage of `total` units on standard error, `done` of them earlier.

    total: None where it is not known.
    """
    console = Console(stderr=True, emoji=False)
    # a bar redraws itself, which fills a log file with control characters
    drawn = console.is_terminal or console.is_jupyter
    bar = _bar if drawn and is_first() else _lines
    with bar(console, name, total, unit, done) as advance:
        yield advance


@contextmanager
def _bar(console: Console, name: str, total: int | None, unit: str, done: int) -> Iterator[Advance]:
    # Where it is narrow, the name gives way, and never the count, the rate or the time left, which
    # rich would else break in two lines.
    widths = [2 * len(str(total or 0)) + 1, len(f"99,999 {unit}/s"), len("0:00:00")]
    whole = [Column(no_wrap=True, min_width=width) for width in widths]
    name = _cut(name, max(16, console.width - sum(widths) - BESIDE))
    name_column = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    columns = (
        TextColumn("{task.description}", table_column=name_column),
        BarColumn(bar_width=10, table_column=Column(min_width=10)),
        MofNCompleteColumn(table_column=whole[0]),
        _RateColumn(table_column=whole[1]),
        TimeRemainingColumn(table_column=whole[2]),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, total=total, completed=done, unit=unit, note="")

        def advance(count: int = 1, note: str = "") -> None:
            progress.advance(task, count)
            if note:
                progress.update(task, note=note)

        yield advance


def _cut(name: str, width: int) -> str:
    """A name of at most so many letters: the beginning says what is done, the end to what."""
    if len(name) <= width:
        return name
    head = width // 3
    return f"{name[:head]}…{name[head + 1 - width :]}"


@contextmanager
def _lines(
    console: Console, name: str, total: int | None, unit: str, done: int
) -> Iterator[Advance]:
    start = last = time.monotonic()
    before, latest = done, ""

    def advance(count: int = 1, note: str = "") -> None:
        nonlocal done, last, latest
        done, latest = done + count, note or latest
        now = time.monotonic()
        # the last line is the summary below, so none is printed at the end; without a unit done
        # there is no rate
        if now - last >= LINE_SECONDS and done > before and (total is None or done < total):
            last = now
            rate = (done - before) / (now - start)
            of = "" if total is None else f" of {total:,}"
            left = "" if total is None else f", {(total - done) / rate:.0f} s left"
            say(f"{name}: {done:,}{of} {unit}, {_rate(rate)}/s{left} {latest}")

    yield advance
    # a stage without work must not divide by zero
    seconds = max(time.monotonic() - start, 1e-9)
    count = done - before
    say(f"{name}: {count:,} {unit} in {seconds:.1f} s, {_rate(count / seconds)}/s")


def counted(count: int, what: str) -> str:
    """`1 image`, `2 images`."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def say(text: str, command: str = "") -> None:
    """A line of news on standard error, said by one process for all.

    command: to copy, at the end. On a terminal the text is broken between words, and the command
    stands whole on a line of its own; a log keeps each line as it is, to be searched.
    """
    if not is_first():
        return
    # Names of files and models may hold what steers a terminal.
    text = printable(text, keep="\n\t")
    lines = [f"{text.rstrip()} {command}".rstrip()]
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
        lines += [command] if command else []
    print("\n".join(lines), file=sys.stderr, flush=True)
