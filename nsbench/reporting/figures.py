"""Figures as inline SVG."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsbench.reporting.results import Entry
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint

STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: smaller, searchable, read by screen readers
    "font.family": "sans-serif",
    "font.size": 11,
    "text.parse_math": False,  # names with $ are names, not formulas
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "axes.axisbelow": True,  # the grid behind the bars
    "legend.frameon": False,
    # Grey for the first model, which is the one others are compared with.
    "axes.prop_cycle": cycler(
        color=["#9ca3af", "#56a3d9", "#1d4ed8", "#d97706", "#059669", "#be185d", "#111827"]
    ),
}


def svg(figure: Figure, name: str) -> Markup:
    """The figure as an SVG element whose ids no other figure of the page has."""
    buffer = io.StringIO()
    # A fixed salt and no date: the same report has the same bytes.
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]  # without the XML head, which HTML has no place for
    prefix = re.sub(r"[^\w-]+", "-", name)  # names of folders can hold anything
    if prefix != name:  # which `a.b` and `a/b` would share
        prefix += f"-{fingerprint(name)[:8]}"
    # Ids are of the whole page: two figures with the same id would show one clip path twice.
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", text)
    label = f'<svg role="img" aria-label="{Markup.escape(name.replace("-", " "))}"'
    return Markup(text.replace("<svg", label, 1))


def picture(figure: Figure, path: Path) -> bytes:
    """The figure as the content of a file of this name, such as .png, .pdf or .svg.

    Raises NsbenchError for an ending that is not a picture's.
    """
    buffer = io.BytesIO()
    try:
        with mpl.rc_context(STYLE):
            kind = path.suffix.lower().removeprefix(".") or "none"
            figure.savefig(buffer, format=kind, bbox_inches="tight", dpi=150)
    except ValueError as error:
        raise NsbenchError(f"{path} is not the name of a picture: end it with .png") from error
    return buffer.getvalue()


def empty_axes(width: float = 7.2, height: float = 3.6) -> tuple[Figure, Axes]:
    """A figure of this many inches, with one pair of axes."""
    # Without pyplot, whose backend is the program's own.
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        return figure, figure.subplots()


def legend_above(axes: Axes) -> None:
    """A legend that cannot cover the data."""
    axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)


def _tables(entries: Sequence[Entry], suite: str, table: str) -> dict[str, dict[str, list[float]]]:
    return {
        entry.name: entry.scores[suite].tables[table]
        for entry in entries
        if suite in entry.scores and table in entry.scores[suite].tables
    }


def error_by_severity(entries: Sequence[Entry], suite: str, severities: Sequence[int]) -> Markup:
    """Mean error over the corruptions at each severity, a line a model."""
    figure, axes = empty_axes()
    for name, table in _tables(entries, suite, "error").items():
        axes.plot(severities, np.mean(list(table.values()), axis=0), marker="o", label=name)
    axes.set(xlabel="severity", ylabel="error (%)", ylim=(0, None), xticks=list(severities))
    legend_above(axes)
    return svg(figure, f"{suite}-severity")


def bars(
    entries: Sequence[Entry], suite: str, table: str, ylabel: str, reference: bool = False
) -> Markup:
    """A group of bars a row of the table (mean over its numbers), a bar a model."""
    tables = _tables(entries, suite, table)
    rows = list(next(iter(tables.values())))
    figure, axes = empty_axes(9.6, 3.9)
    width = 0.82 / len(tables)  # the rest is the gap between groups
    for index, (name, values) in enumerate(tables.items()):
        offset = (index - (len(tables) - 1) / 2) * width
        heights = [float(np.mean(values[row])) for row in rows]
        axes.bar(np.arange(len(rows)) + offset, heights, width, label=name)
    if reference:
        # The reference model is at 100 by definition.
        axes.axhline(100, color="#6b7280", linewidth=1, linestyle="--")
    labels = [row.replace("_", " ") for row in rows]
    axes.set_xticks(np.arange(len(rows)), labels, rotation=40, ha="right")
    axes.set_ylabel(ylabel)
    axes.grid(axis="x", visible=False)
    legend_above(axes)
    return svg(figure, f"{suite}-{table}")


def attack_curve(entries: Sequence[Entry], suite: str) -> Markup:
    """Accuracy by epsilon with 95% bands."""
    figure, axes = empty_axes()
    texts: list[str] = []
    epsilons: list[float] = []
    for name, table in _tables(entries, suite, "accuracy").items():
        texts, epsilons = list(table), [float(epsilon) for epsilon in table]
        value, low, high = np.array(list(table.values())).T
        axes.plot(epsilons, value, marker="o", label=name)
        axes.fill_between(epsilons, low, high, alpha=0.15, linewidth=0)
    # Epsilons double from one to the next, and 0 is among them: linear up to 1, then logarithmic.
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xticks(epsilons, texts)
    axes.minorticks_off()
    # Up to 101, so that a line at 100% is not cut in half.
    axes.set(xlabel="ε, in units of 1/255", ylabel="accuracy (%)", ylim=(0, 101))
    legend_above(axes)
    return svg(figure, f"{suite}-curve")


def training_curves(logs: dict[str, list[dict[str, float]]]) -> Markup:
    """Loss on labeled and on pseudo-labeled images by step, a panel a generation."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.4 * len(logs), 2.9))
        panels = figure.subplots(1, len(logs), sharey=True, squeeze=False)
    for axes, (name, rows) in zip(panels[0], logs.items(), strict=True):
        # The log has lines without losses too, such as those of validation.
        rows = [row for row in rows if "loss" in row]
        steps = [row["step"] for row in rows]
        for key, color in (("labeled_loss", "#1d4ed8"), ("unlabeled_loss", "#d97706")):
            values = [row[key] for row in rows]
            # A teacher has no pseudo-labeled images.
            if values and values[0] is not None:
                axes.plot(steps, values, label=key.replace("_", " "), color=color)
        axes.set(title=name, xlabel="step")
        axes.legend()
    panels[0][0].set(ylabel="cross-entropy", ylim=(0, None))
    return svg(figure, "training-curves")
