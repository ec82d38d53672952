"""The command line: parse, call, print."""

import os

# Threads that wait should sleep: spinning starves the workers that share their cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import shlex
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperCommand

import nsbench
from nsbench.errors import NsbenchError
from nsbench.progress import say
from nsbench.run import write_json, write_text

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Train Noisy Student generations, measure their robustness, report what each gained.",
)
bench_app = typer.Typer(
    no_args_is_help=True, help="Measure speed against the reference, side by side."
)
app.add_typer(bench_app, name="bench")
show_app = typer.Typer(no_args_is_help=True, help="Contact sheets of what is done to images.")
app.add_typer(show_app, name="show")

make_app = typer.Typer(
    no_args_is_help=True, help="Write ImageNet-C or ImageNet-P of any labeled images as files."
)
app.add_typer(make_app, name="make")
data_app = typer.Typer(invoke_without_command=True)
app.add_typer(data_app, name="data")


class ManyValues(TyperCommand):
    """A command whose repeatable options also take several values at once: `--suite a b c`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Spell `--suite a b` as `--suite a --suite b`."""
        many = {flag for p in self.params if getattr(p, "multiple", False) for flag in p.opts}
        spread: list[str] = super().parse_args(ctx, _spread(args, many))
        return spread


def _spread(args: list[str], many: set[str]) -> list[str]:
    spread: list[str] = []
    current, fresh = "", False
    for arg in args:
        if arg.startswith("-") and len(arg) > 1:
            current, fresh = (arg if arg in many else ""), True
        elif current and not fresh:
            spread.append(current)
        else:
            fresh = False
        spread.append(arg)
    return spread


JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write the table as JSON.")]
CsvFile = Annotated[Path | None, typer.Option("--csv", help="Also write every row as CSV.")]
MarkdownFile = Annotated[
    Path | None, typer.Option("--markdown", help="Also write the tables as Markdown.")
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, cuda:1 …; by default the GPU if there is one.")
]
Precision = Annotated[str, typer.Option(help="Of the forward pass: float32, bfloat16 or float16.")]
Models = Annotated[
    list[str],
    typer.Argument(
        help="Run folders (all their generations), generation folders, timm:NAME, checkpoint files "
        "(.safetensors, .pth, .pt, .bin; with --arch), FILE.onnx, or python:MODULE:FUNCTION, which "
        "runs your function and takes the module that it returns."
    ),
]


@app.command(
    cls=ManyValues,
    epilog="Examples:\n\n`nsbench train quickstart`\n\n"
    "`nsbench train my.toml --set seed=1 generations.1.epochs=50 --out runs/seed-1`",
)
def train(
    recipe: Annotated[str, typer.Argument(help="A TOML file, or the name of a shipped recipe.")],
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value settings, dotted keys.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder, by default runs/NAME.")] = None,
    device: Device = None,
    json: JsonFile = None,
) -> None:
    """Train the generations of a recipe.

    Repeat the command after an interruption: finished generations are kept.
    """
    from nsbench.reporting.tables import print_table, training_table

    folder = nsbench.train(recipe, out, settings=set_ or [], device=device)
    print_table(training_table(folder), json)
    say(f"the run is in {folder}")


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
    from nsbench import distributed
    from nsbench.data.catalog import set_roots
    from nsbench.evaluation.options import make_options
    from nsbench.evaluation.runner import run
    from nsbench.evaluation.scores import score
    from nsbench.models import load_models
    from nsbench.reporting import tables
    from nsbench.suite import load_suite

    suites = [load_suite(name) for name in suite]  # a wrong name is told before weights are fetched
    if data:
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
    from nsbench.reporting.tables import print_table

    summary = nsbench.write_report(runs, out)
    print_table(summary, json)
    say(f"the report is {out}")


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
    from nsbench.reporting.tables import print_table

    settings = [] if seed is None else [f"seed={seed}"]
    folder = nsbench.train("quickstart", out, settings=settings, device=device)
    nsbench.evaluate([str(folder)], QUICKSTART_SUITES, device=device)
    summary = nsbench.write_report([folder], folder / "report.html")
    print_table(summary, json)
    say(f"open the report in a browser: {folder / 'report.html'}")


QUICKSTART_SUITES = ["digits", "digits-a", "digits-c", "digits-p", "digits-fgsm"]


