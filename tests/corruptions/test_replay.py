"""Each random corruption against a direct transcription of the original, on the same draws.

The transcriptions call the libraries that the original calls: NumPy, SciPy, scikit-image, OpenCV.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nsbench.corruptions import NAMES, _frost, apply, blur, draw, noise, weather
from nsbench.corruptions._box import box_resize
from nsbench.corruptions._jpeg import jpeg
from nsbench.corruptions._tables import TABLES
from nsbench.corruptions.digital import (
    jpeg_compression,
    pixelate,
    recode_by_pillow,
    recode_by_torchvision,
)
from nsbench.pixels import motion

Array = np.ndarray[Any, Any]
CPU = torch.device("cpu")
SIZE = 64


def picture(size: int = SIZE) -> torch.Tensor:
    y, x = np.mgrid[:size, :size] / size
    image = np.stack([x, y, 0.5 + 0.5 * np.sin(20 * x * y)])
    image[:, size // 3 : size // 2, size // 4 : size // 2] = 1
    noise = np.random.default_rng(3).random(image.shape)
    return torch.from_numpy((255 * (0.8 * image + 0.2 * noise)).astype(np.uint8))


def replay(name: str, severity: int, size: int = SIZE) -> tuple[Any, Array, Array]:
    """What was drawn for one image, the image on the [0, 1] scale, and the result in 0..255."""
    image = picture(size)
    drawn = draw(name, severity, ["a"], shape=(size, size), device=CPU)
    changed = apply(image[None], name, severity, drawn)[0]
    hwc = image.permute(1, 2, 0).numpy()
    return drawn, hwc / 255.0, changed.permute(1, 2, 0).numpy().astype(int)


def pixels(unit: Array) -> Array:
    return bytes_of(unit).astype(int)


def bytes_of(unit: Array) -> Array:
    """As np.uint8 does with what lies in [0, 1]: the fraction is dropped."""
    clipped: Array = np.clip(unit, 0, 1) * 255
    return clipped.astype(np.uint8)


def close(found: Array, wanted: Array, share: float = 0.995) -> None:
    difference = np.abs(found - wanted)
    assert difference.max() <= 1
    assert (difference == 0).mean() >= share


@pytest.mark.parametrize(("largest", "size"), [(1, 32), (2, 33), (3, 48), (4, 64), (5, 40)])
def test_shuffling_equals_the_sequential_loop(largest: int, size: int) -> None:
    rng = np.random.default_rng(largest)
    image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    offsets = rng.integers(-largest, largest, (2, size, size), dtype=np.int8)
    batch = torch.from_numpy(image).permute(2, 0, 1)[None]
    found = blur.shuffle(batch, torch.from_numpy(offsets)[None], largest)[0]
    x = image.copy()
    for h in range(size - largest, largest, -1):
        for w in range(size - largest, largest, -1):
            dx, dy = (int(offset) for offset in offsets[:, h, w])
            x[h, w], x[h + dy, w + dx] = x[h + dy, w + dx], x[h, w]
    assert (found.permute(1, 2, 0).numpy() == x).all()


@pytest.mark.parametrize(("name", "severity"), [("glass_blur", 1), ("glass_blur", 5)])
def test_glass_blur_equals_the_original(name: str, severity: int) -> None:
    gaussian = pytest.importorskip("skimage.filters").gaussian
    offsets, unit, found = replay(name, severity)
    sigma, largest, _ = TABLES[name][SIZE][severity - 1]
    x = bytes_of(gaussian(unit, sigma=sigma, channel_axis=-1))
    for step in offsets[0].numpy():
        for h in range(SIZE - largest, largest, -1):
            for w in range(SIZE - largest, largest, -1):
                dx, dy = (int(offset) for offset in step[:, h, w])
                x[h, w] = x[h + dy, w + dx]
    close(found, pixels(gaussian(x / 255.0, sigma=sigma, channel_axis=-1)))


@pytest.mark.parametrize("name", ("gaussian_noise", "speckle_noise"))
def test_normal_noise_equals_the_original(name: str) -> None:
    drawn, unit, found = replay(name, 3)
    scaled = drawn[0].permute(1, 2, 0).numpy() * TABLES[name][SIZE][2]
    close(found, pixels(unit + (unit * scaled if name == "speckle_noise" else scaled)))


def test_impulse_noise_replaces_values_one_by_one() -> None:
    words, unit, found = replay("impulse_noise", 5)
    share = (words[0].permute(1, 2, 0).numpy().astype(float) + 2**31) / 2**32
    amount = TABLES["impulse_noise"][SIZE][4]
    wanted = np.where(share < amount / 2, 0, np.where(share < amount, 1, unit))
    assert (found == pixels(wanted)).all()
    assert (found == 0).mean() == pytest.approx(amount / 2, abs=0.02)


@pytest.mark.parametrize("photons", (3, 60, 500))
def test_the_alias_tables_hold_the_poisson_distribution(photons: int) -> None:
    threshold, values = (table.numpy() for table in noise.alias_tables(photons))
    columns = threshold.shape[1]
    low = 2 ** (32 - columns.bit_length() + 1)
    for value in (0, 1, 100, 255):
        rate = value / 255 * photons
        share = np.zeros(256)
        outcome = values[value].reshape(columns, 2)
        np.add.at(share, outcome[:, 0], threshold[value] / low / columns)
        np.add.at(share, outcome[:, 1], (1 - threshold[value] / low) / columns)
        wanted = np.zeros(256)
        for count in range(columns):
            chance = math.exp(count * math.log(rate) - rate - math.lgamma(count + 1)) if rate else 0
            pixel = int(min(count / photons, 1) * 255)
            wanted[pixel] += chance if rate else float(count == 0)
        assert np.abs(share - wanted).max() < 1e-6


def test_shot_noise_draws_what_the_tables_say() -> None:
    image = torch.full((1, 3, 128, 128), 200, dtype=torch.uint8)
    drawn = draw("shot_noise", 3, ["a"], shape=(128, 128), device=CPU)
    found = noise.shot_noise(image, 12, drawn).double()
    counts = np.random.default_rng(0).poisson(200 / 255 * 12, 10**6)
    wanted = np.uint8(np.clip(counts / 12, 0, 1) * 255)
    assert found.mean().item() == pytest.approx(wanted.mean(), rel=0.01)
    assert found.std().item() == pytest.approx(wanted.std(), rel=0.02)


def plasma(draws: Array, decay: float) -> Array:
    """The diamond-square algorithm of the original; every point takes its own draw."""
    size = len(draws)
    heights = np.zeros((size, size))
    step, wibble = size, 100.0
    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        total = corners + np.roll(corners, -1, 0)
        total = total + np.roll(total, -1, 1)
        heights[half::step, half::step] = total / 4 + wibble**2 * draws[half::step, half::step]
        middle, corners = heights[half::step, half::step], heights[::step, ::step]
        total = middle + np.roll(middle, 1, 0) + corners + np.roll(corners, -1, 1)
        heights[::step, half::step] = total / 4 + wibble**2 * draws[::step, half::step]
        total = middle + np.roll(middle, 1, 1) + corners + np.roll(corners, -1, 0)
        heights[half::step, ::step] = total / 4 + wibble**2 * draws[half::step, ::step]
        step, wibble = half, wibble / decay
    heights = heights - heights.min()
    return np.asarray(heights / heights.max())


def test_fog_equals_the_original() -> None:
    drawn, unit, found = replay("fog", 4)
    amount, decay = TABLES["fog"][SIZE][3]
    clouds = plasma(drawn[0].numpy().astype(float) * 2 - 1, decay)
    assert np.abs(weather.plasma(drawn, decay)[0].numpy() - clouds).max() < 1e-5
    wanted = (unit + amount * clouds[..., None]) * unit.max() / (unit.max() + amount)
    close(found, pixels(wanted))


def blurred(image: Array, radius: float, sigma: float, angle: float) -> Array:
    """ImageMagick's motion blur of an 8-bit image, tap by tap."""
    taps = 2 * math.ceil(radius) + 1
    total, weights = np.zeros(image.shape), 0.0
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    for tap in range(taps):
        weight = math.exp(-(tap**2) / (2 * sigma**2))
        dx = math.ceil(tap * math.cos(math.radians(angle)) - 0.5)
        dy = math.ceil(tap * math.sin(math.radians(angle)) - 0.5)
        rows, columns = (y + dy).clip(0, len(y) - 1), (x + dx).clip(0, len(x) - 1)
        total += weight * image[rows, columns]
        weights += weight
    return np.floor(total / weights + 0.5)


