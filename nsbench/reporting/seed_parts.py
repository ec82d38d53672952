"""Changes over seeds of the parts of a suite: of each corruption, and of each sequence."""

from collections.abc import Iterator
from typing import Any

from nsbench.metrics.seeds import OVER, SeedChange
from nsbench.metrics.verdict import verdict_over_seeds
from nsbench.reporting.claims import pairs
from nsbench.reporting.results import suite_names
from nsbench.reporting.seed_texts import interval_text, over_seeds_columns
from nsbench.reporting.seeds import Pooled, SeedRuns, entries_of
from nsbench.reporting.tables import Table


def parts_tables(runs: SeedRuns) -> list[Table]:
    """For each suite that has parts a row for each two models that a claim compares."""
    tables = []
    for suite in suite_names(entries_of(runs.models)):
        found = list(_changes(runs, suite))
        names = list(dict.fromkeys(name for _, _, changes in found for name in changes))
        rows = [
            [f"{model.called} against {base.called}", *(_text(own.get(name)) for name in names)]
            for model, base, own in found
        ]
        if rows:
            title = f"{suite}: changes part by part, in points, [95% interval over {OVER}]"
            by_chance = "each interval is a 95% one by itself, and one in twenty excludes zero"
            note = f"Where nothing changed, {by_chance}."
            heads = ["models", *(name.replace("_", " ") for name in names)]
            tables.append(Table(title, heads, rows, [], [note]))
    return tables


def part_records(runs: SeedRuns) -> Iterator[dict[str, Any]]:
    """The same changes, flat; the metric of one is called `flip probability, translate`."""
    for suite in suite_names(entries_of(runs.models)):
        for model, base, changes in _changes(runs, suite):
            parts = model.parts_on(suite)
            for name, change in changes.items():
                yield {
                    "suite": suite,
                    "model": model.name,
                    "metric": f"{next(iter(parts[name].values())).name}, {name}",
                    **over_seeds_columns(change),
                    "against": base.name,
                    "verdict": verdict_over_seeds(change),
                }


def _changes(runs: SeedRuns, suite: str) -> Iterator[tuple[Pooled, Pooled, dict[str, SeedChange]]]:
    """Each two models that a claim compares, with the changes of a suite's parts."""
    # Several claims compare the same two.
    known = {(model.place, base.place): (model, base) for model, base in pairs(runs)}
    for model, base in known.values():
        if changes := runs.part_changes(model, base, suite):
            yield model, base, changes


def _text(change: SeedChange | None) -> str:
    return f"{change.mean:+z.1f}\n{interval_text(change, '+')}" if change else ""