Data = Annotated[
    list[Path] | None,
    typer.Option("--data", help="Data roots; by default those in NSBENCH_DATA."),
]


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
    from nsbench.evaluation.reference import make_reference
    from nsbench.reporting.tables import print_table, reference_table

    content = make_reference(suite, model, out, device=device)
    print_table(reference_table(content), json)
    say(f"the reference is {out}")


@bench_app.command(epilog="Example:\n\n`nsbench bench attack --json attack.json`")
def attack(
    arch: Annotated[str, typer.Option(help="timm architecture, untrained.")] = "resnet18",
    image_size: Annotated[int, typer.Option(min=16, help="Pixels.")] = 64,
    batch_size: Annotated[int, typer.Option(min=1, help="Images.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each side.")] = 5,
    device: Device = None,
    json: JsonFile = None,
) -> None:
    """Time an FGSM curve of 8 epsilons by nsbench and by foolbox."""
    from nsbench.bench import bench_attack
    from nsbench.reporting.tables import bench_table, print_table

    result = bench_attack(arch, image_size, batch_size, rounds, device=device)
    print_table(bench_table(result))
    if json:
        write_json(json, result)


@bench_app.command(
    name="eval",
    epilog="Examples:\n\n`nsbench bench eval --json eval.json`\n\n"
    "`nsbench bench eval --models 3 --images 2048 --batch-size 256 --precision bfloat16`",
)
def bench_the_evaluation(
    arch: Annotated[str, typer.Option(help="timm architecture, untrained.")] = "resnet50",
    models: Annotated[int, typer.Option(min=1, help="Evaluated together.")] = 1,
    images: Annotated[int, typer.Option(min=1, help="Of each of the 75 cells.")] = 8,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a forward pass.")] = 8,
    precision: Precision = "float32",
    device: Device = None,
    json: JsonFile = None,
) -> None:
    """Time ImageNet-C on the fly beside the bare forward passes, and the reading of JPEG files."""
    from nsbench.bench_eval import bench_eval
    from nsbench.reporting.tables import bench_table, print_table

    result = bench_eval(
        arch,
        models=models,
        images=images,
        batch_size=batch_size,
        precision=precision,
        device=device,
    )
    print_table(bench_table(result))
    if json:
        write_json(json, result)


@bench_app.command(
    name="corruptions",
    cls=ManyValues,
    epilog="Examples:\n\n`nsbench bench corruptions --json corruptions.json`\n\n"
    "`nsbench bench corruptions --corruption fog snow --device cuda --batch-size 256`",
)
def bench_the_corruptions(
    corruption: Annotated[
        list[str] | None, typer.Option(help="By default the 15 of ImageNet-C.")
    ] = None,
    image_size: Annotated[int, typer.Option(min=32, help="Pixels.")] = 224,
    batch_size: Annotated[int, typer.Option(min=1, help="Images.")] = 64,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of each side.")] = 3,
    device: Device = None,
    json: JsonFile = None,
) -> None:
    """Time the corruptions by nsbench and by the package imagecorruptions, on the same cores."""
    from nsbench.bench_corruptions import bench_corruptions
    from nsbench.names import CORRUPTIONS
    from nsbench.reporting.tables import bench_table, corruptions_table, print_tables

    result = bench_corruptions(
        corruption or CORRUPTIONS,
        image_size=image_size,
        batch_size=batch_size,
        rounds=rounds,
        device=device,
    )
    print_tables([corruptions_table(result), bench_table(result)])
    if json:
        write_json(json, result)


Picture = Annotated[Path, typer.Argument(help="A picture of any size.")]
Sheet = Annotated[Path, typer.Option(help="The sheet to write.")]
SheetSize = Annotated[int, typer.Option(min=32, help="Pixels that a picture is cropped to.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the random draws.")]


@show_app.command(epilog="Example:\n\n`nsbench show corruptions cat.jpg --out sheet.png`")
def corruptions(
    image: Picture, out: Sheet = Path("sheet.png"), image_size: SheetSize = 224, seed: Seed = 0
) -> None:
    """Every corruption of ImageNet-C by severity."""
    from nsbench.show import show_corruptions

    show_corruptions(image, out, image_size=image_size, seed=seed)
    say(f"the sheet is {out}")


@show_app.command(epilog="Example:\n\n`nsbench show perturbations cat.jpg --out sheet.png`")
def perturbations(
    image: Picture, out: Sheet = Path("sheet.png"), image_size: SheetSize = 224, seed: Seed = 0
) -> None:
    """Every sequence of ImageNet-P, from its first frame to its last."""
    from nsbench.show import show_perturbations

    show_perturbations(image, out, image_size=image_size, seed=seed)
    say(f"the sheet is {out}")