def test_motion_blur_equals_the_original() -> None:
    angles, unit, found = replay("motion_blur", 5)
    close(found, blurred(np.round(unit * 255), 12, 3, angles[0]).astype(int), 0.99)


@pytest.mark.parametrize("severity", (2, 4))
def test_snow_equals_the_original(severity: int) -> None:
    zoom = pytest.importorskip("scipy.ndimage").zoom
    drawn, unit, found = replay("snow", severity)
    mean, std, factor, threshold, radius, sigma, share = TABLES["snow"][SIZE][severity - 1]
    layer = drawn.flakes[0, 0].numpy().astype(float) * std + mean
    cut = math.ceil(SIZE / factor)
    top = (SIZE - cut) // 2
    layer = zoom(layer[top : top + cut, top : top + cut], factor, order=1)
    trim = (len(layer) - SIZE) // 2
    layer = layer[trim : trim + SIZE, trim : trim + SIZE]
    layer = bytes_of(np.where(layer < threshold, 0, layer))
    moved = blurred(layer, radius, sigma, drawn.angles[0])[..., None] / 255
    grey = (unit @ [0.299, 0.587, 0.114])[..., None]
    white = share * unit + (1 - share) * np.maximum(unit, grey * 1.5 + 0.5)
    close(found, pixels(white + moved + np.rot90(moved, 2)), 0.98)


