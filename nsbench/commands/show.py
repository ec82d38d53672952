"""`nsbench show`: contact sheets."""

from pathlib import Path
from typing import Annotated

import typer

from nsbench.commands.options import Seed
from nsbench.progress import say

show_app = typer.Typer(no_args_is_help=True, help="Contact sheets of what is done to images.")

Picture = Annotated[Path, typer.Argument(help="A picture of any size.")]
Sheet = Annotated[Path, typer.Option(help="The sheet to write.")]
SheetSize = Annotated[int, typer.Option(min=32, help="Pixels that a picture is cropped to.")]


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
