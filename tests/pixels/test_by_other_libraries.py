"""What corruptions and sequences are made of, by itself, against other libraries."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nsbench.pixels import spatter
from nsbench.pixels.gaussian import gaussian_blur, gaussian_weights, smoothing_matrix
from nsbench.pixels.hsv import hsv_to_rgb, rgb_to_hsv
from nsbench.pixels.kinds import as_batch
from nsbench.pixels.sampling import prepare, sample
from nsbench.pixels.threads import slices

CPU = torch.device("cpu")


def field(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("sigma", "truncate"), [(0.1, 4), (0.4, 4), (1.5, 4), (2.25, 6), (6, 4)])
def test_gaussian_blur_equals_scipy(sigma: float, truncate: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    images = field(2, 3, 40, 33)
    wanted = ndimage.gaussian_filter(
        images.numpy(), (0, 0, sigma, sigma), truncate=truncate, mode="nearest"
    )
    np.testing.assert_allclose(gaussian_blur(images, sigma, truncate), wanted, rtol=0, atol=1e-14)
    radius = int(truncate * sigma + 0.5)
    assert len(gaussian_weights(sigma, truncate)) == radius + 1
    matrix = smoothing_matrix(33, sigma, truncate, CPU).numpy()
    line = images[0, 0, 0].numpy()
    wanted = ndimage.gaussian_filter1d(line, sigma, truncate=truncate, mode="reflect")
    np.testing.assert_allclose(matrix @ line, wanted, rtol=0, atol=3e-5)  # weights are rounded
    assert (matrix * 2**20 == np.round(matrix * 2**20)).all()


def colours() -> torch.Tensor:
    """All colours of a few levels, greys and black among them, (1, 3, 9, 81)."""
    steps = torch.linspace(0, 1, 9, dtype=torch.float64)
    return torch.cartesian_prod(steps, steps, steps).T.reshape(1, 3, 9, 81).contiguous()


def test_hues_are_those_of_scikit_image() -> None:
    color = pytest.importorskip("skimage.color")
    unit = colours()
    hsv = rgb_to_hsv(unit)
    wanted = color.rgb2hsv(unit[0].permute(1, 2, 0).numpy())
    for found, plane in zip(hsv, np.moveaxis(wanted, -1, 0), strict=True):
        np.testing.assert_allclose(found[0], plane, rtol=0, atol=1e-15)
    np.testing.assert_allclose(hsv_to_rgb(*hsv), unit, rtol=0, atol=1e-12)
    # Saturated and brightened, as the corruptions do.
    hue, saturation, value = hsv
    changed = hue, (saturation * 0.3 + 0.1).clamp(0, 1), (value * 0.5 + 0.25).clamp(0, 1)
    wanted = color.hsv2rgb(np.stack([part[0].numpy() for part in changed], -1))
    np.testing.assert_allclose(hsv_to_rgb(*changed)[0].permute(1, 2, 0), wanted, atol=1e-12)
    around = torch.ones(1, 1, 1)  # a hue of 1 is one of 0
    assert hsv_to_rgb(around, around, around).flatten().tolist() == [1, 0, 0]


def test_samples_are_bilinear_and_black_beyond() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    images = (field(2, 3, 12, 17) * 255).byte()
    x, y = 25 * field(9, 8) - 4, 19 * field(9, 8).flip(0) - 4
    found = sample(images, prepare(x, y, (12, 17))).numpy()
    inside = sample(images, prepare(x.clamp(0, 16), y.clamp(0, 11), (12, 17))).numpy()
    covered = (x >= -0.5) & (x < 16.5) & (y >= -0.5) & (y < 11.5)
    bordered = sample(images, prepare(x, y, (12, 17), covered)).numpy()
    for wanted, places, mode in (
        (found, (y, x), "grid-constant"),
        (inside, (y.clamp(0, 11), x.clamp(0, 16)), "nearest"),
    ):
        for index in np.ndindex(2, 3):
            plane = images[index].double().numpy()
            by_scipy = ndimage.map_coordinates(
                plane, torch.stack(places).numpy(), order=1, mode=mode
            )
            np.testing.assert_allclose(wanted[index], by_scipy, rtol=0, atol=1e-9)
    assert (bordered == np.where(covered.numpy(), inside, 0)).all()


def test_liquids_are_those_of_the_script() -> None:
    cv2 = pytest.importorskip("cv2")
    ndimage = pytest.importorskip("scipy.ndimage")
    noise = torch.randn(2, 48, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = spatter.liquid_layer(noise, 0.65, 0.3, 1.5, 0.69)
    smooth = np.stack(
        [ndimage.gaussian_filter(n * 0.3 + 0.65, 1.5, mode="nearest") for n in noise.numpy()]
    )
    wanted = np.where(smooth < 0.69, 0, smooth)
    assert 0.05 < (wanted > 0).mean() < 0.95
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    mud = spatter.mud_cover(found, 0.65, 0.8)
    cover = np.stack(
        [ndimage.gaussian_filter(1.0 * (w > 0.65), 0.8, mode="nearest") for w in wanted]
    )
    cover[cover < 0.8] = 0
    np.testing.assert_allclose(mud[:, 0], cover, atol=1e-6)
    for own, layer in zip(spatter.water_cover(found)[:, 0].numpy(), wanted, strict=True):
        liquid = (layer * 255).astype(np.uint8)
        far = cv2.distanceTransform(255 - cv2.Canny(liquid, 50, 150), cv2.DIST_L2, 5)
        far = cv2.threshold(far, 20, 20, cv2.THRESH_TRUNC)[1]
        far = cv2.equalizeHist(cv2.blur(far, (3, 3)).astype(np.uint8))
        far = cv2.filter2D(far, cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]))
        shine = liquid * cv2.blur(far, (3, 3)).astype(np.float32)
        np.testing.assert_allclose(own, shine / shine.max(), rtol=1e-6)
    assert not spatter.water_cover(torch.zeros(1, 32, 32)).any()  # where there is no drop
    assert spatter.colour(spatter.WATER, CPU).flatten().tolist() == [175, 238, 238]
    assert spatter.MUD == (63, 42, 20)


def test_threads_get_equally_many_slices_of_at_most_the_limit() -> None:
    torch.set_num_threads(2)
    for count, limit in [(10, 3), (10, 100), (7, 1), (1, 4), (12, 2), (0, 3), (5, 0)]:
        found = slices(count, limit, CPU)
        rows = [row for part in found for row in range(*part.indices(count))]
        assert rows == list(range(count))
        sizes = [len(range(*part.indices(count))) for part in found]
        assert max(sizes, default=0) <= max(1, limit)
        assert max(sizes, default=0) == (sizes[0] if sizes else 0)
        full = -(-count // max(1, limit))  # slices that the limit asks for, rounded up to even
        assert len(found) <= max(2, full + full % 2)
    # On another device in as few as there may be.
    assert slices(10, 4, torch.device("meta")) == [slice(0, 4), slice(4, 8), slice(8, 12)]


@pytest.mark.parametrize("kind", ["uint8", "float32", "float64", "float16"])
def test_images_of_any_kind_come_back_as_they_were(kind: str) -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    given = levels if kind == "uint8" else (levels / 255).astype(kind)
    for images in (given, given[None], torch.from_numpy(given).permute(2, 0, 1)):
        batch, back = as_batch(images, "corruptions")
        assert batch.shape == (1, 3, 16, 16)
        assert (batch[0].permute(1, 2, 0).numpy() == levels).all()
        again: Any = back(batch)
        assert type(again) is type(images)
        assert (again.shape, again.dtype) == (images.shape, images.dtype)
        np.testing.assert_allclose(np.asarray(again, float), np.asarray(images, float), atol=5e-4)
    picture = Image.fromarray(levels)
    batch, back = as_batch(picture, "corruptions")
    assert (np.asarray(back(255 - batch)) == 255 - levels).all()
    assert back(as_batch(picture.convert("L"), "corruptions")[0]).mode == "RGB"
    batch, back = as_batch(picture.convert("L"), "corruptions")
    assert back(batch).mode == "L"
