"""The command line: every command, under its name and with its examples."""

import typer

from nsbench.commands.bench import bench_app
from nsbench.commands.compare import COMPARE_EXAMPLES, compare
from nsbench.commands.data import data_app
from nsbench.commands.doctor import DOCTOR_EXAMPLES, doctor
from nsbench.commands.evaluate import EVAL_EXAMPLES, REFERENCE_EXAMPLE, evaluate, reference
from nsbench.commands.make import make_app
from nsbench.commands.options import ManyValues, WithVariants
from nsbench.commands.quickstart import QUICKSTART_EXAMPLES, quickstart
from nsbench.commands.recipes import RECIPES_EXAMPLES, recipes
from nsbench.commands.report import REPORT_EXAMPLES, report
from nsbench.commands.show import show_app
from nsbench.commands.suites import SUITES_EXAMPLES, suites
from nsbench.commands.train import TRAIN_EXAMPLES, train

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # errors of users are one sentence, others plain tracebacks
    rich_markup_mode="markdown",
    help="Train Noisy Student generations, measure their robustness, report what each gained.",
)
for name, group in [
    ("bench", bench_app), ("show", show_app), ("make", make_app), ("data", data_app)
]:  # fmt: skip
    app.add_typer(group, name=name)
app.command(cls=WithVariants, epilog=TRAIN_EXAMPLES)(train)
app.command(epilog=RECIPES_EXAMPLES)(recipes)
app.command(name="eval", cls=ManyValues, epilog=EVAL_EXAMPLES)(evaluate)
app.command(epilog=REPORT_EXAMPLES)(report)
app.command(cls=ManyValues, epilog=COMPARE_EXAMPLES)(compare)
app.command(epilog=QUICKSTART_EXAMPLES)(quickstart)
app.command(epilog=SUITES_EXAMPLES)(suites)
app.command(cls=ManyValues, epilog=REFERENCE_EXAMPLE)(reference)
app.command(cls=ManyValues, epilog=DOCTOR_EXAMPLES)(doctor)
