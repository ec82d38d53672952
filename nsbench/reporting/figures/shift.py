"""The figure of accuracy under shift against clean accuracy: effective robustness."""

from collections.abc import Sequence
from typing import NamedTuple

from nsbench.reporting.figures.drawn import (
    LINE,
    Drawn,
    Line,
    empty_axes,
    legend_above,
    lines_of,
    tip,
)
from nsbench.reporting.results import Entry, headline, suite_names
from nsbench.reporting.tables import Table
from nsbench.suites.base import SuiteScores


class Point(NamedTuple):
    """A model's accuracy on clean and on shifted images of a suite, in percent."""

    clean: float
    shifted: float


def shift_figures(entries: Sequence[Entry]) -> list[Drawn]:
    """A figure for each suite with clean images beside its own, of models that have both."""
    figures = []
    for suite in suite_names(entries):
        points = [
            (line, point)
            for line in lines_of(entries, suite, _any_table(entries, suite))
            if (point := shift_point(line.entry.scores[suite]))
        ]
        if len(points) > 1:
            figures.append(_drawn(points, suite))
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


def _drawn(points: Sequence[tuple[Line, Point]], suite: str) -> Drawn:
    figure, (axes,) = empty_axes(5.4, 4.0)
    for line, point in points:
        (mark,) = axes.plot(*point, line.marker, color=line.color, label=line.name, markersize=8)
        tip(mark, f"{line.name}: {point.shifted:.1f} % under shift, {point.clean:.1f} % clean")
    low = min(min(point) for _, point in points)
    # Where both accuracies are equal, and nothing is lost.
    axes.plot([low, 100], [low, 100], color=LINE, linewidth=2)
    axes.set(xlabel="clean accuracy (%)", ylabel=f"accuracy on {suite} (%)")
    legend_above(axes, 2)
    lost = {line.name: point.clean - point.shifted for line, point in points}
    least, most = min(lost, key=lost.__getitem__), max(lost, key=lost.__getitem__)
    rows = [
        [line.name, f"{p.clean:.1f}", f"{p.shifted:.1f}", f"{p.shifted - p.clean:+z.1f}"]
        for line, p in points
    ]
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
