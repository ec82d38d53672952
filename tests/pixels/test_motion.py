"""ImageMagick's motion blur against stored corruptions, kept in the shared folder."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nsbench.pixels import motion
from nsbench.pixels.convert import round_half_up
from nsbench.pixels.motion import motion_blur

Array = np.ndarray[Any, Any]
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


def by_sums(image: Array, radius: float, sigma: float, angle: float) -> Array:
    """ImageMagick's blur of (H, W) values, tap by tap, in float64 and not rounded."""
    height, width = image.shape
    y, x = np.mgrid[:height, :width]
    taps = np.arange(2 * math.ceil(radius) + 1)
    weights = np.exp(-(taps**2) / (2 * sigma**2))
    total = np.zeros(image.shape)
    for tap, weight in zip(taps, weights / weights.sum(), strict=True):
        down = math.ceil(tap * math.sin(math.radians(angle)) - 0.5)
        across = math.ceil(tap * math.cos(math.radians(angle)) - 0.5)
        total += weight * image[(y + down).clip(0, height - 1), (x + across).clip(0, width - 1)]
    return total


ANGLES = [-40.0, 7.0, 100.0]


@pytest.mark.parametrize(("radius", "sigma"), [*LEVELS, (6, 1.5), (2.5, 1)])
def test_motion_blur_equals_sums_over_taps(radius: float, sigma: float) -> None:
    """One angle for all images, and one for each."""
    images = torch.randint(0, 256, (3, 2, 40, 48), generator=torch.Generator().manual_seed(0))
    each = motion_blur(images.float(), radius, sigma, ANGLES)
    for number, angle in enumerate(ANGLES):
        (alone,) = motion_blur(images[number : number + 1].float(), radius, sigma, [angle])
        assert torch.equal(alone, each[number])
        wanted = np.stack([by_sums(p, radius, sigma, angle) for p in images[number].numpy()])
        # Weights are rounded to multiples of 2^-16.
        assert np.abs(alone.numpy() - wanted).max() < 255 * 2**-12
        rounded = round_half_up(alone).numpy().astype(int)
        assert (rounded == np.floor(wanted + 0.5)).mean() > 0.99


def test_kernels_of_several_angles_are_gathered_as_they_are_shifted() -> None:
    """What other devices do."""
    images = torch.randint(0, 256, (3, 2, 20, 30), generator=torch.Generator().manual_seed(1))
    padded = torch.nn.functional.pad(images.float(), (12,) * 4, mode="replicate")
    kernels = [motion.motion_kernel(6, 1.5, angle) for angle in ANGLES]
    found = motion._gathered(padded, 12, kernels)
    assert torch.equal(found, motion_blur(images.float(), 6, 1.5, ANGLES))
