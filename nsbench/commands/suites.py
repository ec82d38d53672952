"""`nsbench suites`."""

from typing import Annotated

import typer

from nsbench.commands.options import Data, JsonFile

SUITES_EXAMPLES = "Examples:\n\n`nsbench suites`\n\n`nsbench suites imagenet-c --data /data`"


def suites(
    name: Annotated[
        str | None, typer.Argument(help="A shipped suite or a TOML file, to explain it.")
    ] = None,
    data: Data = None,
    json: JsonFile = None,
) -> None:
    """List the shipped suites, or explain one: its images, protocol and metric."""
    from nsbench.data.catalog import set_roots
    from nsbench.reporting.suite_tables import suite_table, suites_table
    from nsbench.reporting.tables import print_table

    set_roots(data)
    print_table(suite_table(name) if name else suites_table(), json)
