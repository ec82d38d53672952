"""What all figures share: style, colours of both schemes, and how they become SVG, PDF or PNG."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from markupsafe import Markup, escape
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from nsbench.reporting.layout import shared_prefix
from nsbench.reporting.results import Entry
from nsbench.reporting.tables import Table
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint
from nsbench.util.text import printable

INK, SOFT, LINE = "#1b1f27", "#4d5563", "#d5d9e0"
"""Of text, of axes and of grids, on white."""

SERIES = ("#6b7280", "#0067a8", "#c2410c", "#007a5a", "#8e3b8a", "#8a6d00", "#30343c")
"""Of models, the first one grey. Each has a contrast of 3:1 or more with white; markers tell them
apart where colours do not."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")

DASHES = ("-", "--", ":")
"""Of lines, for the models after as many as there are colours."""

MOST = 8
"""Models that a figure shows: of more, lines could not be told apart."""

VARIABLES = {
    INK: "ink",
    SOFT: "soft",
    LINE: "line",
    **{color: f"s{number}" for number, color in enumerate(SERIES)},
}
"""What stands for the colours in a page, whose style sheet has them for both schemes."""

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: smaller, searchable, read by screen readers
    "pdf.fonttype": 42,  # fonts that journals accept
    "font.family": "sans-serif",
    "font.size": 11,
    "text.parse_math": False,  # names with $ are names, not formulas
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT,
    "axes.titlesize": 11,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": LINE,
    "axes.axisbelow": True,  # the grid behind the bars
    "legend.frameon": False,
    "axes.prop_cycle": cycler(color=SERIES),
}

TIP = "tip:"

PADDING = 0.1
"""Inches around a figure, as matplotlib's own."""


@dataclass(frozen=True)
class Drawn:
    """A figure as a report shows it.

    key: its place on the page, and the stem of its files. title: what to see, made from the
    numbers. caption: how to read it. table: the numbers behind it. note: which part of a suite's
    images it is of, empty for all.
    """

    key: str
    title: str
    caption: str
    figure: Figure
    table: Table
    note: str = ""

    @property
    def broad(self) -> bool:
        """Whether no other figure has room beside it."""
        return bool(self.figure.get_figwidth() > 6)

    @property
    def svg(self) -> Markup:
        """The figure as an SVG element whose colours follow the page's scheme."""
        return svg(self.figure, self.key, self.title)


def svg(figure: Figure, name: str, label: str) -> Markup:
    """The figure as an SVG element whose ids no other figure of the page has.

    label: what screen readers say of it.
    """
    buffer = io.StringIO()
    # A fixed salt and no date: the same report has the same bytes.
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(
            buffer,
            format="svg",
            bbox_inches=_outline(figure),
            transparent=True,
            metadata={"Date": None},
        )
    # Of names of models: XML has no place for control characters.
    text = printable(buffer.getvalue(), keep="\n\t")
    text = text[text.index("<svg") :]  # without the XML head, which HTML has no place for
    text = re.sub(rf'<g id="{TIP}([^"]*)">', r'<g class="tip"><title>\1</title>', text)
    prefix = re.sub(r"[^\w-]+", "-", name)  # names of folders can hold anything
    if prefix != name:  # which `a.b` and `a/b` would share
        prefix += f"-{fingerprint(name)[:8]}"
    # Ids are of the whole page: two figures with the same id would show one clip path twice.
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    for color, variable in VARIABLES.items():
        text = text.replace(color, f"var(--{variable})")
    head = f'<svg role="img" aria-label="{escape(printable(label))}"'
    return Markup(text.replace("<svg", head, 1))


def _outline(figure: Figure) -> Bbox:
    """What `bbox_inches="tight"` finds, without drawing the figure once more for it."""
    return figure.get_tightbbox().padded(PADDING)


def picture(figure: Figure, path: Path, note: str = "") -> bytes:
    """The figure as the content of a file of this name, such as .png, .pdf or .svg.

    note: a line to stand below it, as a file has no caption.
    Raises NsbenchError for an ending that is not a picture's.
    """
    buffer, kind = io.BytesIO(), path.suffix.lower().removeprefix(".") or "none"
    # Without a date, so that the same numbers give the same file.
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
    below = figure.text(0, -0.02, printable(note), va="top", fontsize=8.5) if note else None
    try:
        with mpl.rc_context({**STYLE, "svg.hashsalt": path.stem}):
            figure.savefig(
                buffer,
                format=kind,
                bbox_inches="tight",
                dpi=150,
                facecolor="white",
                metadata=undated,
            )
    except ValueError as error:
        raise NsbenchError(f"{path} is not the name of a picture: end it with .png") from error
    finally:
        if below:  # the same figure may be drawn in a page, which has a caption
            below.remove()
    return buffer.getvalue()


