"""`nsbench data`: which of the known data sets were found, and their download."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nsbench.commands.completion import complete_data_set
from nsbench.commands.habits import Group
from nsbench.commands.options import Data, JsonFile, ManyValues
from nsbench.util.likeness import most_alike
from nsbench.util.progress import say


class OrName(Group):
    """A group in which a word that is no command is the name of a data set."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command; or `about` with all words, where the first is none."""
        from nsbench.data.catalog import data_sets

        is_command = most_alike(args[0], [*self.commands, *data_sets()]) in self.commands
        return super().resolve_command(ctx, args if is_command else ["about", *args])


data_app = typer.Typer(cls=OrName, invoke_without_command=True, rich_markup_mode=None)


@data_app.callback(
    epilog="Examples:\n\n`nsbench data`\n\n`nsbench data --data /data --json data.json`\n\n"
    "`nsbench data imagenet-a`\n\n"
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


@data_app.command(
    cls=ManyValues, hidden=True, epilog="Example:\n\n`nsbench data imagenet-c --data data`"
)
def about(
    name: Annotated[str, typer.Argument(help="A data set, as nsbench data lists them.")],
    data: Data = None,
    json: JsonFile = None,
) -> None:
    """Tell of one data set what it is, where it lies and how to get it."""
    from nsbench.data.catalog import set_roots
    from nsbench.reporting.data_set_tables import data_set_table
    from nsbench.reporting.tables import print_table

    if data:
        set_roots(data)
    print_table(data_set_table(name), json)


@data_app.command(cls=ManyValues, epilog="Example:\n\n`nsbench data fetch imagenet-a --data /data`")
def fetch(
    name: Annotated[
        list[str],
        typer.Argument(
            help="Data sets, as nsbench data lists them.", autocompletion=complete_data_set
        ),
    ],
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
