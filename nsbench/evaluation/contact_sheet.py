"""Contact sheets: how every corruption and sequence changes a picture."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from nsbench import perturbations
from nsbench.corruptions import EXTRA_NAMES, NAMES, corrupt
from nsbench.data.open import decode
from nsbench.data.transforms import to_array
from nsbench.names import SEVERITIES, check_sequence_size
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_bytes
from nsbench.util.progress import say, stage

COLUMNS = 5
"""Frames shown of a sequence, as many as there are severities."""

LABEL, HEAD, GAP = 150, 26, 4
"""Pixels of the column of names, of the row of heads, and between pictures."""

Row = tuple[str, list[torch.Tensor]]


def show_corruptions(image: Path, out: Path, *, image_size: int = 224, seed: int = 0) -> None:
    """Write a sheet of every corruption by severity for the centre of a picture.

    Raises NsbenchError if the picture cannot be read or the sheet cannot be written.
    """
    crop = _centre(_resized(image, image_size), image_size)
    names = NAMES + EXTRA_NAMES
    rows: list[Row] = []
    with stage("corruptions", len(names), "rows") as advance:
        for name in names:
            try:
                # By the file's name as image id, so that a picture always gets the same draws.
                levels = [
                    corrupt(crop, name, s, ids=[image.name], seed=seed)[0] for s in SEVERITIES
                ]
                rows.append((name, [crop[0], *levels]))
            # Frost needs a package that may be missing; the sheet of the others is useful still.
            except NsbenchError as error:
                say(f"{name} is left out: {error}")
            advance()
    write_sheet(out, rows, ["clean", *(f"severity {severity}" for severity in SEVERITIES)])


def show_perturbations(image: Path, out: Path, *, image_size: int = 224, seed: int = 0) -> None:
    """Write a sheet of every sequence, five frames from the first to the last, for a picture.

    Raises NsbenchError if the picture cannot be read or the sheet cannot be written.
    """
    check_sequence_size(image_size)
    # 256 px, as ImageNet-P was made: sequences that move the image see what lies beside the crop.
    resized = _resized(image, 256 if image_size == 224 else image_size)
    names = perturbations.NAMES + perturbations.EXTRA_NAMES
    rows: list[Row] = []
    with stage("perturbations", len(names), "rows") as advance:
        for name in names:
            try:
                rows.append((name, _five_frames(resized, name, image.name, image_size, seed)))
            except NsbenchError as error:
                say(f"{name} is left out: {error}")
            advance()
    write_sheet(out, rows, ["first frame", "a quarter", "middle", "three quarters", "last frame"])


def _five_frames(
    resized: torch.Tensor, name: str, image_id: str, size: int, seed: int
) -> list[torch.Tensor]:
    frames = perturbations.frames(resized, name, ids=[image_id], seed=seed, size=size)
    wanted = np.linspace(0, perturbations.frame_count(name, size) - 1, COLUMNS).round()
    return [frame[0] for number, frame in enumerate(frames) if number in wanted]


def _resized(path: Path, size: int) -> torch.Tensor:
    """The picture with its short side resized, uint8 (1, 3, H, W)."""
    image = decode(path, str(path))
    # Bilinear, as torchvision resizes, by which the released sets were made. max: rounding must not
    # make a side shorter than the crop.
    scale = size / min(image.size)
    sides = (max(size, round(image.width * scale)), max(size, round(image.height * scale)))
    return torch.from_numpy(to_array(image.resize(sides, Image.Resampling.BILINEAR)))[None]


def _centre(images: torch.Tensor, size: int) -> torch.Tensor:
    top, left = ((side - size) // 2 for side in images.shape[-2:])
    return images[..., top : top + size, left : left + size].contiguous()


def write_sheet(out: Path, rows: list[Row], heads: list[str]) -> None:
    """Write pictures of one size in rows under heads. Raises NsbenchError for a wrong ending."""
    side = rows[0][1][0].shape[-1]
    step = max(side, 96) + GAP  # heads need 96 px, also above pictures of 32
    sheet = Image.new("RGB", (LABEL + step * len(heads), HEAD + step * len(rows)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, head in enumerate(heads):
        pen.text((LABEL + step * column, 6), head, "black", font)
    for index, (name, pictures) in enumerate(rows):
        top = HEAD + step * index
        pen.text((6, top + 6), name.replace("_", " "), "black", font)
        for column, picture in enumerate(pictures):
            pixels = Image.fromarray(picture.permute(1, 2, 0).numpy())
            sheet.paste(pixels, (LABEL + step * column, top))
    # First into memory: a failure leaves no half of a file.
    buffer = io.BytesIO()
    try:
        sheet.save(buffer, Image.registered_extensions()[out.suffix.lower()])
    except (KeyError, OSError, ValueError) as error:
        raise NsbenchError(f"{out} is not the name of a picture: end it with .png") from error
    write_bytes(out, buffer.getvalue())
