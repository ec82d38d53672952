"""`nsbench show`: sheets of corruptions and perturbations, the balance of labels, mistakes."""

from pathlib import Path
from typing import Annotated

import typer

from nsbench.commands.completion import complete_suite
from nsbench.commands.habits import Group
from nsbench.commands.options import CsvFile, JsonFile, ManyValues, Picture, Seed, checked_by
from nsbench.util.files import write_json, write_text
from nsbench.util.progress import say

show_app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Contact sheets of corruptions and perturbations, the balance of pseudo-labels, and "
    "single images that models get wrong.",
)

Sheet = Annotated[Path, typer.Option(help="The sheet to write.")]
Labeled = Annotated[
    Path,
    typer.Argument(
        help="A run folder, or one of its generations.", callback=checked_by("check_folder")
    ),
]
Plot = Annotated[Path | None, typer.Option("--out", help="Also draw it, as .png or .svg.")]
Model = Annotated[
    Path,
    typer.Argument(
        help="A model: a generation folder, or a folder of its results.",
        callback=checked_by("check_folder"),
    ),
]
OtherModel = Annotated[
    Path | None,
    typer.Argument(
        help="Another one, to show what the two differ in.", callback=checked_by("check_folder")
    ),
]
ShownSuite = Annotated[
    str, typer.Option(help="A suite that was evaluated.", autocompletion=complete_suite)
]
Cell = Annotated[
    str | None,
    typer.Option(
        help="A part of the suite, such as fog/3; by default the images themselves, or those where "
        "the model errs most, or where the two differ most."
    ),
]
SheetSize = Annotated[int, typer.Option(min=32, help="Pixels that a picture is cropped to.")]
SequenceSize = Annotated[
    int,
    typer.Option(
        help="Pixels of the frames: 224, 64 or 32.",
        callback=checked_by("check_sequence_size", "nsbench.names"),
    ),
]


@show_app.command(
    cls=ManyValues, epilog="Example:\n\n`nsbench show corruptions cat.jpg --out sheet.png`"
)
def corruptions(
    image: Picture, out: Sheet = Path("sheet.png"), image_size: SheetSize = 224, seed: Seed = 0
) -> None:
    """Every corruption of ImageNet-C by severity."""
    from nsbench.evaluation.contact_sheet import show_corruptions

    show_corruptions(image, out, image_size=image_size, seed=seed)
    say(f"the sheet is {out}")


@show_app.command(
    cls=ManyValues, epilog="Example:\n\n`nsbench show perturbations cat.jpg --out sheet.png`"
)
def perturbations(
    image: Picture, out: Sheet = Path("sheet.png"), image_size: SequenceSize = 224, seed: Seed = 0
) -> None:
    """Every sequence of ImageNet-P, from its first frame to its last."""
    from nsbench.evaluation.contact_sheet import show_perturbations

    show_perturbations(image, out, image_size=image_size, seed=seed)
    say(f"the sheet is {out}")


@show_app.command(
    cls=ManyValues, epilog="Example:\n\n`nsbench show labels runs/cifar10-4k --out labels.png`"
)
def labels(run: Labeled, out: Plot = None, csv: CsvFile = None, json: JsonFile = None) -> None:
    """How many pseudo-labeled images of each class a student trains on."""
    from nsbench.reporting import labels as report
    from nsbench.reporting.tables import csv_text, print_table

    name, summary = report.read_labels(run)
    if out:
        report.write_labels_picture(summary, out)
    print_table(report.labels_table(name, summary), json)
    if csv:
        write_text(csv, csv_text(report.class_records(summary)))


MISTAKES_EXAMPLES = (
    "Examples:\n\n`nsbench show mistakes runs/quickstart/generation-2 --suite digits`\n\n"
    "`nsbench show mistakes runs/quickstart/generation-0 runs/quickstart/generation-2 --suite "
    "digits-c --cell fog/3 --csv fog.csv`"
)


@show_app.command(cls=ManyValues, epilog=MISTAKES_EXAMPLES)
def mistakes(
    a: Model,
    suite: ShownSuite,
    b: OtherModel = None,
    cell: Cell = None,
    count: Annotated[int, typer.Option(min=1, help="Images of each kind.")] = 10,
    csv: CsvFile = None,
    json: JsonFile = None,
) -> None:
    """Single images that a model gets wrong and is sure of, or that only one of two gets right.

    Reads stored predictions. Of sequences it shows the frame at which a model flips.
    """
    from nsbench.reporting.mistakes import mistake_records, mistake_tables
    from nsbench.reporting.mistakes import mistakes as find_mistakes
    from nsbench.reporting.tables import csv_text, print_tables

    found = find_mistakes(a, b, suite, cell, count)
    print_tables(mistake_tables(found))
    if csv:
        write_text(csv, csv_text(mistake_records(found)))
    if json:
        write_json(json, mistake_records(found))