def test_frost_takes_crops_of_the_five_textures() -> None:
    textures = _frost.textures(1.0, 224, 224, CPU)
    assert [tuple(texture.shape[1:]) for texture in textures] == [
        (600, 900), (315, 560), (315, 560), (350, 527), (495, 660),
    ]  # fmt: skip
    drawn = draw("frost", 2, list(range(40)), shape=(224, 224), device=CPU)
    image = picture(224)
    found = apply(image[None], "frost", 2, drawn[:1])[0]
    wanted = np.clip(0.8 * image.numpy() + 0.6 * drawn[0].numpy(), 0, 255).astype(np.uint8)
    assert np.abs(found.numpy().astype(int) - wanted).max() <= 1
    corners = {tuple(crop[:, 0, 0].tolist()) for crop in drawn}
    assert len(corners) > 20


@pytest.mark.parametrize("scale", (0.2, 0.3))
def test_small_frost_is_resized_as_by_opencv(scale: float) -> None:
    cv2 = pytest.importorskip("cv2")
    found = _frost.textures(scale, 32, 32, CPU)[0].permute(1, 2, 0).numpy()
    with Image.open(_frost.folder() / _frost.FILES[0]) as file:
        wanted = cv2.resize(np.array(file.convert("RGB")), (0, 0), fx=scale, fy=scale)
    assert np.abs(found.astype(int) - wanted).max() <= 1


def test_frost_is_enlarged_for_large_images() -> None:
    for texture in _frost.textures(1.0, 640, 480, CPU):
        assert texture.shape[1] > 640
        assert texture.shape[2] > 480


@pytest.mark.parametrize(("severity", "size"), [(1, 224), (2, 64), (4, 224), (1, 32)])
def test_elastic_transform_equals_the_original(severity: int, size: int) -> None:
    cv2 = pytest.importorskip("cv2")
    gaussian = pytest.importorskip("skimage.filters").gaussian
    map_coordinates = pytest.importorskip("scipy.ndimage").map_coordinates
    drawn, unit, found = replay("elastic_transform", severity, size)
    amplitude, sigma, reach = TABLES["elastic_transform"][size][severity - 1]
    middle, third = size // 2, size // 3
    points = middle + third * np.array([[1, 1], [1, -1], [-1, -1]])
    moved = points + drawn.corners[0].numpy() * reach
    matrix = cv2.getAffineTransform(np.float32(points), np.float32(moved))
    unit = cv2.warpAffine(np.float32(unit), matrix, (size, size), borderMode=cv2.BORDER_REFLECT_101)
    if amplitude:
        x, y = (
            gaussian(field.numpy(), sigma, mode="reflect", truncate=3) * amplitude
            for field in drawn.field[0]
        )
        rows, columns = np.mgrid[:size, :size]
        coordinates = [rows + y, columns + x]
        unit = np.stack(
            [map_coordinates(unit[..., c], coordinates, order=1, mode="reflect") for c in range(3)],
            -1,
        )
    # OpenCV before 5 rounds coordinates to 1/32 pixel.
    assert np.abs(found - pixels(unit)).mean() < 0.5


