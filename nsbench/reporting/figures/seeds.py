"""Figures of several seeds: each seed as a point, beside means and intervals over all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from nsbench.metrics.seeds import OVER, OverSeeds, over_seeds
from nsbench.metrics.verdict import verdict_over_seeds
from nsbench.reporting.figures.attack import strength_axes
from nsbench.reporting.figures.claims import claims_figures
from nsbench.reporting.figures.corruption import heat_panel
from nsbench.reporting.figures.drawn import (
    LINE,
    MARKERS,
    MOST,
    SERIES,
    SOFT,
    Drawn,
    empty_axes,
    legend_above,
    plain,
    tip,
)
from nsbench.reporting.layout import shared_prefix
from nsbench.reporting.results import suite_names
from nsbench.reporting.score_tables import metric_head
from nsbench.reporting.seed_texts import interval_text
from nsbench.reporting.seeds import (
    Pooled,
    SeedRuns,
    entries_of,
    generations,
    labeled_only,
)
from nsbench.reporting.subsets import subset_notes
from nsbench.reporting.tables import Table
from nsbench.util.progress import counted
from nsbench.util.text import printable

INTERVALS = f"bars are 95% intervals over {OVER}, which one seed has none of"


def seeds_figures(runs: SeedRuns) -> list[Drawn]:
    """The claims of the paper, changes of students, and of each suite headline, curve, heat map."""
    names = _names(runs.models)
    entries = entries_of(runs.models)
    suites = suite_names(entries)
    figures = [*claims_figures(runs), *_changes(runs, names, suites)]
    for suite in suites:
        shown = [model for model in runs.models if model.metrics_of_headline(suite)]
        of_suite = [_levels(runs, shown, names, suite), *_of_tables(runs, shown, names, suite)]
        images = " ".join(subset_notes(e.scores[suite] for e in entries if suite in e.scores))
        figures += [replace(drawn, note=images) for drawn in of_suite]
    return figures


def _names(models: Sequence[Pooled]) -> dict[str, str]:
    """What models are called in figures, by their names."""
    prefix = shared_prefix([model.name for model in models])
    return {model.name: printable(model.name.removeprefix(prefix)) for model in models}


def _changes(runs: SeedRuns, names: Mapping[str, str], suites: Sequence[str]) -> list[Drawn]:
    """Each student against its teacher, and against `labeled-only` of it, on every suite."""
    own = generations(runs.models)
    pairs = [(student, teacher) for teacher, student in pairwise(own)]
    pairs += [
        (student, control) for student in own for control in labeled_only(runs.models, student)
    ]
    rows = []
    for suite in suites:
        for student, base in pairs:
            if change := runs.headline_change(student, base, suite):
                metric = student.headlines()[suite]
                what = f"{names[student.name]} against {names[base.name]}"
                rows.append((f"{suite}, {metric_head(metric)}", what, change))
    if not rows:
        return []
    kinds = list(dict.fromkeys(what for _, what, _ in rows))
    figure, (axes,) = empty_axes(5.8, 0.9 + 0.34 * len(rows))
    axes.axvline(0, color=SOFT, linewidth=1)
    for place, (label, what, change) in enumerate(rows):
        number = kinds.index(what) % len(SERIES)
        first = next(i for i, row in enumerate(rows) if row[1] == what) == place
        label_of = what if first else None
        mark = _bar(axes, change, place, SERIES[number], MARKERS[number], label_of)
        tip(mark, f"{what}, {label}: {_text(change, '+')} points")
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("change (points)")
    legend_above(axes, 1)
    sure = [verdict_over_seeds(change) for _, _, change in rows]
    cells = [
        [what, label, _text(change, "+"), verdict, _each(change)]
        for (label, what, change), verdict in zip(rows, sure, strict=True)
    ]
    found = [f"{sure.count(v)} {v}" for v in ("better", "worse", "undecided") if v in sure]
    return [
        Drawn(
            "seeds-changes",
            f"Of {counted(len(rows), 'change')} of students over seeds, {', '.join(found)}",
            f"Change of each suite's headline, paired on the same images in each seed: marks are "
            f"means over seeds, {INTERVALS}. ↓ and ↑ tell which direction is better.",
            figure,
            Table(
                "change in points, mean over seeds with interval",
                ["models", "suite", "change", "verdict", "each seed"],
                cells,
            ),
        )
    ]


def _bar(
    axes: Axes, pooled: OverSeeds, place: float, color: str, marker: str, label: str | None
) -> Line2D:
    """A mean with its interval, lying, and each seed as a stroke below it. Returns its mark."""
    if pooled.interval:
        axes.plot([*pooled.interval], [place] * 2, color=color, linewidth=2)
    axes.plot(pooled.values, [place + 0.25] * len(pooled.values), "|", color=color, markersize=5)
    (mark,) = axes.plot([pooled.mean], [place], marker, color=color, markersize=6, label=label)
    return mark


def _last_against_first(
    runs: SeedRuns, models: Sequence[Pooled], names: Mapping[str, str], suite: str
) -> str:
    """`: generation-2 has +2.0 [+1.4, +2.6] against generation-0`; empty where it has nothing."""
    # The recipe's own end and beginning: a ranking of all models would need an interval each.
    own = generations(models)
    change = runs.headline_change(own[-1], own[0], suite) if own else None
    if change is None:
        return ""
    return f": {names[own[-1].name]} has {_text(change, '+')} against {names[own[0].name]}"


def _levels(
    runs: SeedRuns, models: Sequence[Pooled], names: Mapping[str, str], suite: str
) -> Drawn:
    """The headline of every model: its seeds, their mean, and the interval over both."""
    pooled = [over_seeds(list(model.metrics_of_headline(suite).values())) for model in models]
    metric = next(iter(models[0].metrics_of_headline(suite).values()))
    figure, (axes,) = empty_axes(5.8, 0.9 + 0.42 * len(models))
    for place, (model, own) in enumerate(zip(models, pooled, strict=True)):
        number = place % len(SERIES)
        mark = _bar(axes, own, place, SERIES[number], MARKERS[number], None)
        tip(mark, f"{names[model.name]}: {_text(own)} %")
    axes.set_yticks(range(len(models)), [names[model.name] for model in models])
    axes.set_ylim(len(models) - 0.5, -0.5)
    axes.set_xlabel(f"{suite}, {metric_head(metric)} (%)")
    title = f"{metric.name} on {suite}"
    title += _last_against_first(runs, models, names, suite)
    rows = [
        [names[model.name], f"{len(own.values)}", _text(own), _each(own)]
        for model, own in zip(models, pooled, strict=True)
    ]
    columns = ["model", "seeds", metric_head(metric), "each seed"]
    return Drawn(
        f"{suite}-seeds",
        title,
        f"Marks are means over seeds, strokes below them single seeds; {INTERVALS}.",
        figure,
        Table(f"{suite} (%) over seeds", columns, rows),
    )


def _of_tables(
    runs: SeedRuns, models: Sequence[Pooled], names: Mapping[str, str], suite: str
) -> list[Drawn]:
    """What a suite's kind has besides: heat maps of errors, or a curve by strength."""
    tables = next(iter(models[0].scores_on(suite).values())).tables
    if "error" in tables:
        return _heat(models, names, suite)
    return [_curves(runs, models[:MOST], names, suite)] if "accuracy" in tables else []


