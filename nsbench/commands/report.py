"""`nsbench report`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import nsbench
from nsbench.commands.options import Across, JsonFile, Runs
from nsbench.util.files import write_json
from nsbench.util.progress import say

if TYPE_CHECKING:
    from nsbench.reporting.tables import Table

REPORT_EXAMPLES = (
    "Examples:\n\n`nsbench report runs/quickstart --out report.html`\n\n"
    "`nsbench report runs/quickstart-seeds --out seeds.html`"
)


def report(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    across: Across = None,
    json: JsonFile = None,
) -> None:
    """Write one self-contained HTML file that compares generations, or those of several seeds."""
    print_report(nsbench.write_report(runs, out, across=across or ()), json)
    say(f"the report is {out}")


def print_report(tables: "list[Table]", json: Path | None) -> None:
    """Print what `write_report` returned, and write its records if a file is given."""
    from nsbench.reporting.tables import print_tables

    print_tables(tables)
    if json:
        write_json(json, [record for table in tables for record in table.data])
