"""Each sequence without draws against the libraries that the official scripts call."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nsbench import perturbations

Array = np.ndarray[Any, Any]
functional = pytest.importorskip("torchvision.transforms.functional")


def structured(height: int, width: int | None = None) -> Array:
    """Ramps, a bright and a black box and a thin line, so that directions and edges show."""
    width = width or height
    y, x = np.mgrid[:height, :width] * 32 / height
    image = np.stack([x * 8, y * 8, (x + y) * 4], -1).clip(0, 255).astype(np.uint8)
    image[height // 8 : height // 3, width // 10 : width // 2] = 255
    image[height * 5 // 8 : height * 9 // 10, width * 9 // 16 : width * 3 // 4] = 0
    image[:, width * 27 // 32] = (250, 10, 130)
    return image


RNG = np.random.default_rng(1)
SMALL = [structured(32), *RNG.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)]
SOURCES: dict[int, list[Array]] = {
    32: SMALL,
    64: [structured(64, 85), RNG.integers(0, 256, (64, 85, 3), dtype=np.uint8)],
    224: [structured(256, 341), RNG.integers(0, 256, (256, 341, 3), dtype=np.uint8)],
}
CHECKED = {32: range(31), 64: (0, 1, 7, 15, 20, 30), 224: (0, 1, 15, 22, 30)}


def chosen(name: str, size: int) -> Iterator[tuple[int, Array]]:
    """Numbers and frames that are checked, each int (images, S, S, 3)."""
    batch = torch.from_numpy(np.stack(SOURCES[size])).permute(0, 3, 1, 2)
    made = perturbations.frames(batch, name, ids=range(len(batch)), size=size)
    for index, frame in enumerate(made):
        if index in CHECKED[size]:
            yield index, frame.permute(0, 2, 3, 1).numpy().astype(int)


def differences(name: str, size: int, frame: Callable[[Array, int], Array]) -> Array:
    """Absolute differences, in levels, to what `frame` makes of each source image."""
    found = []
    for index, made in chosen(name, size):
        wanted = np.stack([frame(image, index) for image in SOURCES[size]]).astype(int)
        found.append(np.abs(made - wanted))
    assert len(found) > 4
    return np.stack(found)


def cropped(image: Array, size: int) -> Array:
    return np.array(functional.center_crop(Image.fromarray(image), [size, size]))


def torchvision_affine(image: Array, **change: Any) -> Array:
    settings = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]} | change
    bilinear = functional.InterpolationMode.BILINEAR
    settings = {"interpolation": bilinear} | settings
    return np.array(functional.affine(Image.fromarray(image), **settings))


NEAREST = functional.InterpolationMode.NEAREST
SHIFT = {224: -20, 64: -15, 32: -7}
SCALE = {224: (40, 2.5), 64: (40, 2.5), 32: (70, 2)}
AFFINE: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "translate": lambda i, s: {"translate": [i + SHIFT[s], 0], "interpolation": NEAREST},
    "rotate": lambda i, s: {"angle": float(i - 15)},
    "scale": lambda i, s: {"scale": (i * SCALE[s][1] + SCALE[s][0]) / 100.0},
    "shear": lambda i, s: {"shear": [float(i - 15), 0.0]},
}


@pytest.mark.parametrize("size", SOURCES)
@pytest.mark.parametrize("name", AFFINE)
def test_affine_sequences_equal_torchvision(name: str, size: int) -> None:
    def frame(image: Array, i: int) -> Array:
        return cropped(torchvision_affine(image, **AFFINE[name](i, size)), size)

    difference = differences(name, size, frame)
    # Other versions may differ in a coordinate's last bit, and so in a truncated pixel.
    assert difference.max() <= 1
    assert difference.mean() < 1e-3


def test_translate_moves_content_right_over_black() -> None:
    *_, (_, last) = chosen("translate", 32)
    assert np.array_equal(last[0, :, 8:], SMALL[0][:, :-8])
    assert not last[0, :, :8].any()


@pytest.mark.parametrize("size", SOURCES)
def test_zoom_blur_equals_torchvision(size: int) -> None:
    image = SOURCES[size][0]
    total, frames = functional.to_tensor(cropped(image, size)), dict(chosen("zoom_blur", size))
    assert np.array_equal(frames[0][0], cropped(image, size))
    for i in range(1, 31):
        larger = torchvision_affine(image, scale=1 + 0.004 * i)
        total = total + functional.to_tensor(cropped(larger, size))
        if i in frames:
            wanted = np.array(functional.to_pil_image(total / (i + 1))).astype(int)
            assert np.abs(frames[i][0] - wanted).mean() < 1e-3


def tilted(size: int, step: float, i: int) -> Array:
    """The matrix of a frame by the script's product, from the image to the tilted one."""
    height, width = SOURCES[size][0].shape[:2]
    angle, f = math.radians(step * (i - 15)), math.hypot(width, height)
    c, s = math.cos(angle), math.sin(angle)
    p1 = [[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1], [0, 0, 1]]
    rx = [[1, 0, 0, 0], [0, c, -s, 0], [0, s, c, 0], [0, 0, 0, 1]]
    ry = [[c, 0, -s, 0], [0, 1, 0, 0], [s, 0, c, 0], [0, 0, 0, 1]]
    shift = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, f], [0, 0, 0, 1]]
    p2 = [[f, 0, width / 2, 0], [0, f, height / 2, 0], [0, 0, 1, 0]]
    return np.asarray(np.linalg.multi_dot([np.array(m, float) for m in (p2, shift, rx, ry, p1)]))


