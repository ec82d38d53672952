"""Noise by its spread; snow and spatter against transcriptions of the script on the same draws."""

from itertools import islice, product
from typing import Any

import numpy as np
import pytest
import torch

from nsbench import perturbations
from nsbench.perturbations import _batch
from nsbench.perturbations.weather import run_down
from nsbench.pixels.draws import Draws
from tests.perturbations.test_perturbations_pixels import blurred, structured

Array = np.ndarray[Any, Any]
GREY = 128 / 255
SPREADS = [  # of a grey image on the [0, 1] scale
    *(("gaussian_noise", 224, d, s) for d, s in ((1, 0.03), (2, 0.05), (3, 0.08))),
    *(("shot_noise", 224, d, (GREY / c) ** 0.5) for d, c in ((1, 300), (2, 120), (3, 60))),
    *(("speckle_noise", 224, d, GREY * s) for d, s in ((1, 0.05), (2, 0.1), (3, 0.15))),
    *(("gaussian_noise", 64, d, s) for d, s in ((1, 0.025), (2, 0.05), (3, 0.075))),
    *(("shot_noise", 64, d, (GREY / c) ** 0.5) for d, c in ((1, 500), (2, 250), (3, 125))),
    *(("speckle_noise", 64, d, GREY * s) for d, s in ((1, 0.05), (2, 0.1), (3, 0.15))),
    *(("gaussian_noise", 32, d, s) for d, s in ((1, 0.02), (2, 0.04), (3, 0.06))),
    *(("shot_noise", 32, d, (GREY / c) ** 0.5) for d, c in ((1, 700), (2, 400), (3, 200))),
    *(("speckle_noise", 32, d, GREY * s) for d, s in ((1, 0.05), (2, 0.07), (3, 0.1))),
]


def drawn(name: str, image_id: str, *shape: int) -> torch.Tensor:
    """The normal field that a sequence begins with."""
    return Draws([image_id], 0, f"sequence/{name}/1", torch.device("cpu")).normal(*shape)[0]


