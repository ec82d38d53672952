"""`nsbench suites`."""

from typing import Annotated

import typer

from nsbench.commands.completion import complete_suite
from nsbench.commands.options import Data, JsonFile

SUITES_EXAMPLES = (
    "Examples:\n\n`nsbench suites`\n\n`nsbench suites imagenet-c --data /data`\n\n"
    "`nsbench suites --keys`"
)


def suites(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A shipped suite or a TOML file, to explain it.", autocompletion=complete_suite
        ),
    ] = None,
    keys: Annotated[bool, typer.Option("--keys", help="Explain every key of a suite.")] = False,
    data: Data = None,
    json: JsonFile = None,
) -> None:
    """List the shipped suites, or explain one: its images, protocol and metric."""
    from nsbench.data.catalog import set_roots
    from nsbench.reporting.key_tables import suite_key_tables
    from nsbench.reporting.suite_tables import suite_table, suites_table
    from nsbench.reporting.tables import print_table, print_tables

    set_roots(data)
    if keys:
        print_tables(suite_key_tables(), json)
        return
    print_table(suite_table(name) if name else suites_table(), json)