TILTS = [(32, 0.75), (64, 1.0), (224, 1.0)]


@pytest.mark.parametrize(("size", "step"), TILTS)
def test_tilt_equals_bilinear_interpolation(size: int, step: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")

    def frame(image: Array, i: int) -> Array:
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        points = np.linalg.inv(tilted(size, step, i)) @ np.stack([x, y, 1 + 0 * x]).reshape(3, -1)
        places = (points[1::-1] / points[2]).reshape(2, *x.shape)
        # beyond its border the image goes on in black
        planes = [
            ndimage.map_coordinates(plane.astype(float), places, order=1, mode="grid-constant")
            for plane in image.transpose(2, 0, 1)
        ]
        return cropped(np.rint(np.stack(planes, -1)).astype(np.uint8), size)

    difference = differences("tilt", size, frame)
    assert difference.max() <= 1
    assert difference.mean() < 1e-3


@pytest.mark.parametrize(("size", "step"), TILTS)
def test_tilt_equals_opencv(size: int, step: float, monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2")
    # OpenCV before 5 rounds coordinates to 1/32 pixel, which hardly shows in a smooth image.
    y, x = np.mgrid[: SOURCES[size][0].shape[0], : SOURCES[size][0].shape[1]]
    smooth = np.stack([128 + 100 * np.sin(x / 9), 128 + 100 * np.cos(y / 9), (x + y) % 1 + 99], -1)
    monkeypatch.setitem(SOURCES, size, [smooth.astype(np.uint8)])

    def frame(image: Array, i: int) -> Array:
        whole = cv2.warpPerspective(image, tilted(size, step, i), image.shape[1::-1])
        return cropped(whole, size)

    assert differences("tilt", size, frame).mean() < 0.2


@pytest.mark.parametrize(("size", "percent"), [(32, 1.5), (64, 2), (224, 2)])
def test_brightness_equals_scikit_image(size: int, percent: float) -> None:
    color = pytest.importorskip("skimage.color")

    def frame(image: Array, i: int) -> Array:
        hsv = color.rgb2hsv(cropped(image, size) / 255.0)
        hsv[..., 2] = np.clip(hsv[..., 2] + (i - 15) * percent / 100, 0, 1)
        return np.asarray(color.hsv2rgb(hsv) * 255, dtype=np.uint8)

    difference = differences("brightness", size, frame)
    assert difference.max() <= 1
    assert difference.mean() < 1e-3


@pytest.mark.parametrize(
    ("size", "start", "step", "truncate"),
    [(32, 0.3, 0.015, 7.0), (64, 0.35, 0.014, 7.0), (224, 0.25, 0.035, 6.0)],
)
def test_gaussian_blur_equals_scikit_image(
    size: int, start: float, step: float, truncate: float
) -> None:
    filters = pytest.importorskip("skimage.filters")

    def frame(image: Array, i: int) -> Array:
        unit, sigma = cropped(image, size) / 255.0, start + step * i
        made = filters.gaussian(unit, sigma=sigma, truncate=truncate, channel_axis=-1)
        return np.asarray(255 * made).astype(np.uint8)

    difference = differences("gaussian_blur", size, frame)
    assert difference.max() <= 1
    assert difference.mean() < 1e-3


def blurred(image: Array, radius: int, sigma: float, angle: float) -> Array:
    """ImageMagick's motion blur of an 8-bit image, tap by tap."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    taps = range(2 * radius + 1)
    weights = [math.exp(-j * j / (2 * sigma * sigma)) for j in taps]
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    result = np.zeros(image.shape)
    for j, weight in zip(taps, weights, strict=True):
        rows = (y + math.ceil(j * sin - 0.5)).clip(0, height - 1)
        result += weight * image[rows, (x + math.ceil(j * cos - 0.5)).clip(0, width - 1)]
    return np.floor(result / sum(weights) + 0.5).astype(np.uint8)


@pytest.mark.parametrize(
    ("size", "radius", "sigma", "step", "last"),
    [(32, 6, 1.8, 9, 20), (64, 10, 1.0, 5, 30), (224, 10, 3.0, 4, 30)],
)
def test_motion_blur_equals_sums_over_taps(
    size: int, radius: int, sigma: float, step: int, last: int
) -> None:
    for i, frame in chosen("motion_blur", size):
        if (i - last) * step % 30:  # where rounding errors decide an offset, or none
            wanted = blurred(cropped(SOURCES[size][0], size), radius, sigma, (i - last) * step)
            assert np.abs(frame[0] - wanted.astype(int)).mean() < 1e-2
