"""The tables of `nsbench published`: what results there are, those of a model, those on a suite."""

from collections.abc import Iterable, Sequence
from typing import Any

from nsbench.published.metrics import WHOLE
from nsbench.published.rows import Row, suites_of
from nsbench.reporting.tables import Table
from nsbench.util.progress import counted

OURS = "nsbench's"
"""What tables call the protocol of the shipped suites."""

SPARE = ("where", "px")
"""Columns that a narrow terminal does without, in this order."""

_ABOUT = (
    f"{OURS}: as nsbench evaluates the suite. A result of yours is measured alike if weights and "
    "input are the same too."
)


def overview_table(rows: Sequence[Row]) -> Table:
    """A line for each suite and protocol."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row.suite, row.protocol)):
        groups.setdefault((row.suite, row.protocol), []).append(row)
    data = [
        {"suite": suite, "protocol": protocol or OURS, "models": _models(some), "rows": len(some)}
        for (suite, protocol), some in groups.items()
    ]
    body = [[str(value) for value in entry.values()] for entry in data]
    notes = [
        _ABOUT,
        "nsbench published MODEL has all of a model, and nsbench published --suite NAME all models "
        "on a suite, the best first.",
    ]
    title = f"published results: {len(rows):,} of {counted(_models(rows), 'model')}"
    return Table(title, ["suite", "protocol", "models", "rows"], body, data, notes, prose=True)


def models_table(begun: str, rows: Sequence[Row]) -> Table:
    """The models whose names begin alike."""
    groups: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.model.lower()):
        groups.setdefault(row.model, []).append(row)
    data = [
        {"model": model, "suites": len(suites_of(some)), "rows": len(some)}
        for model, some in groups.items()
    ]
    body = [[str(value) for value in entry.values()] for entry in data]
    notes = ["nsbench published MODEL has all results of one."]
    title = f"published results of models that begin with {begun}"
    return Table(title, ["model", "suites", "rows"], body, data, notes)


def model_table(model: str, rows: Sequence[Row]) -> Table:
    """All results of a model: a line for each suite, metric, protocol and source."""
    chosen = list(dict.fromkeys(row for row in rows if row.model == model))
    # Results by nsbench's protocol come first, and single corruptions after the whole.
    chosen.sort(key=lambda row: (row.suite, bool(row.means.part), row.protocol != "", row.protocol))
    body = [[row.suite, row.means.name, *_cells(row)] for row in chosen]
    columns = ["suite", "metric", "value (%)", "px", "protocol", "source", "where"]
    return Table(
        f"published results of {model}", columns, body, records(chosen), [_ABOUT],
        prose=True, spare=SPARE,
    )  # fmt: skip


def suite_tables(suite: str, rows: Sequence[Row]) -> list[Table]:
    """The models on a suite, the best first: a table for each metric of the whole suite."""
    chosen = [row for row in dict.fromkeys(rows) if row.suite == suite]
    groups: dict[str, list[Row]] = {}
    for row in sorted(chosen, key=lambda row: _place(row.metric)):
        if not row.means.part:
            groups.setdefault(row.means.name, []).append(row)
    left = sum(bool(row.means.part) for row in chosen)
    notes = [_ABOUT]
    if left:
        parts = "corruption or sequence"
        notes.append(f"{counted(left, 'result')} of a single {parts}: nsbench published MODEL.")
    tables = [_metric_table(suite, name, some) for name, some in groups.items()]
    return [*tables[:-1], Table(**{**vars(tables[-1]), "notes": notes})] if tables else []


def records(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Every row with all that is known of it, for JSON and CSV."""
    return [
        {
            "model": row.model,
            "suite": row.suite,
            "protocol": row.protocol or OURS,
            "metric": row.metric,
            "value": row.value,
            "unit": row.unit,
            "resolution": row.resolution,
            "crop_pct": row.crop_pct,
            "interpolation": row.interpolation,
            "source": row.source,
            "licence": row.origin.licence,
            "cite": row.origin.cite,
            "protocol_of_the_source": row.origin.why,
        }
        for row in rows
    ]


def _metric_table(suite: str, name: str, rows: list[Row]) -> Table:
    ranked = sorted(rows, key=lambda row: -row.value if row.means.higher_is_better else row.value)
    columns = ["model", f"{name} (%)", "px", "protocol", "source", "where"]
    body = [[row.model, *_cells(row)] for row in ranked]
    title = f"published {name} on {suite}, the best first"
    return Table(title, columns, body, records(ranked), prose=True, spare=SPARE)


def _place(metric: str) -> int:
    """Where a metric comes among several: a suite's headline first, what only others print last."""
    known = list(WHOLE)
    return known.index(metric) if metric in known else len(known)


def _cells(row: Row) -> list[str]:
    # Two decimals at most, and no zeros that the source does not print.
    value = f"{row.value:.2f}".rstrip("0").rstrip(".")
    size = str(row.resolution or "")
    return [value, size, row.protocol or OURS, row.origin.short, row.source]


def _models(rows: Sequence[Row]) -> int:
    return len({row.model for row in rows})
