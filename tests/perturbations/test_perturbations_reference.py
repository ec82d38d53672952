"""The helpers against frames of the official generators at 224 px, kept in the shared folder."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nsbench.corruptions._pixels import round_half_up
from nsbench.perturbations import blur, geometry, weather

SHARED = Path(os.environ.get("NSBENCH_SHARED", Path(__file__).parents[3] / "shared"))
REFERENCE = SHARED / "reference"
pytestmark = pytest.mark.skipif(
    not (REFERENCE / "imagenet-p" / "resized-0.png").exists(), reason="no shared reference frames"
)


def load(name: str) -> torch.Tensor:
    pil = pytest.importorskip("PIL.Image")
    pixels = np.array(pil.open(REFERENCE / f"{name}.png").convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def cropped(image: torch.Tensor) -> torch.Tensor:
    top, left = ((side - 224) // 2 for side in image.shape[-2:])
    return image[..., top : top + 224, left : left + 224]


def difference(first: torch.Tensor, second: torch.Tensor) -> float:
    return (first.double() - second.double()).abs().mean().item()


def truncated_motion_blur(image: torch.Tensor) -> Iterator[torch.Tensor]:
    """The stored frames come from a re-implementation that truncates; ImageMagick rounds."""
    for frame in range(31):
        yield blur.motion_blur(image.float(), 10, 3, (frame - 30) * 4).floor()


GEOMETRIC: dict[str, tuple[float, Callable[[torch.Tensor], Any]]] = {
    "rotate": (0.01, lambda image: geometry.rotate(image, count=31)),
    "scale": (0.01, lambda image: geometry.scale(image, start=40.0, step=2.5, count=31)),
    "tilt": (0.01, lambda image: geometry.tilt(image, step=1.0, count=31)),
    "translate": (0.0, lambda image: geometry.translate(image, start=-20, count=41)),
}
POINTWISE: dict[str, tuple[float, Callable[[torch.Tensor], Any]]] = {
    "brightness": (0.01, lambda image: weather.brightness(image, percent=2.0, count=31)),
    "motion_blur": (0.01, truncated_motion_blur),
}


@pytest.mark.parametrize("name", GEOMETRIC | POINTWISE)
def test_frames_equal_the_official_generator(name: str) -> None:
    clean = load("imagenet-p/resized-0")
    limit, make = (GEOMETRIC | POINTWISE)[name]
    frames = make(clean if name in GEOMETRIC else cropped(clean))
    stored = {int(p.name.split("-")[1]) for p in REFERENCE.glob(f"imagenet-p/{name}-*-0.png")}
    assert len(stored) == 4
    for index, frame in enumerate(frames):
        if index in stored:
            wanted = load(f"imagenet-p/{name}-{index:02d}-0")
            assert difference(cropped(frame), wanted) <= limit


def test_zoom_blur_equals_the_official_generator() -> None:
    frames = list(blur.zoom_blur(load("imagenet-p/resized-0"), step=0.004, count=31))
    for index in (0, 1, 15, 30):
        wanted = load(f"imagenet-p/zoom_blur-{index:02d}-0")
        assert difference(cropped(frames[index]), wanted) <= 0.01


@pytest.mark.parametrize("angle", (-30, 0, 20))
@pytest.mark.parametrize("severity", (1, 2, 3, 4, 5))
def test_motion_blur_equals_the_stored_corruptions(severity: int, angle: int) -> None:
    radius, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[severity - 1]
    clean = load("imagenet-c/clean-0").float()
    wanted = load(f"imagenet-c/motion_blur-{severity}-angle{angle:+d}-0")
    found = blur.motion_blur(clean, radius, sigma, angle)
    assert difference(found.floor(), wanted) <= 0.01
    assert difference(round_half_up(found), wanted) <= 1.0