def tip(artist: Artist, text: str) -> None:
    """Have the text shown where a pointer rests on a mark."""
    artist.set_gid(TIP + printable(text))


def empty_axes(
    width: float = 7.2, height: float = 3.6, panels: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of this many inches, with panels side by side."""
    # Without pyplot, whose backend is the program's own.
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(width, height),
        )
        return figure, list(figure.subplots(1, panels, squeeze=False, **options)[0])


def legend_above(axes: Axes, columns: int = 4, gap: float = 0.0) -> None:
    """A legend that cannot cover the data. gap: room for a title, as a share of the height."""
    axes.legend(
        ncols=columns,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0 + gap),
        frameon=False,
        labelcolor=INK,
    )


@dataclass(frozen=True)
class Line:
    """A model in a figure: its scores, what it is called there, and how it is drawn."""

    entry: Entry
    name: str
    color: str
    marker: str
    dashes: str

    def table(self, suite: str, name: str) -> dict[str, list[float]]:
        """One of the tables of its scores on a suite."""
        return self.entry.scores[suite].tables[name]

    def draw(
        self,
        axes: Axes,
        xs: Sequence[float],
        rows: Sequence[Sequence[float]],
        at: Sequence[str],
        unit: str = "%",
    ) -> None:
        """A line through values, with a band where rows have an interval too, and tips at points.

        at: what each x is, for the tips.
        """
        values = [row[0] for row in rows]
        axes.plot(xs, values, self.dashes, color=self.color, label=self.name)
        # All bins of confidence may have too few images to be drawn.
        if rows and len(rows[0]) == 3:
            low, high = ([row[side] for row in rows] for side in (1, 2))
            axes.fill_between(xs, low, high, color=self.color, alpha=0.15, linewidth=0)
        for x, row, place in zip(xs, rows, at, strict=True):
            (point,) = axes.plot([x], row[:1], self.marker, color=self.color, markersize=5)
            tip(point, f"{self.name}, {place}: {row_text(row)} {unit}".rstrip())


def side_by_side(
    axes: Axes, lines: Sequence[Line], rows: Sequence[Mapping[str, Sequence[float]]]
) -> None:
    """For each name the models' values beside each other, with intervals and tips.

    rows: of each line, by name a value and the ends of its interval.
    """
    width = 0.7 / len(lines)
    for number, (line, own) in enumerate(zip(lines, rows, strict=True)):
        # Beside each other, so that no interval covers another.
        places = np.arange(len(own)) + (number - (len(lines) - 1) / 2) * width
        for place, (name, row) in zip(places, own.items(), strict=True):
            axes.plot([place] * 2, row[1:], color=line.color, linewidth=2)
            label = line.name if name == next(iter(own)) else None
            (point,) = axes.plot(place, row[0], line.marker, color=line.color, label=label)
            tip(point, f"{line.name}, {plain(name)}: {row_text(row)} %")
    axes.set_ylim(0, None)
    axes.grid(axis="x", visible=False)
    legend_above(axes)


def plain(name: str) -> str:
    """A corruption or perturbation as a sentence has it."""
    return name.replace("_", " ")


def lines_of(entries: Sequence[Entry], suite: str, table: str) -> list[Line]:
    """The models that a figure shows: those with a table on a suite; of many the first and last."""
    found = [e for e in entries if suite in e.scores and table in e.scores[suite].tables]
    prefix = shared_prefix([entry.name for entry in found])
    every = [
        Line(entry, printable(entry.name.removeprefix(prefix)), *style)
        for entry, style in zip(found, _styles(), strict=False)
    ]
    return every if len(every) <= MOST else [*every[: MOST - 1], every[-1]]


def _styles() -> Iterator[tuple[str, str, str]]:
    """Colour, marker and dashes of one model after the other."""
    for dashes in cycle(DASHES):
        for color, marker in zip(SERIES, MARKERS, strict=True):
            yield color, marker, dashes


def row_text(row: Sequence[float]) -> str:
    """`12.3`, or `12.3 [11.2, 13.5]` of a row with an interval."""
    interval = f" [{row[1]:z.1f}, {row[2]:z.1f}]" if len(row) == 3 else ""
    return f"{row[0]:z.1f}{interval}"


def numbers_table(
    title: str, corner: str, lines: Sequence[Line], rows: Sequence[tuple[str, Sequence[str]]]
) -> Table:
    """A row for each place of a figure, a column for each model."""
    columns = [corner, *(line.name for line in lines)]
    return Table(title, columns, [[name, *cells] for name, cells in rows])
