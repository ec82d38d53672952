"""Figures of accuracy under shift against clean accuracy: effective robustness."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from nsbench.metrics.robustness import Floats
from nsbench.published.effective import LINES, effective_robustness, expected, standard_points
from nsbench.reporting.figures.drawn import (
    LINE,
    SOFT,
    Drawn,
    Line,
    empty_axes,
    legend_above,
    lines_of,
    tip,
)
from nsbench.reporting.results import Entry, headline, suite_names
from nsbench.reporting.subsets import subset_notes
from nsbench.reporting.tables import Table
from nsbench.suites.base import SuiteScores

TICKS = (1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99)
"""Percent that logit axes are marked at."""

ENDS = 0.5, 99.5
"""Percent within which logit axes end: at 0 and 100 they never would."""


class Point(NamedTuple):
    """A model's accuracy on clean and on shifted images of a suite, in percent."""

    clean: float
    shifted: float


Points = Sequence[tuple[Line, Point]]


def shift_figures(entries: Sequence[Entry]) -> list[Drawn]:
    """A figure for each suite with clean images beside its own, of models that have both.

    Of a suite that published models have a line on, with that line, and for a single model too.
    """
    standard = {entry.name: standard_points(entry.scores.values()) for entry in entries}
    figures = []
    for suite in suite_names(entries):
        lines = lines_of(entries, suite, _any_table(entries, suite))
        of_line = [
            (line, Point(*own[suite]))
            for line in lines
            if suite in (own := standard[line.entry.name])
        ]
        points = [(ln, p) for ln in lines if (p := shift_point(ln.entry.scores[suite]))]
        images = " ".join(subset_notes(line.entry.scores[suite] for line in lines))
        if of_line:
            figures.append(replace(_with_line(of_line, suite), note=images))
        elif len(points) > 1:
            figures.append(replace(_drawn(points, suite), note=images))
    return figures


def _any_table(entries: Sequence[Entry], suite: str) -> str:
    scores = next(entry.scores[suite] for entry in entries if suite in entry.scores)
    return next(iter(scores.tables), "")


def shift_point(scores: SuiteScores) -> Point | None:
    """A model's accuracies on a suite; None where the suite has no clean images, or no shift."""
    if "clean_top1" in scores.metrics and "top1" in scores.metrics:
        return Point(scores.metrics["clean_top1"].value, scores.metrics["top1"].value)
    if "clean_top1" in scores.metrics and "error" in scores.metrics:
        return Point(scores.metrics["clean_top1"].value, 100 - scores.metrics["error"].value)
    curve = scores.tables.get("accuracy", {})
    if "0" in curve:
        return Point(curve["0"][0], headline(scores).value)
    return None


def _drawn(points: Points, suite: str) -> Drawn:
    figure, axes = _scatter(points, suite, "clean accuracy")
    low = min(min(point) for _, point in points)
    # Where both accuracies are equal, and nothing is lost.
    axes.plot([low, 100], [low, 100], color=LINE, linewidth=2)
    lost = {line.name: point.clean - point.shifted for line, point in points}
    least, most = min(lost, key=lost.__getitem__), max(lost, key=lost.__getitem__)
    rows = [[line.name, *_cells(p), f"{p.shifted - p.clean:+z.1f}"] for line, p in points]
    columns = ["model", "clean", "under shift", "difference"]
    return Drawn(
        f"{suite}-shift",
        f"{least} loses {lost[least]:.1f} points between clean images and {suite}, {most} "
        f"{lost[most]:.1f}",
        "Accuracy under shift by clean accuracy. On the line nothing is lost; a model above "
        "others of equal clean accuracy is more robust than its clean accuracy predicts.",
        figure,
        Table("accuracy (%), clean and under shift", columns, rows),
    )


def _scatter(points: Points, suite: str, clean: str) -> tuple[Figure, Axes]:
    """The models as points. clean: what the horizontal axis is."""
    figure, (axes,) = empty_axes(5.4, 4.0)
    for line, point in points:
        (mark,) = axes.plot(*point, line.marker, color=line.color, label=line.name, markersize=8)
        tip(mark, f"{line.name}: {point.shifted:.1f} % under shift, {point.clean:.1f} % clean")
    axes.set(xlabel=f"{clean} (%)", ylabel=f"accuracy on\n{suite} (%)")
    legend_above(axes, 2)
    return figure, axes


def _cells(point: Point) -> tuple[str, str]:
    return f"{point.clean:.1f}", f"{point.shifted:.1f}"


def _with_line(points: Points, suite: str) -> Drawn:
    """The models beside the line of standard models, on the logit axes where it is straight."""
    figure, axes = _scatter(points, suite, LINES[suite][0].clean)
    axes.set_xscale("function", functions=_LOGIT)
    axes.set_yscale("function", functions=_LOGIT)
    clean = [point.clean for _, point in points]
    span = max(ENDS[0], min(clean) - 5), min(ENDS[1], max(clean) + 5)
    heights = [point.shifted for _, point in points]
    for line in LINES[suite]:
        left, right = max(line.above, span[0]), min(line.below, span[1])
        if left < right:
            xs = np.linspace(left, right, 50)
            ys = [expected(line, x) for x in xs]
            axes.plot(xs, ys, color=SOFT, linewidth=1.5, zorder=1)
            heights += ys
    axes.set(xlim=span, ylim=(max(ENDS[0], min(heights) * 0.9), min(ENDS[1], max(heights) + 3)))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(TICKS))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    above = {line.name: effective_robustness(suite, *point) for line, point in points}
    rows = [
        [line.name, *_cells(p), "no line" if (z := above[line.name]) is None else f"{z:+z.1f}"]
        for line, p in points
    ]
    return Drawn(
        f"{suite}-shift",
        _where(above, suite),
        f"Accuracy on {suite} by {LINES[suite][0].clean}, on logit axes. The line is fitted to 85 "
        "standard models of imagenet-testbed of 55% clean accuracy or more; the distance above it "
        "is effective robustness (Taori et al. 2020).",
        figure,
        Table(
            "accuracy (%), and points above the line of standard models",
            ["model", "clean", "under shift", "above the line"],
            rows,
        ),
    )


def _where(above: dict[str, float | None], suite: str) -> str:
    """What to see: which model lies highest above the line, or that there is none for them."""
    known = {name: points for name, points in above.items() if points is not None}
    if not known:
        return f"No model is accurate enough for the line of standard models on {suite}"
    best = max(known, key=known.__getitem__)
    side = "above" if known[best] > 0 else "below"
    others = " and every other model lower" if len(known) > 1 else ""
    return (
        f"On {suite} {best} lies {abs(known[best]):.1f} points {side} the line of standard "
        f"models{others}"
    )


def _logit(percent: Floats) -> Floats:
    inside = np.clip(percent, *ENDS) / 100
    made: Floats = np.log(inside / (1 - inside))
    return made


def _percent(logit: Floats) -> Floats:
    made: Floats = 100 / (1 + np.exp(-logit))
    return made


_LOGIT = _logit, _percent
