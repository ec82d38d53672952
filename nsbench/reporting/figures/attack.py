"""The figure of attack suites: accuracy by strength."""

from collections.abc import Sequence

from matplotlib.axes import Axes

from nsbench.reporting.figures.drawn import (
    Drawn,
    empty_axes,
    legend_above,
    lines_of,
    numbers_table,
    row_text,
)
from nsbench.reporting.results import Entry


def attack_figures(entries: Sequence[Entry], suite: str) -> list[Drawn]:
    """Accuracy by epsilon with bands, and the area under the curve."""
    lines = lines_of(entries, suite, "accuracy")
    figure, (axes,) = empty_axes(5.6, 3.6)
    texts = list(lines[0].table(suite, "accuracy"))
    epsilons = list(map(float, texts))
    for line in lines:
        rows = list(line.table(suite, "accuracy").values())
        line.draw(axes, epsilons, rows, [f"ε = {text}/255" for text in texts])
    strength_axes(axes, texts)
    legend_above(axes)
    places = [
        (f"ε = {t}", [row_text(line.table(suite, "accuracy")[t]) for line in lines]) for t in texts
    ]
    areas = {
        line.name: line.entry.scores[suite].tables.get("area", {}).get("mean accuracy")
        for line in lines
    }
    known = {name: row for name, row in areas.items() if row}
    if known:
        cells = [row_text(row) if row else "" for row in areas.values()]
        places.append((f"mean from {texts[0]} to {texts[-1]} (area)", cells))
        best = max(known, key=lambda name: known[name][0])
        title = (
            f"{best} is right on {known[best][0]:.1f}% of images on average over ε up to "
            f"{texts[-1]}"
        )
        others = {name: row[0] for name, row in known.items() if name != best}
        if others:
            worst = min(others, key=others.__getitem__)
            title += f", {worst} on {others[worst]:.1f}%"
    else:
        row = lines[0].table(suite, "accuracy")[texts[0]]
        title = f"{lines[0].name} is right on {row[0]:.1f}% of images at ε = {texts[0]}"
    return [
        Drawn(
            f"{suite}-curve",
            title,
            "Accuracy by strength; ε is applied before normalisation and pixels stay valid. Bands "
            "are Wilson's 95% intervals. The area is the mean accuracy over ε by trapezoids, on "
            "the scale of ε itself, as a share of the range.",
            figure,
            numbers_table("accuracy (%) by strength", "strength", lines, places),
        )
    ]


def strength_axes(axes: Axes, texts: Sequence[str]) -> None:
    """Axes of accuracy by epsilon. texts: the epsilons, as they are written."""
    # Epsilons double from one to the next, and 0 is among them: linear up to 1, then logarithmic.
    axes.set_xscale("symlog", linthresh=1)
    axes.set_xticks(list(map(float, texts)), texts)
    axes.minorticks_off()
    # Up to 101, so that a line at 100% is not cut in half.
    axes.set(xlabel="ε, in units of 1/255", ylabel="accuracy (%)", ylim=(0, 101))
