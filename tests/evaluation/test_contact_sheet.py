"""Contact sheets hold what the engine makes, in its place."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nsbench import corruptions, perturbations
from nsbench.evaluation.contact_sheet import GAP, HEAD, LABEL, show_corruptions, show_perturbations
from nsbench.util.errors import NsbenchError


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    across, down = np.meshgrid(np.arange(50), np.arange(32))
    planes = np.stack([5 * across, 7 * down, 3 * (across + down)], -1)
    Image.fromarray(planes.astype(np.uint8)).save(tmp_path / "cat.png")
    return tmp_path / "cat.png"


def tile(sheet: Path, row: int, column: int, size: int = 32) -> np.ndarray:
    step = 96 + GAP  # room for the heads of columns
    left, top = LABEL + column * step, HEAD + row * step
    pixels = np.asarray(Image.open(sheet).convert("RGB"))
    return pixels[top : top + size, left : left + size].transpose(2, 0, 1)


def test_a_row_for_each_corruption(picture: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    show_corruptions(picture, sheet, image_size=32, seed=3)
    crop = torch.from_numpy(np.asarray(Image.open(picture))[:, 9:41].transpose(2, 0, 1).copy())
    assert (tile(sheet, 4, 0) == crop.numpy()).all()
    names = corruptions.NAMES + corruptions.EXTRA_NAMES
    for name, severity in [("gaussian_noise", 1), ("fog", 4), ("saturate", 5)]:
        made = corruptions.corrupt(crop[None], name, severity, ids=["cat.png"], seed=3)[0]
        assert (tile(sheet, names.index(name), severity) == made.numpy()).all()


def test_a_row_for_each_sequence(picture: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    show_perturbations(picture, sheet, image_size=32)
    whole = torch.from_numpy(np.asarray(Image.open(picture)).transpose(2, 0, 1).copy())
    names = perturbations.NAMES + perturbations.EXTRA_NAMES
    clip = list(perturbations.frames(whole[None], "rotate", ids=["cat.png"], size=32))
    for column, frame in [(0, 0), (4, 30)]:
        assert (tile(sheet, names.index("rotate"), column) == clip[frame][0].numpy()).all()


def test_what_cannot_be_read_or_written(picture: Path, tmp_path: Path) -> None:
    broken = tmp_path / "dog.png"
    broken.write_bytes(b"no image")
    with pytest.raises(NsbenchError, match=r"dog\.png cannot be read"):
        show_corruptions(broken, tmp_path / "sheet.png", image_size=32)
    with pytest.raises(NsbenchError, match="sheet.xyz"):
        show_corruptions(picture, tmp_path / "sheet.xyz", image_size=32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat.png", "dog.png"]
