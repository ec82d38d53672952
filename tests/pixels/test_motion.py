"""ImageMagick's motion blur against stored corruptions, kept in the shared folder."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nsbench.pixels.convert import round_half_up
from nsbench.pixels.motion import motion_blur

LEVELS = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))


def difference(first: torch.Tensor, second: torch.Tensor) -> float:
    return (first.double() - second.double()).abs().mean().item()


@pytest.mark.parametrize("angle", (-30, 0, 20))
@pytest.mark.parametrize("severity", (1, 2, 3, 4, 5))
def test_motion_blur_equals_the_stored_corruptions(shared: Path, severity: int, angle: int) -> None:
    folder = shared / "reference" / "imagenet-c"
    if not folder.is_dir():
        pytest.skip("no shared reference images")

    def load(name: str) -> torch.Tensor:
        pixels = np.array(Image.open(folder / f"{name}.png").convert("RGB"))
        return torch.from_numpy(pixels).permute(2, 0, 1)[None]

    wanted = load(f"motion_blur-{severity}-angle{angle:+d}-0")
    found = motion_blur(load("clean-0").float(), *LEVELS[severity - 1], [angle])
    # The stored images come from a re-implementation that truncates; ImageMagick rounds.
    assert difference(found.floor(), wanted) <= 0.01
    assert difference(round_half_up(found), wanted) <= 1.0
