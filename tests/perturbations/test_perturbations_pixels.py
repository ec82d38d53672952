"""Each sequence without free noise against the libraries that the official script calls."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nsbench import perturbations
from nsbench.randomness import generator

Array = np.ndarray[Any, Any]
functional = pytest.importorskip("torchvision.transforms.functional")


def structured() -> Array:
    """Ramps, a bright and a black box and a thin line, so that directions and edges show."""
    y, x = np.mgrid[:32, :32]
    image = np.stack([x * 8, y * 8, (x + y) * 4], -1).astype(np.uint8)
    image[4:10, 3:12] = 255
    image[20:29, 18:24] = 0
    image[:, 27] = (250, 10, 130)
    return image


IMAGES = [structured(), *np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)]
IDS = [f"image {number}" for number in range(4)]


def made(name: str) -> Array:
    """All frames, int (frames, images, 32, 32, 3)."""
    batch = torch.from_numpy(np.stack(IMAGES)).permute(0, 3, 1, 2)
    stacked = torch.stack(list(perturbations.frames(batch, name, ids=IDS)))
    return stacked.permute(0, 1, 3, 4, 2).numpy().astype(int)


def expected(frame: Callable[[Array, int], Array], name: str) -> Array:
    count = perturbations.frame_count(name)
    return np.stack([[frame(image, i) for image in IMAGES] for i in range(count)]).astype(int)


def torchvision_affine(image: Array, **change: Any) -> Array:
    settings = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0]} | change
    bilinear = functional.InterpolationMode.BILINEAR
    return np.array(functional.affine(Image.fromarray(image), interpolation=bilinear, **settings))


AFFINE: dict[str, Callable[[int], dict[str, Any]]] = {
    "translate": lambda i: {"translate": [i - 7, 0]},
    "rotate": lambda i: {"angle": float(i - 15)},
    "scale": lambda i: {"scale": (i * 2 + 70) / 100.0},
}


@pytest.mark.parametrize("name", AFFINE)
def test_affine_sequences_equal_torchvision(name: str) -> None:
    wanted = expected(lambda image, i: torchvision_affine(image, **AFFINE[name](i)), name)
    # Other versions may differ in a coordinate's last bit, and so in a truncated pixel.
    difference = np.abs(made(name) - wanted)
    assert difference.max() <= 1
    assert difference.mean() < 1e-3


def test_translate_moves_content_right_over_black() -> None:
    last = made("translate")[15, 0]
    assert np.array_equal(last[:, 8:], IMAGES[0][:, :-8])
    assert not last[:, :8].any()


def test_zoom_blur_equals_torchvision() -> None:
    for image, sequence in zip(IMAGES, made("zoom_blur").swapaxes(0, 1), strict=True):
        total = functional.to_tensor(image)
        for i in range(1, 31):
            total = total + functional.to_tensor(torchvision_affine(image, scale=1 + 0.004 * i))
            wanted = np.array(functional.to_pil_image(total / (i + 1))).astype(int)
            assert np.abs(sequence[i] - wanted).mean() < 1e-3


def test_tilt_equals_opencv() -> None:
    cv2 = pytest.importorskip("cv2")

    def frame(image: Array, i: int) -> Array:
        c, s, f = math.cos(t := math.radians(0.75 * (i - 15))), math.sin(t), 32 * 2**0.5
        p1 = [[1, 0, -16], [0, 1, -16], [0, 0, 1], [0, 0, 1]]
        rx = [[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]]
        ry = [[c, 0, -s, 0], [0, 1, 0, 0], [s, 0, c, 0], [0, 0, 0, 1]]
        shift = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, f], [0, 0, 0, 1]]
        p2 = [[f, 0, 16, 0], [0, f, 16, 0], [0, 0, 1, 0]]
        matrix = np.linalg.multi_dot([np.array(m, float) for m in (p2, shift, rx, ry, p1)])
        warped: Array = cv2.warpPerspective(image, matrix, (32, 32))
        return warped

    # OpenCV before 5 rounds coordinates to 1/32 pixel, which can move a noise pixel by 16.
    assert np.abs(made("tilt") - expected(frame, "tilt")).mean() < 1.5


def test_brightness_equals_scikit_image() -> None:
    color = pytest.importorskip("skimage.color")

    def frame(image: Array, i: int) -> Array:
        hsv = color.rgb2hsv(image / 255.0)
        hsv[..., 2] = np.clip(hsv[..., 2] + (i - 15) * 1.5 / 100, 0, 1)
        return np.asarray(color.hsv2rgb(hsv) * 255, dtype=np.uint8)

    difference = np.abs(made("brightness") - expected(frame, "brightness"))
    assert difference.max() <= 1
    assert difference.mean() < 1e-3


def blurred(image: Array, radius: int, sigma: float, angle: float) -> Array:
    """ImageMagick's motion blur of an 8-bit image, pixel by pixel."""
    taps = 2 * radius + 1
    weights = [math.exp(-j * j / (2 * sigma * sigma)) for j in range(taps)]
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    result = np.zeros(image.shape)
    for y, x in np.ndindex(32, 32):
        for j, weight in enumerate(weights):
            row = min(max(y + math.ceil(j * sin - 0.5), 0), 31)
            column = min(max(x + math.ceil(j * cos - 0.5), 0), 31)
            result[y, x] += weight * image[row, column]
    return np.floor(result / sum(weights) + 0.5).astype(np.uint8)


def test_motion_blur_equals_a_pixel_loop() -> None:
    frames = made("motion_blur")
    for i in (0, 3, 10, 16, 20):
        wanted = blurred(IMAGES[0], 6, 1.8, (i - 20) * 9).astype(int)
        assert np.abs(frames[i, 0] - wanted).mean() < 1e-2


def test_snow_equals_the_script_on_the_same_flakes() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    drawn = generator(0, IDS[0], "sequence/snow").normal(0.05, 0.3, (32, 32))
    zoomed = ndimage.zoom(drawn[8:24, 8:24], 2, order=1)
    flakes = (np.where(zoomed < 0.5, 0, zoomed).clip(0, 1) * 255).astype(np.uint8)
    frames = made("snow")
    for i in (1, 13, 29):  # not 30 or 150 degrees, where rounding errors decide an offset
        layer = blurred(flakes, 10, 2.0, i * 4 - 150)[..., None] / 255.0
        unit = IMAGES[0] / 255.0
        grey = (unit @ [0.299, 0.587, 0.114])[..., None] * 1.5 + 0.5
        white = 0.85 * unit + (1 - 0.85) * np.maximum(unit, grey)
        wanted = (np.clip(white + layer + np.rot90(layer, 2), 0, 1) * 255).astype(np.uint8)
        assert np.abs(frames[i, 0] - wanted.astype(int)).mean() < 1e-2