Source = Annotated[
    str, typer.Argument(help="A folder of class folders, Parquet files, hf:OWNER/NAME, or digits.")
]
Target = Annotated[Path, typer.Argument(help="A new folder, or one that a command began.")]
Split = Annotated[str | None, typer.Option(help="The source's split.")]
ImageSize = Annotated[
    int | None, typer.Option(help="Pixels; by default 32 or 64 for such images, else 224.")
]
ResizeSize = Annotated[
    int | None, typer.Option(help="Short side before the crop; by default 256 for 224 px.")
]
Lossless = Annotated[bool, typer.Option("--lossless", help="Exact pixels, in larger files.")]
Layout = Annotated[
    str | None,
    typer.Option(
        help="folder (a file an image) or npy (an array a name); by default npy at 32 px."
    ),
]
Workers = Annotated[int | None, typer.Option(min=0, help="Processes; by default one a core.")]


@make_app.command(
    cls=ManyValues,
    name="imagenet-c",
    epilog="Examples:\n\n`nsbench make imagenet-c imagenet/val imagenet-c`\n\n"
    "`nsbench make imagenet-c pets pets-c --corruption fog frost --severity 1 3 --lossless`",
)
def make_imagenet_c(
    source: Source,
    target: Target,
    corruption: Annotated[
        list[str] | None, typer.Option(help="Of the 19; by default the 15 of mCE.")
    ] = None,
    severity: Annotated[list[int] | None, typer.Option(help="1 to 5; by default all.")] = None,
    split: Split = None,
    image_size: ImageSize = None,
    resize_size: ResizeSize = None,
    seed: Seed = 0,
    lossless: Lossless = False,
    layout: Layout = None,
    workers: Workers = None,
    json: JsonFile = None,
) -> None:
    """Corrupt images into JPEG files, as ImageNet-C has them.

    Repeat the command after an interruption, or with more corruptions: only what is missing is
    made.
    """
    from nsbench import make
    from nsbench.data.sources import SourceSpec
    from nsbench.names import CORRUPTIONS, SEVERITIES
    from nsbench.reporting.tables import made_table, print_table

    summary = make.make_imagenet_c(
        SourceSpec(source=source, split=split),
        target,
        corruptions=corruption or CORRUPTIONS,
        severities=severity or SEVERITIES,
        image_size=image_size,
        resize_size=resize_size,
        seed=seed,
        lossless=lossless,
        layout=layout,
        workers=workers,
    )
    print_table(made_table(summary), json)


@make_app.command(
    cls=ManyValues,
    name="imagenet-p",
    epilog="Examples:\n\n`nsbench make imagenet-p imagenet/val imagenet-p`\n\n"
    "`nsbench make imagenet-p pets pets-p --perturbation gaussian_noise --difficulty 2`",
)
def make_imagenet_p(
    source: Source,
    target: Target,
    perturbation: Annotated[
        list[str] | None, typer.Option(help="By default the ten of mFR.")
    ] = None,
    difficulty: Annotated[int, typer.Option(help="Of the noises, 1 to 3.")] = 1,
    split: Split = None,
    image_size: ImageSize = None,
    resize_size: ResizeSize = None,
    seed: Seed = 0,
    lossless: Lossless = False,
    layout: Layout = None,
    workers: Workers = None,
    json: JsonFile = None,
) -> None:
    """Perturb images into MP4 clips of one frame a second, as ImageNet-P has them.

    Repeat the command after an interruption, or with more perturbations: only what is missing is
    made.
    """
    from nsbench import make
    from nsbench.data.sources import SourceSpec
    from nsbench.names import PERTURBATIONS
    from nsbench.reporting.tables import made_table, print_table

    summary = make.make_imagenet_p(
        SourceSpec(source=source, split=split),
        target,
        perturbations=perturbation or PERTURBATIONS,
        difficulty=difficulty,
        image_size=image_size,
        resize_size=resize_size,
        seed=seed,
        lossless=lossless,
        layout=layout,
        workers=workers,
    )
    print_table(made_table(summary), json)


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
        from nsbench.reporting.data_sets import data_table
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
    from nsbench.data.fetch import fetch_data_set

    if data:
        set_roots([data])
    for each in name:
        data_set(each)  # refuse a wrong name before hours of downloading
    for each in name:
        for path in fetch_data_set(each):
            say(f"{each}: {path}")


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
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"nsbench: {sentence}", style="red", markup=False
    )
    sys.exit(2)
