"""The command line: parse, call, print."""

import os

# Threads that wait should sleep: spinning starves the workers that share their cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import shlex
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

import nsbench
from nsbench.commands.bench import bench_app
from nsbench.commands.data import data_app
from nsbench.commands.make import make_app
from nsbench.commands.options import (
    CsvFile,
    Data,
    Device,
    JsonFile,
    ManyValues,
    MarkdownFile,
    Precision,
)
from nsbench.commands.show import show_app
from nsbench.commands.train import add_training
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_json, write_text
from nsbench.util.progress import say

if TYPE_CHECKING:
    from nsbench.reporting.tables import Table

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Train Noisy Student generations, measure their robustness, report what each gained.",
)
for name, group in [
    ("bench", bench_app), ("show", show_app), ("make", make_app), ("data", data_app)
]:  # fmt: skip
    app.add_typer(group, name=name)

add_training(app)

Models = Annotated[
    list[str],
    typer.Argument(
        help="Run folders (all their generations), generation folders, timm:NAME, checkpoint files "
        "(.safetensors, .pth, .pt, .bin; with --arch), FILE.onnx, or python:MODULE:FUNCTION, which "
        "runs your function and takes the module that it returns."
    ),
]


@app.command(
    name="eval",
    cls=ManyValues,
    epilog="Examples:\n\n`nsbench eval runs/quickstart --suite digits digits-c`\n\n"
    "`nsbench eval timm:resnet50.a1_in1k --suite my-suite.toml --device cuda`\n\n"
    "`nsbench eval best.pth --arch resnet50 --classes names.txt --suite my-suite.toml`\n\n"
    "`nsbench eval python:mine.models:make --image-size 32 --suite my-suite.toml`",
)
def evaluate(
    models: Models,
    suite: Annotated[list[str], typer.Option(help="Shipped suites, or TOML files.")],
    arch: Annotated[str | None, typer.Option(help="timm architecture of checkpoint files.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Checkpoint for timm:NAME, in place of the hub's.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Names of the models' outputs, one a line.")
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Pixels of the models' input.")] = None,
    crop_pct: Annotated[
        float | None, typer.Option(help="Share of the short side that is kept, up to 1.")
    ] = None,
    interpolation: Annotated[
        str | None, typer.Option(help="nearest, bilinear, bicubic or lanczos.")
    ] = None,
    mean: Annotated[
        list[float] | None, typer.Option(help="Red, green and blue, in units of [0, 1].")
    ] = None,
    std: Annotated[
        list[float] | None, typer.Option(help="Red, green and blue, in units of [0, 1].")
    ] = None,
    device: Device = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a forward pass.")] = 250,
    precision: Precision = "float32",
    channels_last: Annotated[
        bool, typer.Option(help="The order of values in memory; last is the faster one.")
    ] = True,
    compile: Annotated[bool, typer.Option("--compile", help="Let torch.compile first.")] = False,
    cache: Annotated[
        Path | None, typer.Option(help="A folder that keeps decoded images for later commands.")
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option(help="Where data sets lie; by default NSBENCH_DATA.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only 5,000 images of a suite, the same everywhere.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many images.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would take.")
    ] = False,
    json: JsonFile = None,
    csv: CsvFile = None,
    markdown: MarkdownFile = None,
) -> None:
    """Evaluate models on suites.

    Repeat the command after an interruption, or with more models or suites: only what is missing
    is computed. Under `torchrun --nproc-per-node N -m nsbench eval …` the processes share the work.
    Options of models hold for all models that they can concern, and replace what those say
    themselves.
    """
    from nsbench.data.catalog import set_roots
    from nsbench.evaluation.options import make_options
    from nsbench.evaluation.runner import run
    from nsbench.models import load_models
    from nsbench.reporting import tables
    from nsbench.suites.load import load_suite
    from nsbench.suites.scores import score
    from nsbench.util import distributed

    suites = [load_suite(name) for name in suite]  # a wrong name is told before weights are fetched
    set_roots(data)
    options = make_options(
        device=device,
        batch_size=batch_size,
        precision=precision,
        channels_last=channels_last,
        compile=compile,
        cache=cache,
        quick=quick,
        limit=limit,
    )
    model_options = nsbench.ModelOptions(
        arch, weights, classes, image_size, crop_pct, interpolation, mean, std
    )
    loaded = load_models(models, options.device, model_options)
    if dry_run:
        from nsbench.evaluation.estimate import estimate

        tables.print_table(tables.estimate_table(estimate(loaded, suites, options)), json)
        return
    folders = run(loaded, suites, options)
    main_process = distributed.is_main()
    distributed.stop()
    if main_process:
        evaluated = [score(folder) for folder in folders]
        shown = tables.evaluation_tables(evaluated)
        tables.print_tables(shown, json)
        if csv:
            write_text(csv, tables.csv_text(tables.evaluation_records(evaluated)))
        if markdown:
            write_text(markdown, tables.markdown_text(shown))


@app.command(epilog="Example:\n\n`nsbench report runs/quickstart --out report.html`")
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders of results.")],
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    json: JsonFile = None,
) -> None:
    """Write one self-contained HTML file that compares generations."""
    _print_report(nsbench.write_report(runs, out), json)
    say(f"the report is {out}")


