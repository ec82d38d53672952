"""`nsbench show`: contact sheets of corruptions and perturbations, and the balance of labels."""

from pathlib import Path
from typing import Annotated

import typer

from nsbench.commands.habits import Group
from nsbench.commands.options import CsvFile, JsonFile, ManyValues, Picture, Seed, checked_by
from nsbench.util.files import write_text
from nsbench.util.progress import say

show_app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Contact sheets of corruptions and perturbations, and the balance of pseudo-labels.",
)

Sheet = Annotated[Path, typer.Option(help="The sheet to write.")]
Labeled = Annotated[
    Path,
    typer.Argument(
        help="A run folder, or one of its generations.", callback=checked_by("check_folder")
    ),
]
Plot = Annotated[Path | None, typer.Option("--out", help="Also draw it, as .png or .svg.")]
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
