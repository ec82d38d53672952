"""The sequences against frames of the official generator at 224 px, kept in the shared folder."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from nsbench import perturbations

SHARED = Path(os.environ.get("NSBENCH_SHARED", Path(__file__).parents[3] / "shared"))
REFERENCE = SHARED / "reference" / "imagenet-p"
pytestmark = pytest.mark.skipif(
    not (REFERENCE / "resized-0.png").exists(), reason="no shared reference frames"
)

# Mean absolute difference in levels. The stored motion blur comes from a re-implementation that
# truncates where ImageMagick rounds, and tilt was made by OpenCV with its own rounding.
LIMITS = {
    "rotate": 0.001,
    "scale": 0.001,
    "shear": 0.001,
    "translate": 0.0,
    "tilt": 0.001,
    "brightness": 0.001,
    "motion_blur": 0.51,
    "zoom_blur": 0.001,
}


def load(name: str) -> torch.Tensor:
    pil = pytest.importorskip("PIL.Image")
    pixels = np.array(pil.open(REFERENCE / f"{name}.png").convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


@pytest.mark.parametrize("name", LIMITS)
def test_frames_equal_the_official_generator(name: str) -> None:
    last = perturbations.frame_count(name, 224) - 1
    frames = list(perturbations.frames(load("resized-0"), name, ids=["0"]))
    for index in (0, 1, last // 2, last):
        wanted = load(f"{name}-{index:02d}-0").int()
        difference = (frames[index].int() - wanted).abs()
        assert difference.double().mean().item() <= LIMITS[name]
        assert difference.max() <= 1
