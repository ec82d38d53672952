"""`nsbench published`."""

from typing import Annotated

import typer

from nsbench.commands.completion import complete_published, complete_published_suite
from nsbench.commands.options import CsvFile, JsonFile

PUBLISHED_EXAMPLES = (
    "Examples:\n\n`nsbench published`\n\n`nsbench published resnet50.a1_in1k`\n\n"
    "`nsbench published tf_efficientnet_l2`\n\n`nsbench published --suite imagenet-c`\n\n"
    "`nsbench published timm:resnet50.tv_in1k --suite imagenet-p --csv published.csv`"
)


def published(
    model: Annotated[
        str | None,
        typer.Argument(
            help="A model, or what the names of several begin with.",
            autocompletion=complete_published,
        ),
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="A suite.", autocompletion=complete_published_suite)
    ] = None,
    json: JsonFile = None,
    csv: CsvFile = None,
) -> None:
    """List published results: of a model, of all models on a suite, or which there are.

    Each has its protocol and its source. The values are in percent.
    """
    from nsbench.published.rows import models_called, rows, rows_on
    from nsbench.reporting import published_tables as shown
    from nsbench.reporting.tables import csv_text, print_tables
    from nsbench.util.errors import NsbenchError
    from nsbench.util.files import write_json, write_text

    names = models_called(model) if model else []
    found = [
        row for row in (rows_on(suite) if suite else rows()) if not model or row.model in names
    ]
    if not found:
        raise NsbenchError(f"there is no published result of {model} on {suite}")
    called = sorted({row.model for row in found}, key=str.lower)
    if model and len(called) == 1:
        tables = [shown.model_table(called[0], found)]
    elif suite:
        tables = shown.suite_tables(suite, found)
    else:
        tables = [shown.models_table(model, found) if model else shown.overview_table(found)]
    print_tables(tables)
    if json:
        write_json(json, shown.records(found))
    if csv:
        write_text(csv, csv_text(shown.records(found)))
