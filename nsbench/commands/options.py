"""Options of commands, and how they are parsed: a name each, so that signatures stay short."""

from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar

import typer

from nsbench.commands.completion import complete_arch, complete_model, complete_suite
from nsbench.commands.habits import Command, many_valued


class ManyValues(Command):
    """A command whose repeatable options also take several values at once: `--suite a b c`.

    BARE: the values of those that may stand without one.
    """

    BARE: ClassVar[dict[str, str]] = {}

    def spelled(self, args: list[str], name: str) -> list[str]:
        """Also spell `--suite a b` as `--suite a --suite b`."""
        own = _filled(super().spelled(args, name), self.BARE)
        return _spread(own, many_valued(self.params))


class WithVariants(ManyValues):
    """A command whose options `--variants` and `--controls` without a name mean all of them."""

    BARE: ClassVar = {"--variants": "all", "--controls": "all"}


def _filled(args: list[str], bare: dict[str, str]) -> list[str]:
    filled: list[str] = []
    # "-" stands for the end, where a bare option may be too.
    for arg, following in pairwise([*args, "-"]):
        filled.append(arg)
        if arg in bare and following.startswith("-"):
            filled.append(bare[arg])
    return filled


def _spread(args: list[str], many: set[str]) -> list[str]:
    spread: list[str] = []
    # `current` is the repeatable option that the next words belong to, `fresh` whether it still
    # waits for its first one.
    current, fresh = "", False
    for arg in args:
        if arg.startswith("-") and len(arg) > 1:  # "-" alone is a value
            current, fresh = (arg if arg in many else ""), True
        elif current and not fresh:
            spread.append(current)
        else:
            fresh = False
        spread.append(arg)
    return spread


def checked_by(check: str, home: str = "nsbench.commands.checks") -> Callable[[Any], Any]:
    """What typer calls with an option's value: a check by its name, and that of its module.

    It is imported only then, as `--help` needs none; the value stays as it is.
    """

    def call(value: Any) -> Any:
        if value not in (None, []):
            getattr(import_module(home), check)(value)
        return value

    return call


JsonFile = Annotated[Path | None, typer.Option("--json", help="Also write the table as JSON.")]
CsvFile = Annotated[Path | None, typer.Option("--csv", help="Also write every row as CSV.")]
MarkdownFile = Annotated[
    Path | None, typer.Option("--markdown", help="Also write the tables as Markdown.")
]
Device = Annotated[
    str | None,
    typer.Option(
        help="cpu, cuda, cuda:1 …; by default the GPU if there is one.",
        callback=checked_by("check_device"),
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="float32, tf32, bfloat16 or float16, for the forward pass.",
        callback=checked_by("check_precision"),
    ),
]
BareArch = Annotated[
    str,
    typer.Option(
        help="timm architecture, untrained.",
        callback=checked_by("check_architecture", "nsbench.models.timm_index"),
        autocompletion=complete_arch,
    ),
]
Corruptions = Annotated[
    list[str] | None,
    typer.Option(
        "--corruption", help="By default the 15 of ImageNet-C.", callback=checked_by("check_cells")
    ),
]
Picture = Annotated[
    Path, typer.Argument(help="A picture of any size.", callback=checked_by("check_file"))
]
ImageSource = Annotated[
    str,
    typer.Argument(
        help="A folder of class folders, Parquet files, hf:OWNER/NAME, or digits.",
        callback=checked_by("check_source"),
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the random draws.")]
Seeds = Annotated[
    int | None,
    typer.Option(min=1, help="Train that many seeds, from the recipe's on, each in OUT/seed-K."),
]
Data = Annotated[
    list[Path] | None,
    typer.Option("--data", help="Folders of data sets; by default those in NSBENCH_DATA."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print what it would take.")]

# What is evaluated
Models = Annotated[
    list[str],
    typer.Argument(
        help="Run folders (all their generations), folders of seeds, generation folders, timm's "
        "models (resnet50, timm:NAME, hf-hub:USER/MODEL, local-dir:FOLDER), checkpoint files "
        "(.safetensors, .pth, .pt, .bin, .pth.tar, .ckpt; with --arch), FILE.onnx, or "
        "python:MODULE:FUNCTION, which runs your function and takes the module that it returns.",
        autocompletion=complete_model,
    ),
]
SuiteOption = Annotated[
    list[str],
    typer.Option(
        help="Shipped suites, TOML files, or folders of class folders.",
        autocompletion=complete_suite,
    ),
]
SuiteArgument = Annotated[
    list[str],
    typer.Argument(help="Shipped suites, or TOML files.", autocompletion=complete_suite),
]
SomeSuites = Annotated[
    list[str] | None,
    typer.Option(
        help="Names of suites; by default all that both have.", autocompletion=complete_suite
    ),
]
Across = Annotated[
    list[str] | None,
    typer.Option(
        help="Compare results that differ in these settings: precision, tf32, memory_format, "
        "device, compiled, subset.",
        callback=checked_by("check_across", "nsbench.reporting.versions"),
    ),
]
Quick = Annotated[
    bool,
    typer.Option("--quick", help="At most 5,000 images of a suite, the same everywhere."),
]
Redo = Annotated[
    bool, typer.Option("--redo", help="Evaluate the suites again, and delete what is finished.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="At most this many images of a suite.")]

# What models do not say themselves
Arch = Annotated[
    str | None,
    typer.Option(help="timm architecture of checkpoint files.", autocompletion=complete_arch),
]
EntryName = Annotated[
    str | None,
    typer.Option("--entry", help="The weights to read in checkpoint files that hold several."),
]
WeightsFile = Annotated[
    Path | None,
    typer.Option("--weights", help="Checkpoint for timm:NAME, in place of the hub's."),
]
ModelName = Annotated[str | None, typer.Option("--name", help="What the one model is called.")]
SortBy = Annotated[
    str | None,
    typer.Option("--sort", help="A metric or a suite that orders the models, the best first."),
]
ClassNames = Annotated[Path | None, typer.Option(help="Names of the models' outputs, one a line.")]
InputSize = Annotated[int | None, typer.Option(help="Pixels of the models' input.")]
CropPct = Annotated[
    float | None, typer.Option(help="Share of the short side that is kept, up to 1.")
]
Interpolation = Annotated[str | None, typer.Option(help="nearest, bilinear, bicubic or lanczos.")]
Channels = Annotated[
    list[float] | None, typer.Option(help="Red, green and blue, in units of [0, 1].")
]

# How an evaluation runs
BatchSize = Annotated[int, typer.Option(min=1, help="Images a forward pass.")]
ChannelsLast = Annotated[
    bool, typer.Option(help="Memory order of images; channels last is the faster one.")
]
Compile = Annotated[bool, typer.Option("--compile", help="Compile the models with torch.compile.")]
Cache = Annotated[
    Path | None, typer.Option(help="A folder that keeps decoded images for later commands.")
]

# What is read from disk
OneModel = Annotated[
    Path,
    typer.Argument(
        help="One model: a generation folder, or a folder of its results; OUT/generation-1 of a "
        "folder of seeds OUT is that generation of every seed.",
        callback=checked_by("check_folder"),
    ),
]
Runs = Annotated[
    list[Path],
    typer.Argument(
        help="Run folders, or folders of results; or one folder of seeds.",
        callback=checked_by("check_folders"),
    ),
]