def _print_report(tables: "list[Table]", json: Path | None) -> None:
    from nsbench.reporting.tables import print_tables

    print_tables(tables)
    if json:
        write_json(json, [record for table in tables for record in table.data])


One = Annotated[
    Path, typer.Argument(help="One model: a generation folder, or a folder of its results.")
]


@app.command(
    cls=ManyValues,
    epilog="Examples:\n\n`nsbench compare runs/quickstart/generation-0 "
    "runs/quickstart/generation-2`\n\n"
    "`nsbench compare results/timm-resnet50.a1_in1k runs/mine/generation-2 --suite imagenet-c "
    "imagenet-a --csv changes.csv`",
)
def compare(
    a: One,
    b: One,
    suite: Annotated[
        list[str] | None, typer.Option(help="Names of suites; by default all that both have.")
    ] = None,
    json: JsonFile = None,
    csv: CsvFile = None,
    markdown: MarkdownFile = None,
) -> None:
    """Tell on which suites model B is better than model A, by how much, and how surely.

    Reads stored predictions, as `nsbench report` does.
    """
    from nsbench.reporting import compare as comparing
    from nsbench.reporting.tables import csv_text, markdown_text, print_tables

    found = comparing.compare(a, b, suite)
    tables = found.tables()
    print_tables(tables)
    if json:
        write_json(json, found.data())
    if markdown:
        write_text(markdown, markdown_text(tables))
    if csv:
        write_text(csv, csv_text(found.records()))


@app.command(epilog="Example:\n\n`nsbench quickstart --seed 1 --out runs/quickstart-1`")
def quickstart(
    out: Annotated[Path | None, typer.Option(help="By default runs/quickstart.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="By default the recipe's.")] = None,
    device: Device = None,
    json: JsonFile = None,
) -> None:
    """Train three generations on real digits, evaluate five suites, write the report."""
    settings = [] if seed is None else [f"seed={seed}"]
    folder = nsbench.train("quickstart", out, settings=settings, device=device)
    nsbench.evaluate([str(folder)], QUICKSTART_SUITES, device=device)
    _print_report(nsbench.write_report([folder], folder / "report.html"), json)
    say(f"open the report in a browser: {folder / 'report.html'}")


QUICKSTART_SUITES = ["digits", "digits-a", "digits-c", "digits-p", "digits-fgsm"]


@app.command(epilog="Examples:\n\n`nsbench suites`\n\n`nsbench suites imagenet-c --data /data`")
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


@app.command(
    cls=ManyValues,
    epilog="Example:\n\n`nsbench reference digits-a digits-c digits-p --out digits-reference.json`",
)
def reference(
    suite: Annotated[list[str], typer.Argument(help="Shipped suites, or TOML files.")],
    out: Annotated[Path, typer.Option(help="The file that suites name as their reference.")],
    model: Annotated[str, typer.Option(help="The model whose errors normalise.")] = "linear:digits",
    device: Device = None,
    json: JsonFile = None,
) -> None:
    """Make the constants that normalise mCE and mFR from a model's predictions."""
    from nsbench.evaluation.make_reference import make_reference
    from nsbench.reporting.tables import print_table, reference_table

    content = make_reference(suite, model, out, device=device)
    print_table(reference_table(content), json)
    say(f"the reference is {out}")


OTHERS_WAIT = 3.0
"""Seconds that processes of torchrun wait before they complain: where the first one does, it ends
them, and the sentence is printed once."""


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line; bad input ends in one sentence and exit code 2."""
    warnings.showwarning = _say_warning
    try:
        return app(arguments, prog_name="nsbench")
    except NsbenchError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename or 'input or output failed'}")
    except KeyboardInterrupt:
        _stopped(arguments)
        sys.exit(130)
    except SystemExit as left:
        if left.code in (1, 130):  # Ctrl-C
            _stopped(arguments)
        raise


def _stopped(arguments: list[str] | None) -> None:
    again = shlex.join(["nsbench", *(sys.argv[1:] if arguments is None else arguments)])
    say(f"nsbench: stopped; what is finished is kept, this goes on: {again}")


def _say_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """A warning as a sentence, without the line of code it comes from."""
    if issubclass(category, UserWarning):
        say(f"warning: {message}")


def _fail(sentence: str) -> None:
    if os.environ.get("RANK", "0") != "0":
        time.sleep(OTHERS_WAIT)
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"nsbench: {sentence}", style="red", markup=False
    )
    sys.exit(2)
