"""Figures of corruption suites: error by severity, by family, and by corruption and severity."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_hex
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from nsbench.reporting.figures.drawn import (
    SERIES,
    Drawn,
    Line,
    empty_axes,
    legend_above,
    lines_of,
    numbers_table,
    plain,
    row_text,
    side_by_side,
    tip,
)
from nsbench.reporting.results import Entry
from nsbench.reporting.tables import Table

DIFFERENCE = LinearSegmentedColormap.from_list("difference", [SERIES[1], "#ffffff", SERIES[2]])
"""Blue for less and orange for more, which any colour sight tells apart, through white."""

PANELS = 3
"""Heat maps of models side by side; of more models the first two and the last."""


def corruption_figures(entries: Sequence[Entry], suite: str) -> list[Drawn]:
    """Error by severity with bands, by family with intervals, and heat maps."""
    lines = lines_of(entries, suite, "error")
    return [
        _by_severity(lines, suite),
        *([_by_family(lines, suite)] if lines[0].table(suite, "family") else []),
        _heat(lines, suite),
    ]


def _by_severity(lines: Sequence[Line], suite: str) -> Drawn:
    figure, (axes,) = empty_axes(5.6, 3.6)
    severities = list(lines[0].table(suite, "severity"))
    for line in lines:
        rows = list(line.table(suite, "severity").values())
        line.draw(axes, list(map(int, severities)), rows, [f"severity {s}" for s in severities])
    axes.set(xlabel="severity", ylabel="error (%)", ylim=(0, None))
    axes.set_xticks(list(map(int, severities)))
    legend_above(axes)
    cells = [
        (f"severity {s}", [row_text(line.table(suite, "severity")[s]) for line in lines])
        for s in severities
    ]
    hardest = {line.name: line.table(suite, "severity")[severities[-1]][0] for line in lines}
    return Drawn(
        f"{suite}-severity",
        f"At severity {severities[-1]}, {_least_and_most(hardest)}",
        "Error by severity, mean over the corruptions, with 95% bands over images.",
        figure,
        numbers_table("error (%) by severity", "severity", lines, cells),
    )


def _least_and_most(errors: dict[str, float]) -> str:
    best, worst = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
    if best == worst:
        return f"{best} errs on {errors[best]:.1f}% of images"
    return (
        f"{best} errs least, on {errors[best]:.1f}% of images, and {worst} most, on "
        f"{errors[worst]:.1f}%"
    )


def _by_family(lines: Sequence[Line], suite: str) -> Drawn:
    figure, (axes,) = empty_axes(5.6, 3.6)
    families = list(lines[0].table(suite, "family"))
    side_by_side(axes, lines, [line.table(suite, "family") for line in lines])
    axes.set_xticks(range(len(families)), families)
    axes.set_ylabel("error (%)")
    rows = [(f, [row_text(line.table(suite, "family")[f]) for line in lines]) for f in families]
    last = lines[-1]
    means = {f: row[0] for f, row in last.table(suite, "family").items()}
    hardest = max(means, key=means.__getitem__)
    return Drawn(
        f"{suite}-family",
        f"{last.name} errs most under {hardest}, on {means[hardest]:.1f}% of images"
        if len(means) > 1
        else f"{last.name} errs on {means[hardest]:.1f}% of images under {hardest}",
        "Error by family of corruptions, mean over its corruptions and severities, with 95% "
        "intervals over images.",
        figure,
        numbers_table("error (%) by family", "family", lines, rows),
    )


def _heat(lines: Sequence[Line], suite: str) -> Drawn:
    shown = [*lines] if len(lines) <= PANELS else [*lines[: PANELS - 1], lines[-1]]
    tables = [np.array(list(line.table(suite, "error").values())) for line in shown]
    suite_of = shown[0].entry.scores[suite].suite
    rows = list(shown[0].table(suite, "error"))
    columns = [f"{s}" for s in suite_of.model_dump()["severities"]]
    panels = len(shown) + (len(shown) > 1)
    figure, axes = empty_axes(1.6 + 2.2 * panels, 1.1 + 0.3 * len(rows), panels, sharey=True)
    for line, own, table in zip(shown, axes, tables, strict=False):
        heat_panel(own, table, rows, columns, line.name)
    title = f"{shown[0].name} errs most on {_named(tables[0], rows)}"
    caption = "Error (%) by corruption and severity."
    if len(shown) > 1:
        first, last = shown[0], shown[-1]
        difference = tables[-1] - tables[0]
        heat_panel(axes[-1], difference, rows, columns, f"{last.name}\nminus {first.name}", True)
        title = what_changed(difference.mean(1), rows, last.name, first.name)
        caption += (
            f" The last map is the difference of {last.name} and {first.name} in points: blue is "
            "less error, orange more."
        )
    # Of few models all, each beside the others on one scale.
    return Drawn(f"{suite}-heat", title, caption, figure, _heat_table(shown, tables, rows, columns))


def _named(table: NDArray[np.float64], rows: Sequence[str]) -> str:
    means = table.mean(1)
    return f"{plain(rows[int(means.argmax())])}, {means.max():.1f}%"


def what_changed(means: NDArray[np.float64], rows: Sequence[str], last: str, first: str) -> str:
    """On which corruptions a model gains most and least, as a title.

    means: the change of the mean error of each row in points. last, first: names of the model and
    of the one that it is held against.
    """
    best, worst = int(means.argmin()), int(means.argmax())
    most = f"{plain(rows[best])} ({means[best]:+.1f}"
    if means[worst] <= 0:
        least = f", and least on {plain(rows[worst])} ({means[worst]:+.1f})"
        least = "" if best == worst else least
        return f"{last} gains on {first} most on {most} points of error){least}"
    gains = f", and gains most on {most})" if means[best] < 0 else ""
    return (
        f"{last} loses most against {first} on {plain(rows[worst])} ({means[worst]:+.1f} points "
        f"of error){gains}"
    )


def heat_panel(
    axes: Axes,
    table: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    signed: bool = False,
) -> None:
    """A heat map of errors from 0 to 100, or of differences on a scale of their own."""
    most = max(1.0, float(np.abs(table).max()))
    scale = Normalize(-most, most) if signed else Normalize(0, 100)
    colors = DIFFERENCE if signed else mpl.colormaps["Blues"]
    for (row, column), value in np.ndenumerate(table):
        shade = colors(0.1 + 0.8 * float(scale(value)) if signed else float(scale(value)) * 0.9)
        cell = Rectangle((column, row), 1, 1, facecolor=to_hex(shade), edgecolor="none")
        axes.add_patch(cell)
        text = f"{value:+.1f} points" if signed else f"{value:.1f} %"
        tip(cell, f"{plain(rows[row])}, severity {columns[column]}: {text}")
        luminance = np.dot(np.array(shade[:3]) ** 2.2, [0.2126, 0.7152, 0.0722])
        number = axes.text(
            column + 0.5,
            row + 0.5,
            f"{value:+z.0f}" if signed else f"{value:z.0f}",
            ha="center",
            va="center",
            fontsize=8.5,
            # Whichever of the two has the greater contrast (WCAG 2).
            color="#000001" if luminance > 0.18 else "#ffffff",
        )
        number.set_in_layout(False)  # it lies inside its cell, and measuring it takes time
    axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0), xlabel="severity")
    axes.set_title(title)
    axes.set_xticks(np.arange(len(columns)) + 0.5, columns)
    axes.set_yticks(np.arange(len(rows)) + 0.5, [plain(name) for name in rows])
    axes.tick_params(length=0)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _heat_table(
    lines: Sequence[Line],
    tables: Sequence[NDArray[np.float64]],
    rows: Sequence[str],
    columns: Sequence[str],
) -> Table:
    heads = ["corruption", *(f"{line.name}, {s}" for line in lines for s in columns)]
    cells = [
        [name, *(f"{value:z.1f}" for table in tables for value in table[number])]
        for number, name in enumerate(rows)
    ]
    return Table("error (%) by corruption and severity", heads, cells)
