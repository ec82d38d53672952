"""`nsbench data`: which of the known data sets were found, and their download."""

from pathlib import Path
from typing import Annotated

import typer

from nsbench.commands.options import Data, JsonFile
from nsbench.util.progress import say

data_app = typer.Typer(invoke_without_command=True)


@data_app.callback(
    epilog="Examples:\n\n`nsbench data`\n\n`nsbench data --data /data --json data.json`\n\n"
    "`nsbench data fetch imagenet-a --data /data`"
)
def data(context: typer.Context, data: Data = None, json: JsonFile = None) -> None:
    """List the known data sets: where they were found, what is missing, how to get it."""
    from nsbench.data.catalog import VARIABLE, roots, set_roots

    set_roots(data)
    if context.invoked_subcommand is None:
        if not roots():
            say(f"no data roots are named: name them by --data or in {VARIABLE}")
        from nsbench.reporting.data_set_tables import data_table
        from nsbench.reporting.tables import print_table

        print_table(data_table(), json)


@data_app.command(epilog="Example:\n\n`nsbench data fetch imagenet-a --data /data`")
def fetch(
    name: Annotated[list[str], typer.Argument(help="Data sets, as nsbench data lists them.")],
    data: Annotated[
        Path | None, typer.Option(help="Where to; by default the first root in NSBENCH_DATA.")
    ] = None,
) -> None:
    """Download the released archives of data sets, and check them.

    Repeat the command after an interruption: it goes on where it stopped.
    """
    from nsbench.data.catalog import data_set, set_roots
    from nsbench.data.download import fetch_data_set

    if data:
        set_roots([data])
    for data_set_name in name:
        data_set(data_set_name)  # refuses a wrong name before hours of downloading
    for data_set_name in name:
        for path in fetch_data_set(data_set_name):
            say(f"{data_set_name}: {path}")
