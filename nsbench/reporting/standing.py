"""How the models of a report stand to published results, and to the lines of standard models."""

from collections.abc import Iterator, Sequence

from nsbench.published.effective import LINES, robustness_of
from nsbench.published.match import Beside, beside, unlike_shipped
from nsbench.published.rows import Row, best_on
from nsbench.reporting.grid import Cell, Column, Group
from nsbench.reporting.results import Entry, headline, suite_names
from nsbench.reporting.tables import Table

BEST = 10
"""Published results of other weights that are shown of a suite."""

NONE = (
    "nsbench knows published results for ImageNet, its variants and CIFAR only, so that none apply "
    "here."
)


def standing(entries: Sequence[Entry]) -> list[Table]:
    """Published results of the same weights, of other weights, and effective robustness."""
    others = (_others(entries, suite) for suite in suite_names(entries))
    return [*_same_weights(entries), *(table for table in others if table), *_effective(entries)]


def published_group(entries: Sequence[Entry], columns: Sequence[Column]) -> list[Group]:
    """Rows of what was published of the same weights by the same protocol, under its columns."""
    found: dict[str, dict[tuple[str, str], Row]] = {}
    for one in _all_beside(entries):
        if one.same_protocol and not one.row.means.part:
            name = f"{one.row.model}, {one.row.origin.short}"
            found.setdefault(name, {})[one.row.suite, one.row.means.key] = one.row
    lines = [(name, [_cell(own, column) for column in columns]) for name, own in found.items()]
    title = "Published results of the same weights, suite and protocol"
    return [Group(title, lines)] if lines else []


def _cell(own: dict[tuple[str, str], Row], column: Column) -> Cell:
    row = own.get((column.suite, column.key))
    return Cell(f"{row.comparable:.1f}", row.comparable) if row else Cell("")


def _all_beside(entries: Sequence[Entry]) -> Iterator[Beside]:
    for entry in entries:
        for scores in entry.scores.values():
            yield from beside(scores)


def _same_weights(entries: Sequence[Entry]) -> list[Table]:
    made = [
        [
            one.row.model,
            one.row.suite,
            one.row.means.name,
            f"{one.row.comparable:.2f}",
            f"{one.ours:.2f}",
            one.status,
            one.row.origin.short,
        ]
        for one in _all_beside(entries)
    ]
    if not made:
        return []
    columns = ["model", "suite", "metric", "published", "ours", "status", "source"]
    notes = [
        "“Repeats”: within the difference that 90% of 46 checkpoints have between two published "
        "evaluations of the same weights. Values in percent, in the terms of nsbench's metric."
    ]
    return [Table("Published results of the same weights", columns, made, notes=notes, prose=True)]


def _others(entries: Sequence[Entry], suite: str) -> Table | None:
    """The best published results on a suite, None where ours is not of the shipped suite."""
    scores = next(entry.scores[suite] for entry in entries if suite in entry.scores)
    if any(unlike_shipped(scores)):
        return None
    key, metric = next(iter(scores.metrics.items()))
    whole = best_on(suite, key, metric.higher_is_better)
    if not whole:
        return None
    made = [
        [row.model, f"{row.resolution or ''}", f"{row.comparable:.1f}", row.origin.short]
        for row in whole[:BEST]
    ]
    own = [
        f"{entry.name} {headline(entry.scores[suite]).value:.1f}"
        for entry in entries
        if suite in entry.scores
    ]
    columns = ["model", "px", f"{metric.name} (%)", "source"]
    title = f"Published results on {suite}, of other weights, the best {len(made)} of {len(whole)}"
    notes = [f"By the protocol of nsbench's suite. In this report: {', '.join(own)}."]
    return Table(title, columns, made, notes=notes)


def _effective(entries: Sequence[Entry]) -> list[Table]:
    found = {entry.name: robustness_of(entry.scores.values()) for entry in entries}
    suites = [suite for suite in LINES if any(suite in own for own in found.values())]
    if not suites:
        return []
    made = [
        [name, *(f"{own[s]:+z.1f}" if s in own else "" for s in suites)]
        for name, own in found.items()
    ]
    notes = [
        "Points of accuracy above the line that the accuracy of 85 standard models lies on, by "
        "their clean accuracy (Taori et al. 2020; lines fitted to the results of imagenet-testbed, "
        "whose files of ImageNet-C were resized once more)."
    ]
    return [Table("Effective robustness", ["model", *suites], made, notes=notes)]
