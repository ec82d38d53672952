"""`nsbench make`: ImageNet-C and ImageNet-P as files."""

from pathlib import Path
from typing import Annotated

import typer

from nsbench.commands.habits import Group
from nsbench.commands.options import ImageSource, JsonFile, ManyValues, Seed, checked_by

make_app = typer.Typer(
    cls=Group,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Write ImageNet-C or ImageNet-P of any labeled images as files.",
)

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
        help="folder (a file an image) or npy (an array a name); by default npy at 32 px.",
        callback=checked_by("check_layout"),
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
    source: ImageSource,
    target: Target,
    corruption: Annotated[
        list[str] | None,
        typer.Option(
            help="Of the 19; by default the 15 of mCE.", callback=checked_by("check_cells")
        ),
    ] = None,
    severity: Annotated[
        list[int] | None, typer.Option(min=1, max=5, help="1 to 5; by default all.")
    ] = None,
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
    from nsbench.data.open import SourceSpec
    from nsbench.names import CORRUPTIONS, SEVERITIES
    from nsbench.released import make
    from nsbench.reporting.bench_tables import made_table
    from nsbench.reporting.tables import print_table

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
    source: ImageSource,
    target: Target,
    perturbation: Annotated[
        list[str] | None,
        typer.Option(help="By default the ten of mFR.", callback=checked_by("check_sequences")),
    ] = None,
    difficulty: Annotated[int, typer.Option(min=1, max=3, help="Of the noises, 1 to 3.")] = 1,
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
    from nsbench.data.open import SourceSpec
    from nsbench.names import PERTURBATIONS
    from nsbench.released import make
    from nsbench.reporting.bench_tables import made_table
    from nsbench.reporting.tables import print_table

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
