"""The forms that a report is written in: a page, Markdown, CSV, JSON, LaTeX, and figures."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nsbench.reporting.contents import Contents
from nsbench.reporting.figures.drawn import Drawn, picture
from nsbench.reporting.grid import Grid
from nsbench.reporting.page import page
from nsbench.reporting.records import report_records
from nsbench.reporting.summary import notes_on_images
from nsbench.reporting.tables import Table, csv_text, latex_text, markdown_text
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_bytes, write_text

HTML, FIGURES = "html", "pdf-figures"

SIDE_BY_SIDE = 6
"""Models that fit a page's width as columns; more are rows."""


def write_formats(report: Contents, out: Path, formats: Sequence[str]) -> None:
    """Write a report in several forms, each at its `place`.

    Raises NsbenchError for a form that there is none of.
    """
    check_formats(formats)
    for form in dict.fromkeys(formats):
        path = place(form, out)
        if form == FIGURES:
            write_figures(report.figures, path)
        else:
            write_text(path, TEXTS[form][1](report))


def place(form: str, out: Path) -> Path:
    """Where a form is written, beside the page `out`: a file of another ending, or a folder."""
    if form == FIGURES:
        return out.with_name(f"{out.stem}-figures")
    return out if form == HTML else out.with_suffix(TEXTS[form][0])


def check_formats(formats: Sequence[str]) -> None:
    """Raise NsbenchError for a form that there is none of, or for none at all."""
    known = [*TEXTS, FIGURES]
    if not formats:
        raise NsbenchError(f"name a format: {', '.join(known)}")
    for form in formats:
        if form not in known:
            raise NsbenchError(f"there is no format '{form}'{nearest(form, known)}")


def write_figures(figures: Sequence[Drawn], folder: Path) -> None:
    """Write each figure as PDF and PNG, under its key."""
    for drawn in figures:
        for ending in (".pdf", ".png"):
            path = folder / f"{drawn.key}{ending}"
            write_bytes(path, picture(drawn.figure, path, drawn.note))


def _markdown(report: Contents) -> str:
    answers = "\n".join(f"- {answer}" for answer in report.answers)
    notes = "\n\n".join(report.notes)
    parts = [f"# {report.title}", answers, notes, markdown_text(_tables(report))]
    commands = "\n".join(report.commands)
    return "\n\n".join(filter(None, [*parts, f"```bash\n{commands}\n```"])) + "\n"


def _latex(report: Contents) -> str:
    # Elsewhere these stand in a list of notes; a table is taken into a paper alone.
    images = notes_on_images([*report.entries, *report.beside])
    tables = [replace(made, notes=[*images, *made.notes]) for made in _tables(report)]
    return latex_whole(tables)


def latex_whole(tables: Sequence[Table]) -> str:
    """Tables as a file to be taken into a paper, with what it needs in its first line."""
    return "% needs \\usepackage{booktabs}\n" + latex_text(tables)


def _tables(report: Contents) -> list[Table]:
    """The changes, and every metric with the models side by side where they fit."""
    changes, metrics = (_by_rows(grid, report.prefix) for grid in (report.changes, report.metrics))
    # On paper a few models fit beside each other, and all metrics below.
    if len(metrics.rows) <= SIDE_BY_SIDE:
        metrics = _turned(metrics)
    return [changes, metrics] if report.steps else [metrics]


def _by_rows(grid: Grid, prefix: str) -> Table:
    columns = ["model", *(f"{column.suite} {column.metric}" for column in grid.columns)]
    rows = [
        [name.replace(prefix, ""), *(cell.text for cell in cells)]
        for group in grid.groups
        for name, cells in group.rows
    ]
    title = f"{grid.title}; models: {prefix}…" if prefix else grid.title
    return Table(title, columns, rows, notes=grid.notes)


def _turned(table: Table) -> Table:
    """The rows of the one as the columns of the other."""
    head, *rows = [list(row) for row in zip(table.columns, *table.rows, strict=True)]
    return Table(table.title, ["metric", *head[1:]], rows, notes=table.notes)


def _csv(report: Contents) -> str:
    return csv_text(report_records(report.entries, report.controls, report.steps))


def _json(report: Contents) -> str:
    content = {
        "title": report.title,
        "answers": report.answers,
        "notes": report.notes,
        "records": report_records(report.entries, report.controls, report.steps),
        "commands": report.commands,
        "made": report.made,
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


TEXTS: dict[str, tuple[str, Callable[[Contents], str]]] = {
    HTML: (".html", page),
    "md": (".md", _markdown),
    "csv": (".csv", _csv),
    "json": (".json", _json),
    "latex": (".tex", _latex),
}
"""By name: the ending of the file, and what makes its text."""