def _means(model: Pooled, suite: str, table: str) -> dict[str, list[float]]:
    """A table of a suite as its mean over seeds, without intervals."""
    every = [scores.tables[table] for scores in model.scores_on(suite).values()]
    return {name: np.mean([own[name] for own in every], 0).tolist() for name in every[0]}


def _heat(models: Sequence[Pooled], names: Mapping[str, str], suite: str) -> list[Drawn]:
    """The last generation's error by corruption and severity, less that of the other models."""
    own = generations(models)
    if not own or len(models) == 1:
        return []
    last = own[-1]
    bases = [base for base in (*own[:1], *labeled_only(models, last)) if base is not last]
    after = _means(last, suite, "error")
    rows = list(after)
    severities = next(iter(last.scores_on(suite).values())).suite.model_dump()["severities"]
    columns = [f"{severity}" for severity in severities]
    table = np.array(list(after.values()))
    panels = [(names[last.name], table, False)]
    for base in bases:
        other = np.array([*_means(base, suite, "error").values()])
        panels.append((f"minus\n{names[base.name]}", table - other, True))
    figure, axes = empty_axes(
        1.6 + 2.2 * len(panels), 1.1 + 0.3 * len(rows), len(panels), sharey=True
    )
    for one, (title, values, signed) in zip(axes, panels, strict=True):
        heat_panel(one, values, rows, columns, title, signed)
    # What it gained where is told without a ranking: the means of cells have no intervals.
    title = f"Error of {names[last.name]} by corruption and severity"
    if bases:
        title += f", less that of {' and '.join(names[base.name] for base in bases)}"
    cells = [
        [
            plain(name),
            *(f"{value:+z.1f}" if s else f"{value:z.1f}" for _, v, s in panels for value in v[n]),
        ]
        for n, name in enumerate(rows)
    ]
    heads = ["corruption", *(f"{title}, {s}" for title, _, _ in panels for s in columns)]
    caption = (
        "Error (%) by corruption and severity, mean over seeds; then its difference to other "
        "models in points: blue is less error, orange more."
    )
    made = Table("error (%) and differences (points), means over seeds", heads, cells)
    return [Drawn(f"{suite}-seeds-heat", title, caption, figure, made)]


