from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from nsbench.augment import color
from tests.augment import official
from tests.augment.images import HEIGHT, WIDTH, Pixels, kinds

ENHANCE = {5: 1.0, 10: 1.9, 27: 4.96}  # 0.18 M + 0.1
Op = Callable[[torch.Tensor], torch.Tensor]


def _result(operation: Op) -> Pixels:
    before = torch.from_numpy(kinds())
    result = operation(before)
    assert np.array_equal(before.numpy(), kinds())
    assert result.dtype == torch.uint8
    pixels: Pixels = result.numpy()
    return pixels


def _check(operation: Op, expected: Callable[[Pixels], Pixels], levels: int = 0) -> None:
    for ours, image in zip(_result(operation), kinds(), strict=True):
        difference = np.abs(ours.astype(int) - expected(image))
        assert difference.max() <= levels


def _by_pillow(change: Callable[[Image.Image], Image.Image]) -> Callable[[Pixels], Pixels]:
    def expected(image: Pixels) -> Pixels:
        changed = change(Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0))))
        return np.asarray(changed).transpose(2, 0, 1)

    return expected


def test_invert() -> None:
    _check(color.invert, _by_pillow(ImageOps.invert))


def test_autocontrast() -> None:
    _check(color.autocontrast, _by_pillow(ImageOps.autocontrast), levels=1)
    _check(color.autocontrast, official.autocontrast, levels=1)


def test_equalize() -> None:
    _check(color.equalize, _by_pillow(ImageOps.equalize))
    _check(color.equalize, official.equalize)


def test_equalize_of_a_large_image() -> None:
    rng = np.random.default_rng(0)
    image = (rng.normal(90, 30, (3, 300, 400)).clip(0, 255)).astype(np.uint8)
    ours = color.equalize(torch.from_numpy(image[None]))[0].numpy()
    assert np.array_equal(ours, _by_pillow(ImageOps.equalize)(image))


@pytest.mark.parametrize("bits", (2, 4))
def test_posterize(bits: int) -> None:
    _check(lambda x: color.posterize(x, bits), _by_pillow(lambda i: ImageOps.posterize(i, bits)))
    _check(lambda x: color.posterize(x, bits), lambda i: official.posterize(i, bits))


@pytest.mark.parametrize("bits", (10, 0, 9))
def test_posterize_wraps(bits: int) -> None:
    _check(lambda x: color.posterize(x, bits), lambda i: official.posterize(i, 1))
    assert set(np.unique(_result(lambda x: color.posterize(x, bits)))) == {0, 128}


def test_posterize_of_eight_bits_changes_nothing() -> None:
    _check(lambda x: color.posterize(x, 8), lambda i: i)


@pytest.mark.parametrize(("threshold", "effective"), ((128, 128), (256, 0), (691, 179)))
def test_solarize(threshold: int, effective: int) -> None:
    ours: Op = lambda x: color.solarize(x, threshold)  # noqa: E731
    _check(ours, _by_pillow(lambda i: ImageOps.solarize(i, effective)))
    _check(ours, lambda i: official.solarize(i, effective))


@pytest.mark.parametrize("addition", (0, 55, 110, 297))
def test_solarize_add(addition: int) -> None:
    ours: Op = lambda x: color.solarize_add(x, addition)  # noqa: E731
    _check(ours, lambda i: official.solarize_add(i, addition))


def test_solarize_add_at_27_makes_all_dark_values_white() -> None:
    result = _result(lambda x: color.solarize_add(x, 297))
    assert (result[kinds() < 128] == 255).all()
    assert np.array_equal(result[kinds() >= 128], kinds()[kinds() >= 128])


@pytest.mark.parametrize("factor", (*ENHANCE.values(), 0.46))
def test_brightness(factor: float) -> None:
    ours: Op = lambda x: color.brightness(x, factor)  # noqa: E731
    _check(ours, _by_pillow(lambda i: ImageEnhance.Brightness(i).enhance(factor)), levels=1)
    _check(ours, lambda i: official.brightness(i, factor), levels=1)


@pytest.mark.parametrize("factor", (*ENHANCE.values(), 0.46))
def test_contrast(factor: float) -> None:
    _check(lambda x: color.contrast(x, factor), lambda i: official.contrast(i, factor), levels=1)


def test_contrasts_grey_is_the_number_of_pixels() -> None:
    for side, grey in ((32, 4), (224, 196), (600, 255)):
        image = torch.full((1, 3, side, side), grey, dtype=torch.uint8)
        assert torch.equal(color.contrast(image, 4.96), image)


@pytest.mark.parametrize("factor", (*ENHANCE.values(), 0.46))
def test_color(factor: float) -> None:
    ours: Op = lambda x: color.color(x, factor)  # noqa: E731
    _check(ours, lambda i: official.color(i, factor), levels=1)
    if factor < 2:  # its grey is rounded otherwise, and a factor above 2 makes more of that
        _check(ours, _by_pillow(lambda i: ImageEnhance.Color(i).enhance(factor)), levels=1)


@pytest.mark.parametrize("factor", (*ENHANCE.values(), 0.46))
def test_sharpness(factor: float) -> None:
    ours: Op = lambda x: color.sharpness(x, factor)  # noqa: E731
    _check(ours, lambda i: official.sharpness(i, factor), levels=1)
    if factor < 2:  # Pillow rounds the smoothed image
        _check(ours, _by_pillow(lambda i: ImageEnhance.Sharpness(i).enhance(factor)), levels=1)


@pytest.mark.parametrize("shape", ((1, 1), (2, 5), (5, 2), (3, 3)))
def test_small_images(shape: tuple[int, int]) -> None:
    images = torch.from_numpy(kinds()[:, :, : shape[0], : shape[1]])
    sharp = color.sharpness(images, 4.96)
    if min(shape) < 3:
        assert torch.equal(sharp, images)
    else:
        expected = np.stack([official.sharpness(image, 4.96) for image in images.numpy()])
        assert np.abs(sharp.numpy().astype(int) - expected).max() <= 1
    for operation in (color.equalize, color.autocontrast):
        assert operation(images).shape == images.shape


@pytest.mark.parametrize(("row", "column"), ((0, 0), (10, 9), (HEIGHT - 1, WIDTH - 1), (3, 27)))
def test_cut_out(row: int, column: int) -> None:
    rows, columns = np.full(6, row), np.full(6, column)
    result = _result(lambda x: color.cut_out(x, rows, columns, 4))
    expected = kinds()
    for y, x in np.ndindex(HEIGHT, WIDTH):
        if row - 4 <= y < row + 4 and column - 4 <= x < column + 4:
            expected[:, :, y, x] = 128
    assert np.array_equal(result, expected)
