"""The command line: every command, under its name and with its examples."""

from typing import Annotated

import typer

import nsbench
from nsbench.commands.bench import bench_app
from nsbench.commands.compare import COMPARE_EXAMPLES, compare
from nsbench.commands.data import data_app
from nsbench.commands.doctor import DOCTOR_EXAMPLES, doctor
from nsbench.commands.evaluate import EVAL_EXAMPLES, REFERENCE_EXAMPLE, evaluate, reference
from nsbench.commands.forget import FORGET_EXAMPLES, forget
from nsbench.commands.habits import Group
from nsbench.commands.leaderboard import LEADERBOARD_EXAMPLES, leaderboard
from nsbench.commands.ls import LS_EXAMPLES, ls
from nsbench.commands.make import make_app
from nsbench.commands.options import ManyValues, WithVariants
from nsbench.commands.published import PUBLISHED_EXAMPLES, published
from nsbench.commands.quickstart import QUICKSTART_EXAMPLES, quickstart
from nsbench.commands.recipes import RECIPES_EXAMPLES, recipes
from nsbench.commands.report import REPORT_EXAMPLES, report
from nsbench.commands.reports import reports_app
from nsbench.commands.show import show_app
from nsbench.commands.suites import SUITES_EXAMPLES, suites
from nsbench.commands.train import TRAIN_EXAMPLES, train

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # errors of users are one sentence, others plain tracebacks
    rich_markup_mode=None,  # rich takes longer to draw a page of help than all else together
    cls=Group,
)
for name, group in [
    ("bench", bench_app), ("show", show_app), ("make", make_app), ("data", data_app),
    ("reports", reports_app),
]:  # fmt: skip
    app.add_typer(group, name=name)
app.command(cls=WithVariants, epilog=TRAIN_EXAMPLES)(train)
app.command(cls=ManyValues, epilog=RECIPES_EXAMPLES)(recipes)
app.command(name="eval", cls=ManyValues, epilog=EVAL_EXAMPLES)(evaluate)
app.command(cls=ManyValues, epilog=REPORT_EXAMPLES)(report)
app.command(cls=ManyValues, epilog=COMPARE_EXAMPLES)(compare)
app.command(cls=ManyValues, epilog=LEADERBOARD_EXAMPLES)(leaderboard)
app.command(cls=ManyValues, epilog=QUICKSTART_EXAMPLES)(quickstart)
app.command(cls=ManyValues, epilog=SUITES_EXAMPLES)(suites)
app.command(cls=ManyValues, epilog=PUBLISHED_EXAMPLES)(published)
app.command(cls=ManyValues, epilog=FORGET_EXAMPLES)(forget)
app.command(name="ls", cls=ManyValues, epilog=LS_EXAMPLES)(ls)
app.command(cls=ManyValues, epilog=REFERENCE_EXAMPLE)(reference)
app.command(cls=ManyValues, epilog=DOCTOR_EXAMPLES)(doctor)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"nsbench {nsbench.__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Train Noisy Student generations, measure their robustness, report what each gained."""