@pytest.mark.parametrize(("severity", "size"), [(1, 224), (3, 64), (5, 224), (4, 32)])
def test_spatter_equals_the_original(severity: int, size: int) -> None:
    cv2 = pytest.importorskip("cv2")
    gaussian = pytest.importorskip("skimage.filters").gaussian
    drawn, unit, found = replay("spatter", severity, size)
    mean, std, sigma, threshold, strength, mud = TABLES["spatter"][size][severity - 1]
    liquid = gaussian(drawn[0].numpy().astype(float) * std + mean, sigma=sigma)
    liquid[liquid < threshold] = 0
    if mud:
        cover = gaussian((liquid > threshold).astype(np.float32), sigma=strength)
        cover[cover < 0.8] = 0
        wanted = unit * (1 - cover[..., None]) + cover[..., None] * np.array([63, 42, 20]) / 255
    else:
        layer = (liquid * 255).astype(np.uint8)
        distance = cv2.distanceTransform(255 - cv2.Canny(layer, 50, 150), cv2.DIST_L2, 5)
        distance = cv2.threshold(distance, 20, 20, cv2.THRESH_TRUNC)[1]
        distance = cv2.equalizeHist(cv2.blur(distance, (3, 3)).astype(np.uint8))
        kernel = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
        distance = cv2.blur(cv2.filter2D(distance, cv2.CV_8U, kernel), (3, 3)).astype(np.float32)
        shine = cv2.cvtColor(layer * distance, cv2.COLOR_GRAY2BGRA)[..., :3]
        shine = shine / shine.max((0, 1)) * strength
        wanted = unit + shine * np.array([175, 238, 238]) / 255
    assert np.abs(found - pixels(wanted)).mean() < 0.05


def test_many_angles_at_once_equal_one_at_a_time() -> None:
    images = torch.stack([picture(), picture().flip(-1), picture().flip(-2)]).float()
    angles = [-120.0, 7.5, 90.0]
    kernels = [motion.motion_kernel(10, 4, angle) for angle in angles]
    padded = torch.nn.functional.pad(images, (20,) * 4, mode="replicate")
    gathered = motion._gathered(padded, 20, kernels)
    assert torch.equal(motion.motion_blur(images, 10, 4, angles), gathered)


def test_the_device_codecs_equal_those_of_the_cpu() -> None:
    images = torch.stack([picture(), picture().flip(0)])
    assert torch.equal(jpeg_compression(images, 25), jpeg(images, 25))
    for recode in (recode_by_pillow, recode_by_torchvision):
        assert torch.equal(recode(images[0], 25), jpeg(images[:1], 25)[0])
    for side in (45, 32, 17):
        factor = (side + 0.5) / SIZE
        both = box_resize(box_resize(images, side, side), SIZE, SIZE)
        assert torch.equal(pixelate(images, factor), both)


@pytest.mark.parametrize("shape", [(33, 47), (64, 64), (224, 224), (299, 299), (50, 41)])
@pytest.mark.parametrize("factor", (0.95, 0.6, 0.5, 0.3, 0.25))
def test_pixelate_equals_pillow_image_by_image(shape: tuple[int, int], factor: float) -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (3, 3, *shape), dtype=np.uint8)
    small, large = (int(shape[1] * factor), int(shape[0] * factor)), shape[::-1]
    box = Image.Resampling.BOX
    found = pixelate(torch.from_numpy(images), factor).numpy()
    for image, changed in zip(images, found, strict=True):
        picture = Image.fromarray(image.transpose(1, 2, 0))
        wanted = picture.resize(small, box).resize(large, box)
        assert (np.asarray(wanted) == changed.transpose(1, 2, 0)).all()


def test_memory_stays_within_twelve_copies() -> None:
    """On the CPU: torch's allocations while one chunk is worked on."""
    images = torch.stack([picture(224)] * 3)
    copy = images.numel() * 4
    for name in NAMES:
        peak = _peak(images, name)
        assert peak <= 12 * copy, (name, peak / copy)


def _peak(images: torch.Tensor, name: str) -> int:
    shape = (224, 224)
    apply(images, name, 5, draw(name, 5, [1, 2, 3], shape=shape, device=CPU))  # fills caches
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        apply(images, name, 5, draw(name, 5, [1, 2, 3], shape=shape, device=CPU))
    current = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            current += event.nbytes()
            peak = max(peak, current)
    return peak
