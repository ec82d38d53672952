"""The table of every metric: models in rows, in groups; metrics of all suites in columns."""

from collections.abc import Sequence
from dataclasses import dataclass

from nsbench.metrics.change import Metric
from nsbench.reporting.controls import Controls, control_models
from nsbench.reporting.gains import Step
from nsbench.reporting.results import Entry, headlines, suite_names
from nsbench.reporting.score_tables import change_text, metric_head, metric_text
from nsbench.util.progress import counted

SILENT = (
    "Changes without a word are undecided; p is the adjusted one. All are rounded after the "
    "subtraction."
)

REFERENCES = "What normalises the metrics, by its published or measured constants"

Row = tuple[str, list["Cell"]]
"""A row's name and its cells."""


@dataclass(frozen=True)
class Cell:
    """A cell: its text, the number that sorts it, what it is of, and a class of the style sheet.

    key: model, suite and metric with tabs between, by which a program finds it.
    """

    text: str
    value: float | None = None
    key: str = ""
    style: str = ""


@dataclass(frozen=True)
class Column:
    """suite: its name. metric: as tables call it, with the direction that is better. key: of it."""

    suite: str
    metric: str
    key: str


@dataclass(frozen=True)
class Group:
    """Rows that belong together. title: empty for the report's own models. rows: name and cells."""

    title: str
    rows: list[Row]


@dataclass(frozen=True)
class Grid:
    """A table of cells in groups, with what stands below it."""

    title: str
    columns: list[Column]
    groups: list[Group]
    notes: list[str]


def every_metric(entries: Sequence[Entry], controlled: Sequence[Controls]) -> Grid:
    """All models by all metrics; then the controls, and the references' own rows."""
    beside = [entry for entry, _ in control_models(controlled)]
    columns = _columns([*entries, *beside])
    groups = [Group("", [(entry.name, _cells(entry, columns)) for entry in entries])]
    if beside:
        rows = [(entry.name, _cells(entry, columns)) for entry in beside]
        groups.append(Group("Controls, trained beside the generations", rows))
    if references := _references([*entries, *beside], columns):
        groups.append(Group(REFERENCES, references))
    return Grid("Every metric, in % with 95% intervals over images", columns, groups, [])


def _columns(entries: Sequence[Entry]) -> list[Column]:
    found: dict[tuple[str, str], Metric] = {}
    for suite in suite_names(entries):
        for entry in entries:
            if suite in entry.scores:
                for key, metric in entry.scores[suite].metrics.items():
                    found.setdefault((suite, key), metric)
    return [Column(suite, metric_head(metric), key) for (suite, key), metric in found.items()]


def _cells(entry: Entry, columns: Sequence[Column]) -> list[Cell]:
    return [metric_cell(entry, column) for column in columns]


def metric_cell(entry: Entry, column: Column) -> Cell:
    """A model's metric with its interval, or why there is none."""
    scores = entry.scores.get(column.suite)
    if scores is None:
        why = "evaluated differently" if column.suite in entry.outdated else "not evaluated"
        return Cell(why, style="soft")
    metric = scores.metrics.get(column.key)
    if metric is None:
        return Cell("undefined", style="soft")
    key = "\t".join((entry.name, column.suite, column.key))
    return Cell(metric_text(metric), metric.value, key)


def _references(entries: Sequence[Entry], columns: Sequence[Column]) -> list[Row]:
    """A row for each model whose constants normalise a suite."""
    values: dict[str, dict[tuple[str, str], float]] = {}
    for entry in entries:
        for suite, scores in entry.scores.items():
            reference = scores.manifest.get("reference")
            if reference and scores.reference:
                own = scores.suite.reference_values(reference)
                known = values.setdefault(scores.reference, {})
                known |= {(suite, key): value for key, value in own.items()}
    rows = []
    for name, known in values.items():
        cells = []
        for column in columns:
            value = known.get((column.suite, column.key))
            cells.append(Cell("" if value is None else f"{value:.1f}", value))
        if any(cell.text for cell in cells):
            rows.append((name, cells))
    return rows


def changes_grid(steps: Sequence[Step], entries: Sequence[Entry], rule: str) -> Grid:
    """Each generation against its teacher, generation 0 and its control, on every suite."""
    suites = suite_names(entries)
    columns = [
        Column(suite, metric_head(metric), "change") for suite, metric in headlines(entries).items()
    ]
    rows = []
    for step in steps:
        cells = []
        for suite in suites:
            judged = step.changes.get(suite)
            if judged is None:
                cells.append(Cell("not comparable", style="soft"))
                continue
            key = "\t".join((step.entry.name, suite, step.base.name))
            said = "" if judged.verdict == "undecided" else f" {judged.verdict}"
            # Where the interval alone would say more than the rule does.
            if not said and judged.change.significant:
                said = f" (p {judged.adjusted_p:.2f})"
            text = f"{change_text(judged.change)}{said}"
            cells.append(Cell(text, judged.change.value, key, judged.verdict))
        rows.append((f"{step.entry.name} against {step.base.name}", cells))
    title = f"Changes of {counted(len(suites), 'headline')}, in points, paired 95% intervals"
    return Grid(title, columns, [Group("", rows)], [f"{rule} {SILENT}"])