@pytest.mark.parametrize(("name", "size", "difficulty", "spread"), SPREADS)
def test_noise_has_the_documented_spread(
    name: str, size: int, difficulty: int, spread: float
) -> None:
    grey = torch.full((max(1, 64 // size), 3, size, size), 128, dtype=torch.uint8)
    ids = list(range(len(grey)))
    made = perturbations.frames(grey, name, ids=ids, difficulty=difficulty, size=size)
    frames = torch.stack([frame for frame, _ in zip(made, range(9), strict=False)][1:]).double()
    # Truncation lowers the mean by half a step and adds the variance of a uniform step.
    assert frames.mean().item() == pytest.approx(127.5, abs=0.25)
    assert frames.std().item() == pytest.approx(((255 * spread) ** 2 + 1 / 12) ** 0.5, rel=0.02)


@pytest.mark.parametrize("name", ("gaussian_noise", "shot_noise", "speckle_noise"))
def test_noise_is_fresh_in_every_image_and_frame(name: str) -> None:
    grey = torch.full((8, 3, 32, 32), 128, dtype=torch.uint8)
    made = torch.stack(list(perturbations.frames(grey, name, ids=range(8))))[1:].double()
    noise = (made - made.mean()).reshape(8 * 30, -1)
    overlap = (noise @ noise.T) / (noise.shape[1] * made.var())
    assert (overlap - torch.eye(8 * 30)).abs().max().item() < 0.12


def test_each_sequence_difficulty_seed_and_image_has_a_stream_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bytes] = []

    class Kept(Draws):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            seen.extend(row.tobytes() for row in self._streams)

    monkeypatch.setattr(_batch, "Draws", Kept)
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    cells = [(name, d) for name in ("gaussian_noise", "speckle_noise") for d in (1, 2, 3)]
    cells += [("snow", 1), ("spatter", 1)]
    for (name, difficulty), seed in product(cells, (0, 1)):
        made = perturbations.frames(images, name, ids=["a", "b"], seed=seed, difficulty=difficulty)
        list(islice(made, 2))
    assert len(seen) == len(set(seen)) == len(cells) * 2 * 2


def frames_of(name: str, image: Array) -> Array:
    """Frames of one image with id "a", int (frames, S, S, 3)."""
    batch = torch.from_numpy(image).permute(2, 0, 1)[None]
    made = torch.cat(list(perturbations.frames(batch, name, ids=["a"])))
    return made.permute(0, 2, 3, 1).numpy().astype(int)


@pytest.mark.parametrize(
    ("size", "std", "zoom", "radius", "sigma"),
    [(32, 0.3, 2, 10, 2.0), (64, 0.28, 2, 10, 2.5), (224, 0.3, 3, 14, 4.0)],
)
def test_snow_equals_the_script_on_the_same_flakes(
    size: int, std: float, zoom: int, radius: int, sigma: float
) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    image = structured(size)
    layer = drawn("snow", "a", 1, size, size)[0].double().numpy() * std + 0.05
    cut = -(-size // zoom)
    top = (size - cut) // 2
    zoomed = ndimage.zoom(layer[top : top + cut, top : top + cut], zoom, order=1)
    trim = (len(zoomed) - size) // 2
    zoomed = zoomed[trim : trim + size, trim : trim + size]
    flakes = (np.where(zoomed < 0.5, 0, zoomed).clip(0, 1) * 255).astype(np.uint8)
    frames = frames_of("snow", image)
    for i in (1, 13, 29):  # not 30 or 150 degrees, where rounding errors decide an offset
        moved = blurred(flakes, radius, sigma, i * 4 - 150)[..., None] / 255.0
        unit = image / 255.0
        grey = (unit @ [0.299, 0.587, 0.114])[..., None] * 1.5 + 0.5
        white = 0.85 * unit + (1 - 0.85) * np.maximum(unit, grey)
        wanted = (np.clip(white + moved + np.rot90(moved, 2), 0, 1) * 255).astype(np.uint8)
        assert np.abs(frames[i] - wanted.astype(int)).mean() < 1e-2


def water(cv2: Any, image: Array, layer: Array) -> Array:
    """The script's water on an image in [0, 1], back in levels."""
    liquid = (layer * 255).astype(np.uint8)
    distance = cv2.distanceTransform(255 - cv2.Canny(liquid, 50, 150), cv2.DIST_L2, 5)
    distance = cv2.threshold(distance, 20, 20, cv2.THRESH_TRUNC)[1]
    distance = cv2.equalizeHist(cv2.blur(distance, (3, 3)).astype(np.uint8))
    distance = cv2.filter2D(distance, cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]))
    cover = liquid * cv2.blur(distance, (3, 3)).astype(np.float32)
    if cover.any():  # where there is no drop left, the script divides by zero
        cover = cover / cover.max() * np.float32(0.6)
    colour = (np.array([175, 238, 238]) / 255).astype(np.float32)
    return np.asarray(np.clip(image + cover[..., None] * colour, 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "mean", "std", "sigma", "threshold", "flow"),
    [
        (32, 0.6, 0.265, 1.75, 0.7, [0.2, 0.8]),
        (64, 0.6, 0.25, 1.75, 0.7, [0.2, 0.8]),
        (224, 0.65, 0.27, 3.7, 0.69, [0.05, 0.1, 0.15, 0.7]),
    ],
)
def test_spatter_equals_the_script_on_the_same_noise(
    size: int, mean: float, std: float, sigma: float, threshold: float, flow: list[float]
) -> None:
    cv2, filters = pytest.importorskip("cv2"), pytest.importorskip("skimage.filters")
    image = structured(size)
    noise = drawn("spatter", "a", size, size).double().numpy() * std + mean
    layer = filters.gaussian(noise, sigma=sigma)
    layer[layer < threshold] = 0
    assert layer.any()
    for frame in frames_of("spatter", image):
        wanted = water(cv2, image.astype(np.float32) / np.float32(255), layer)
        assert np.abs(frame - wanted.astype(int)).mean() < 1e-2
        layer = np.apply_along_axis(lambda column: np.convolve(column, flow, "same"), 0, layer)


@pytest.mark.parametrize("flow", [(0.2, 0.8), (0.05, 0.1, 0.15, 0.7), (0.1, 0.2, 0.7)])
def test_liquid_runs_down_as_numpy_convolves(flow: tuple[float, ...]) -> None:
    layer = torch.rand(2, 9, 4, dtype=torch.float64)
    wanted = np.apply_along_axis(lambda column: np.convolve(column, flow, "same"), 1, layer.numpy())
    assert np.allclose(run_down(layer, flow).numpy(), wanted)
