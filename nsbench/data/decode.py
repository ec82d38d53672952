"""Encoded images to RGB pixels of 8 bits."""

import io
from collections.abc import Collection
from pathlib import Path, PurePath

import numpy as np
from PIL import Image, UnidentifiedImageError

from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.files import read_plain

# Those that Pillow reads and data sets of photographs come in; a file of another name in a class
# folder, such as a text file, is passed over.
EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm"}


FEW_LOST, LOST_SHARE = 10, 0.01
"""More unreadable images than 10, and than 1% of all, stop a command, or if none can be read: a
number on the rest of such data, or a model trained on it, would mislead."""


def refuse_many(reasons: Collection[str], count: int, name: str) -> None:
    """Raise NsbenchError where too many of the `count` images of a source cannot be read."""
    if len(reasons) > max(FEW_LOST, LOST_SHARE * count) or len(reasons) == count > 0:
        raise NsbenchError(
            f"{len(reasons)} of {count} images of {name} cannot be read, such as: "
            f"{next(iter(reasons))}"
        )


def is_image(name: str) -> bool:
    """Whether a file of this name should be an image; hidden files, as macOS adds, should not."""
    return PurePath(name).suffix.lower() in EXTENSIONS and not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden."""
    return PurePath(name).name.startswith(".")


def utf8(name: str, where: str) -> str:
    """The name of an image, which Parquet and JSON files can hold. Raises NsbenchError."""
    try:
        name.encode()
    except UnicodeEncodeError as error:  # Python reads bytes that are not UTF-8 as lone surrogates
        shown = name.encode(errors="surrogateescape").decode(errors="replace")
        raise NsbenchError(f"the file name {shown} in {where} is not UTF-8: rename it") from error
    return name


LONGEST = 200
"""An image may be that many times as long as it is wide: resized to a short side of hundreds of
pixels, a longer one would fill the memory."""


def refuse_long(width: int, height: int) -> None:
    """Raise ValueError for an image whose shape no resizing is meant for."""
    if max(width, height) > LONGEST * min(width, height):
        raise ValueError(f"it is {width:,} x {height:,} pixels, of more than {LONGEST} to 1")


def decode(file: Path | io.BytesIO, name: str) -> Image.Image:
    """RGB image of 8 bits. Raises NsbenchError that calls it `name` if it cannot be read."""
    try:
        # Read whole before it is decoded, so that an empty file is called empty.
        content = io.BytesIO(read_plain(file)) if isinstance(file, Path) else file
        if not content.getbuffer().nbytes:
            raise ValueError("it is empty")
        with Image.open(content) as image:
            refuse_long(*image.size)
            return to_rgb(image)
    except Exception as error:  # every codec under Image.open raises errors of its own
        reason = "it is not an image" if isinstance(error, UnidentifiedImageError) else None
        raise NsbenchError(
            f"the image {name} cannot be read ({reason or first_line(error)}): replace or remove it"
        ) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB of 8 bits, whatever the mode. Raises ValueError for 32 bits a value."""
    if image.mode.startswith("I;16"):  # Pillow would clip 16 bits, not scale them
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of the unsupported type {image.mode}")
    return image.convert("RGB")  # as torchvision's loader: palettes and CMYK too, alpha is dropped
