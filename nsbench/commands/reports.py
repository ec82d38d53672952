"""`nsbench reports`: reports that are kept, with what their numbers come from."""

import re
from pathlib import Path
from typing import Annotated

import typer

from nsbench.commands.completion import complete_report
from nsbench.commands.habits import Group
from nsbench.commands.options import Across, JsonFile, ManyValues, checked_by
from nsbench.util.progress import say

reports_app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Keep reports with the predictions that their numbers come from, and verify them.",
    epilog="Examples:\n\n`nsbench reports add runs/quickstart --name quickstart`\n\n"
    "`nsbench reports verify`",
)

Home = Annotated[Path, typer.Option(help="The folder of all reports.")]
HOME = Path("reports")
OneRun = Annotated[
    Path,
    typer.Argument(
        help="A run folder, a folder of seeds, or a folder of results.",
        callback=checked_by("check_folder"),
    ),
]
Megabytes = Annotated[
    float, typer.Option(min=0, help="Predictions are left out where they are as large, or larger.")
]
Names = Annotated[
    list[str] | None,
    typer.Argument(help="Names of reports; by default all.", autocompletion=complete_report),
]

ADD_EXAMPLES = (
    "Examples:\n\n`nsbench reports add runs/quickstart --name quickstart`\n\n"
    "`nsbench reports add runs/cifar10-4k --name cifar10-4k --hardware '2 CPU cores' --command "
    "'nsbench train cifar10-4k --seeds 3' 'nsbench eval runs/cifar10-4k --suite cifar10'`"
)


@reports_app.command(cls=ManyValues, epilog=ADD_EXAMPLES)
def add(
    run: OneRun,
    name: Annotated[str, typer.Option(help="Of the folder of the report.")],
    command: Annotated[
        list[str] | None, typer.Option(help="What made the run; by default what the report says.")
    ] = None,
    hardware: Annotated[
        str | None, typer.Option(help="In words; by default what the run says of itself.")
    ] = None,
    images: Annotated[
        int, typer.Option(min=0, help="Pictures of each kind, as for nsbench report.")
    ] = 0,
    title: Annotated[str | None, typer.Option(help="Of the report.")] = None,
    base: Annotated[
        str | None, typer.Option(help="The model that others are compared with.")
    ] = None,
    across: Across = None,
    remarks: Annotated[
        Path | None,
        typer.Option(help="A text file of what to know of the numbers, a paragraph a remark."),
    ] = None,
    megabytes: Megabytes = 5,
    home: Home = HOME,
) -> None:
    """Make the folder of a report: page, CSV, JSON, picture, and its predictions.

    A report of that name is made anew. The weights of models are no part of it.
    """
    from nsbench.reporting.committed_index import check_name
    from nsbench.run_folder import is_seeds
    from nsbench.util.errors import NsbenchError
    from nsbench.util.files import read_text

    # Before the imports, which take longer than the check.
    check_name(home, name)
    if images and is_seeds(run):
        raise NsbenchError(f"--images: {run} holds several seeds, whose report has no pictures")
    from nsbench.commands.report import pictures_of
    from nsbench.reporting.committed import About, add_report
    from nsbench.reporting.committed_index import read_about

    text = read_text(remarks, "name a text file") if remarks else ""
    said = [" ".join(one.split()) for one in re.split(r"\n\s*\n", text) if one.strip()]
    about = About(command or (), hardware, title, base, across or (), said)
    made = add_report(
        run, name, about, home=home, most_megabytes=megabytes,
        pictures=pictures_of(images) if images else None,
    )  # fmt: skip
    say(f"the report is {made}; its predictions: {read_about(made)['predictions']}")


@reports_app.command(
    cls=ManyValues,
    epilog="Examples:\n\n`nsbench reports verify`\n\n`nsbench reports verify quickstart`",
)
def verify(names: Names = None, home: Home = HOME, json: JsonFile = None) -> None:
    """Make the numbers of reports again from their predictions, and compare every one.

    The exit code is 1 where one differs.
    """
    from nsbench.reporting.committed_index import entries_in

    # A wrong name is told before what scores is imported.
    entries_in(home, names or ())
    from nsbench.reporting.committed_check import verified_table, verify_reports
    from nsbench.reporting.tables import print_table
    from nsbench.util.errors import ExitWith

    found = verify_reports(home, names or ())
    print_table(verified_table(found), json)
    if any(one.holds is False for one in found):
        raise ExitWith(1)


@reports_app.command(cls=ManyValues, epilog="Example:\n\n`nsbench reports index`")
def index(home: Home = HOME) -> None:
    """Write README.md beside the reports: what each is, and what it found.

    What is written by hand around the list stays.
    """
    from nsbench.reporting.committed_index import write_index

    say(f"the list is {write_index(home)}")
