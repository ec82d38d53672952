"""The summary of a report: a row for each model, a column for each suite, changes in the cells."""

from collections.abc import Mapping, Sequence
from typing import Any

from nsbench.metrics.verdict import Judged
from nsbench.reporting.results import (
    Entry,
    comparable,
    headline,
    paired_changes,
    suite_names,
)
from nsbench.reporting.score_tables import change_text, metric_data, metric_text
from nsbench.reporting.subsets import subset_notes
from nsbench.reporting.tables import Table
from nsbench.suites.base import SuiteScores


def summary_table(entries: Sequence[Entry], changes: Sequence[Mapping[str, Judged]]) -> Table:
    """A row for each model: its headline on every suite, with the change against the first.

    changes: those of `headline_changes`, for each model by suite.
    """
    names, base = suite_names(entries), entries[0]
    made = [model_row(e, base, names, row) for e, row in zip(entries, changes, strict=True)]
    columns = ["model", *suite_columns(entries, names)]
    title = f"Change against {base.name}, paired 95% intervals"
    notes = notes_on_images(entries)
    notes += [sentence for entry in entries for sentence in entry.notes]
    rows, records = [cells for cells, _ in made], [record for _, record in made]
    return Table(title, columns, rows, records, notes, models=True)


def notes_on_images(entries: Sequence[Entry]) -> list[str]:
    """A sentence for each suite of which the models were evaluated on some images only."""
    return subset_notes(scores for entry in entries for scores in entry.scores.values())


def suite_columns(entries: Sequence[Entry], names: Sequence[str]) -> list[str]:
    """The heads of the suites' columns: name and headline."""
    titles = {name: headline(e.scores[name]).name for e in entries for name in e.scores}
    return [f"{name}\n{titles[name]}" for name in names]


def model_row(
    entry: Entry, base: Entry, names: Sequence[str], changes: Mapping[str, Judged]
) -> tuple[list[str], dict[str, Any]]:
    """A model's cells, its name and a suite each, with its changes against `base`; and as data."""
    cells, suites = [entry.name], {}
    for name in names:
        if name not in entry.scores:
            outdated = name in entry.outdated
            cells.append("evaluated differently" if outdated else "not evaluated")
            continue
        metric, judged = headline(entry.scores[name]), changes.get(name)
        change = change_text(judged.change) if judged else ""
        cells.append(f"{metric_text(metric)}\n{change}".rstrip())
        suites[name] = _suite_data(entry.scores[name], base, entry, judged)
    keys = ("generation", "arch", "parameters", "seconds")
    info = {key: entry.info[key] for key in keys if key in entry.info}
    return cells, {"model": entry.name, "info": info, "suites": suites}


def _suite_data(
    scores: SuiteScores, base: Entry, entry: Entry, judged: Judged | None
) -> dict[str, Any]:
    """Every metric with its change; the headline's, which the table shows, with its verdict."""
    data = {key: metric_data(metric) for key, metric in scores.metrics.items()}
    first, *others = scores.metrics
    # The first metric is the headline, whose change is known: bootstraps take time.
    known = {first: judged.change} if judged else {}
    pairs = {key: comparable(base, entry, scores.suite.name, key) for key in others}
    found = {key: pair for key, pair in pairs.items() if pair}
    known |= zip(found, paired_changes(list(found.values())), strict=True)
    for key, difference in known.items():
        data[key]["change"] = {
            "value": difference.value,
            "interval": list(difference.interval),
            "better": difference.better,
            "excludes_zero": difference.significant,
        }
    if judged:
        data[first]["change"] |= {"adjusted_p": judged.adjusted_p, "verdict": judged.verdict}
    return data