def _curves(
    runs: SeedRuns, models: Sequence[Pooled], names: Mapping[str, str], suite: str
) -> Drawn:
    """Accuracy by strength: a line for the mean over seeds, thin ones for each of them."""
    figure, (axes,) = empty_axes(5.6, 3.6)
    means = {model.name: _means(model, suite, "accuracy") for model in models}
    texts = list(means[models[0].name])
    epsilons = list(map(float, texts))
    for number, model in enumerate(models):
        color, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
        for scores in model.scores_on(suite).values():
            each = [scores.tables["accuracy"][text][0] for text in texts]
            axes.plot(epsilons, each, color=color, linewidth=0.6, alpha=0.5)
        values = [means[model.name][text][0] for text in texts]
        axes.plot(epsilons, values, color=color, label=names[model.name])
        for x, value, text in zip(epsilons, values, texts, strict=True):
            (point,) = axes.plot([x], [value], marker, color=color, markersize=5)
            tip(point, f"{names[model.name]}, ε = {text}/255: {value:.1f} %")
    strength_axes(axes, texts)
    axes.axhline(0, color=LINE, linewidth=1)
    legend_above(axes)
    # The first is the headline, which is not chosen by what came of it.
    metric = next(iter(models[0].metrics_of_headline(suite).values()))
    title = f"Accuracy under attack by strength; {metric.name}"
    title += _last_against_first(runs, models, names, suite)
    rows = [[f"ε = {t}", *(f"{own[t][0]:.1f}" for own in means.values())] for t in texts]
    return Drawn(
        f"{suite}-seeds-curve",
        title,
        "Accuracy by strength. Thick lines are means over seeds, thin ones single seeds.",
        figure,
        Table(
            "accuracy (%) by strength, means over seeds",
            ["strength", *(names[name] for name in means)],
            rows,
        ),
    )


def _text(pooled: OverSeeds, sign: str = "") -> str:
    """`+2.3 [+1.0, +3.6]`; of one seed the value alone."""
    return f"{pooled.mean:{sign}z.1f} {interval_text(pooled, sign)}".rstrip()


def _each(pooled: OverSeeds) -> str:
    return ", ".join(f"{value:z.1f}" for value in pooled.values)
