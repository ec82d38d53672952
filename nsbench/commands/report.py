"""`nsbench report`."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import nsbench
from nsbench.commands.options import Across, JsonFile, Runs, SortBy
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_json
from nsbench.util.progress import say

if TYPE_CHECKING:
    from nsbench.reporting.gallery import Gallery
    from nsbench.reporting.results import Entry
    from nsbench.reporting.tables import Table

REPORT_EXAMPLES = (
    "Examples:\n\n`nsbench report runs/quickstart --out report.html`\n\n"
    "`nsbench report runs/quickstart-seeds --out seeds.html`\n\n"
    "`nsbench report runs/quickstart --format html,csv,latex,pdf-figures`\n\n"
    "`nsbench report results --sort imagenet-c --base timm:resnet50.a1_in1k --title 'Five models'`"
)


def report(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    across: Across = None,
    title: Annotated[str | None, typer.Option(help="Of the page.")] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="OLD=NEW: call a model by another name.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The model that others are compared with.")
    ] = None,
    sort: SortBy = None,
    format: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="html, md, csv, json, latex or pdf-figures; several beside each other.",
        ),
    ] = None,
    images: Annotated[
        int,
        typer.Option(
            min=0, help="Pictures of each kind that one model gets right and the other wrong."
        ),
    ] = 0,
    json: JsonFile = None,
) -> None:
    """Write one self-contained HTML file that compares generations, or those of several seeds."""
    from nsbench.reporting.formats import place

    names = {}
    for pair in name or ():
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise NsbenchError(f"--name {pair}: write OLD=NEW, such as run/generation-0=teacher")
        names[old] = new
    forms = [form for text in format or ["html"] for form in text.split(",") if form]
    tables = nsbench.write_report(
        runs,
        out,
        across=across or (),
        title=title,
        names=names,
        base=base,
        sort=sort,
        formats=forms,
        pictures=pictures_of(images) if images else None,
    )
    print_report(tables, json)
    for form in dict.fromkeys(forms):
        say(f"the report is {place(form, out)}")


def pictures_of(count: int) -> "Callable[[Sequence[Entry]], Gallery | None]":
    """What makes the pictures of a report. They need the sources of the suites, and torch."""
    from nsbench.evaluation.gallery import make_gallery

    return partial(make_gallery, count=count)


def print_report(tables: "list[Table]", json: Path | None) -> None:
    """Print what `write_report` returned, and write its records if a file is given."""
    from nsbench.reporting.tables import print_tables

    print_tables(tables)
    if json:
        write_json(json, [record for table in tables for record in table.data])
