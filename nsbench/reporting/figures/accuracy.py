"""Figures of accuracy suites: reliability, risk and coverage, and accuracy by class."""

from collections.abc import Sequence

from nsbench.reporting.figures.drawn import (
    LINE,
    SERIES,
    Drawn,
    Line,
    empty_axes,
    legend_above,
    lines_of,
    numbers_table,
    tip,
)
from nsbench.reporting.results import Entry
from nsbench.reporting.tables import Table

FEW = 10
"""Images that a bin of confidence must have to be drawn."""

ENDS = 8
"""Classes shown at either end: those that gained most, and those that lost most."""


def accuracy_figures(entries: Sequence[Entry], suite: str) -> list[Drawn]:
    """Reliability diagram, risk by coverage, and the classes that gained and lost most."""
    lines = lines_of(entries, suite, "reliability")
    return [_reliability(lines, suite), _risk(lines, suite), *_classes(lines, suite)]


def _reliability(lines: Sequence[Line], suite: str) -> Drawn:
    figure, (axes,) = empty_axes(5.4, 4.0)
    # Where a model is as sure as it is right.
    axes.plot([0, 100], [0, 100], color=LINE, linewidth=2)
    for line in lines:
        # The accuracy of a few images says little of a confidence, and looks as if it did.
        bins = [row for row in line.table(suite, "reliability").values() if row[2] >= FEW]
        at = [f"{int(count):,} images of mean confidence {mean:.1f}%" for mean, _, count in bins]
        line.draw(axes, [row[0] for row in bins], [[row[1]] for row in bins], at)
    axes.set(xlabel="confidence (%)", ylabel="accuracy (%)", xlim=(0, 101), ylim=(0, 101))
    legend_above(axes, 2)
    rows = []
    for number in lines[0].table(suite, "reliability"):
        own = [line.table(suite, "reliability")[number] for line in lines]
        cells = [f"{r[0]:.1f} → {r[1]:.1f} ({int(r[2]):,})" if r[2] else "" for r in own]
        rows.append((number, cells))
    errors = {line.name: line.table(suite, "calibration")["ECE"][0] for line in lines}
    best, worst = min(errors, key=errors.__getitem__), max(errors, key=errors.__getitem__)
    title = f"{worst} is calibrated worst, with an ECE of {errors[worst]:.1f}%"
    if best != worst:
        title += f", and {best} best, with {errors[best]:.1f}%"
    else:
        title = f"{best} has an ECE of {errors[best]:.1f}%"
    return Drawn(
        f"{suite}-reliability",
        title,
        "Accuracy by confidence in 15 bins of equal width, without those of fewer than "
        f"{FEW} images, which the table has. Below the line a model is surer than it is right, "
        "above it less sure.",
        figure,
        numbers_table("confidence → accuracy (images) by bin, in %", "bin", lines, rows),
    )


def _risk(lines: Sequence[Line], suite: str) -> Drawn:
    figure, (axes,) = empty_axes(5.6, 3.6)
    shares = list(lines[0].table(suite, "risk_coverage"))
    for line in lines:
        values = list(line.table(suite, "risk_coverage").values())
        at = [f"the surest {share}%" for share in shares]
        line.draw(axes, list(map(float, shares)), values, at)
    axes.set(xlabel="images answered, the surest first (%)", ylabel="error (%)", ylim=(0, None))
    legend_above(axes)
    rows = [
        (f"{share} %", [f"{line.table(suite, 'risk_coverage')[share][0]:.1f}" for line in lines])
        for share in shares
    ]
    half = {line.name: line.table(suite, "risk_coverage")["50"][0] for line in lines}
    best, worst = min(half, key=half.__getitem__), max(half, key=half.__getitem__)
    who = f"{best} errs" if half[best] < half[worst] or len(half) == 1 else "every model errs"
    return Drawn(
        f"{suite}-risk",
        f"On the half of the images that it is surest of, {who} on {half[best]:.1f}%",
        "Risk and coverage: the error among the images of highest confidence, by how many are "
        "answered.",
        figure,
        numbers_table("error (%) by share of images answered", "answered", lines, rows),
    )


def _classes(lines: Sequence[Line], suite: str) -> list[Drawn]:
    """The change of each class's accuracy from the first to the last model; none without two."""
    if len(lines) < 2:
        return []
    first, last = lines[0], lines[-1]
    before, after = first.table(suite, "classes"), last.table(suite, "classes")
    # Of other images, a class's accuracy would not compare.
    both = [label for label in before if label in after and before[label][1] == after[label][1]]
    if len(both) < 2:
        return []
    names = first.entry.info.get("classes") or []
    named = {k: str(names[int(k)]) if int(k) < len(names) else f"class {k}" for k in both}
    change = {label: after[label][0] - before[label][0] for label in both}
    ranked = sorted(both, key=lambda label: -change[label])
    shown = ranked if len(ranked) <= 2 * ENDS else [*ranked[:ENDS], *ranked[-ENDS:]]
    figure, (axes,) = empty_axes(5.6, 0.9 + 0.26 * len(shown))
    for place, label in enumerate(shown):
        color = SERIES[1 if change[label] >= 0 else 2]
        (bar,) = axes.barh(place, change[label], 0.7, color=color)
        tip(bar, f"{named[label]}: {before[label][0]:.1f} to {after[label][0]:.1f} %")
    axes.set_yticks(range(len(shown)), [named[label] for label in shown])
    axes.set(xlabel=f"accuracy of {last.name} minus {first.name} (points)")
    axes.invert_yaxis()  # the class that gained most on top
    axes.axvline(0, color=SERIES[0], linewidth=1)
    axes.grid(axis="y", visible=False)
    rows = []
    for label in shown:
        (share, count), (now, _) = before[label], after[label]
        cells = [f"{int(count):,}", f"{share:.1f}", f"{now:.1f}", f"{change[label]:+z.1f}"]
        rows.append([named[label], *cells])
    gained = sum(value > 0 for value in change.values())
    lost = sum(value < 0 for value in change.values())
    which = f": the {ENDS} that gained and the {ENDS} that lost most" if shown != ranked else ""
    columns = ["class", "images", first.name, last.name, "change"]
    return [
        Drawn(
            f"{suite}-classes",
            f"{last.name} is above {first.name} on {gained} of {len(both)} classes and below on "
            f"{lost}",
            f"Accuracy by class, {last.name} minus {first.name}, in points{which}. A class has few "
            "images, so that single bars are uncertain.",
            figure,
            Table(f"accuracy (%) by class{which}", columns, rows),
        )
    ]
