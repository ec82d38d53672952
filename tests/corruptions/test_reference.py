"""Against the output of the original generator at 224 px, kept in the shared folder."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import center_crop, resize

from nsbench.corruptions import NAMES, apply, corrupt

Statistics = dict[str, tuple[float, float]]
EXACT = {  # the largest mean difference measured, rounded up
    "defocus_blur": 0.04, "zoom_blur": 0.001, "brightness": 0.05, "contrast": 0.001,
    "pixelate": 0.0, "jpeg_compression": 0.0, "gaussian_blur": 0.001, "saturate": 0.2,
}  # fmt: skip
RANDOM = (
    "gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow", "frost",
    "fog", "elastic_transform", "speckle_noise", "spatter",
)  # fmt: skip
# One draw of 40 images has a wide spread here, and so has the one draw of the reference.
WIDE = {"frost": 6, "fog": 6, "elastic_transform": 6, "spatter": 6}
TOLERANCE = {"frost": 0.25, "fog": 0.25}
FREQUENCY = torch.fft.fftfreq(224, dtype=torch.float64)
BAND = ((FREQUENCY[:, None] ** 2 + FREQUENCY**2).sqrt() * 16).floor().long().clamp(max=7)


@pytest.fixture(scope="module")
def reference(shared: Path) -> Path:
    return shared / "reference" / "imagenet-c"


def load(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)


@pytest.mark.parametrize("severity", (1, 2, 3, 4, 5))
@pytest.mark.parametrize("name", EXACT)
def test_fixed_corruptions_equal_the_original(name: str, severity: int, reference: Path) -> None:
    clean = torch.stack([load(reference / f"clean-{k}.png") for k in (0, 1)])
    wanted = torch.stack([load(reference / f"{name}-{severity}-{k}.png") for k in (0, 1)])
    found = corrupt(clean, name, severity, ids=[0, 1])
    difference = (found.int() - wanted.int()).abs()
    assert difference.max() <= 1
    assert difference.double().mean((1, 2, 3)).max() <= EXACT[name]


@pytest.mark.parametrize("angle", (-30, 0, 20))
@pytest.mark.parametrize("severity", (1, 2, 3, 4, 5))
def test_motion_blur_equals_the_original(severity: int, angle: int, reference: Path) -> None:
    clean = load(reference / "clean-0.png")[None]
    wanted = load(reference / f"motion_blur-{severity}-angle{angle:+d}-0.png")
    found = apply(clean, "motion_blur", severity, [float(angle)])[0]
    # The stored pictures were truncated, while ImageMagick rounds.
    assert (found.double() - wanted.double()).abs().mean() <= 0.52
    assert ((found.int() - wanted.int()) >= 0).double().mean() >= 0.99
    assert (found.int() - wanted.int()).abs().max() <= 1


@lru_cache(maxsize=1)
def clean_images(shared: Path, names: tuple[str, ...]) -> torch.Tensor:
    files = [next((shared / "data" / "imagenet-sample").glob(f"*/{name}")) for name in names]
    crops = [center_crop(resize(Image.open(file).convert("RGB"), 256), 224) for file in files]
    return torch.from_numpy(np.stack([np.array(crop) for crop in crops])).permute(0, 3, 1, 2)


def statistics(changed: torch.Tensor, clean: torch.Tensor) -> tuple[Statistics, torch.Tensor]:
    """Mean and standard error of each statistic, and the power of the change in eight bands."""
    values = changed.double()
    change = values - clean
    each = {
        "mae": change.abs().mean((1, 2, 3)),
        "rms": change.square().mean((1, 2, 3)).sqrt(),
        "mean": values.mean((1, 2, 3)),
        "std": values.flatten(1).std(1, correction=0),
        "grad": values.mean(1).diff(dim=-1).abs().mean((1, 2)),
    }
    power = torch.fft.fft2(change.mean(1)).abs().square() / 224**2
    bands = torch.stack([power[:, band == BAND].mean() for band in range(8)])
    found = {k: (v.mean().item(), (v.std() / len(v) ** 0.5).item()) for k, v in each.items()}
    return found, bands


@pytest.mark.parametrize("severity", (1, 2, 3, 4, 5))
@pytest.mark.parametrize("name", RANDOM)
def test_random_corruptions_have_the_statistics_of_the_original(
    name: str, severity: int, reference: Path, shared: Path
) -> None:
    stats: dict[str, Any] = json.loads((reference / "stats.json").read_text())
    clean = clean_images(shared, tuple(stats["images"]))
    wanted = stats["corruptions"][name][str(severity)]
    draws = [
        statistics(corrupt(clean, name, severity, ids=stats["images"], seed=seed), clean)
        for seed in range(WIDE.get(name, 1))
    ]
    for key in draws[0][0]:
        value = float(np.mean([found[key][0] for found, _ in draws]))
        error = np.hypot(draws[0][0][key][1], wanted[key][1])
        assert abs(value - wanted[key][0]) <= max(0.03 * wanted[key][0], 3 * error), key
    bands = torch.stack([found for _, found in draws])
    ratio = bands.mean(0) / torch.tensor(wanted["spectrum"], dtype=torch.float64)
    limit = torch.full((8,), 0.12, dtype=torch.float64)
    if name in WIDE:  # three deviations of the reference's own draw
        limit = (3 * bands.std(0) / bands.mean(0)).clamp(min=TOLERANCE.get(name, 0.12))
    assert ((ratio - 1).abs() <= limit).all(), ratio


def test_the_reference_covers_every_corruption(reference: Path) -> None:
    stats = json.loads((reference / "stats.json").read_text())
    assert set(stats["corruptions"]) == {*EXACT, *RANDOM}
    assert set(NAMES) <= set(stats["corruptions"])
