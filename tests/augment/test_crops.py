from collections.abc import Callable

import numpy as np
import pytest
import torch

from nsbench.augment import crops
from nsbench.augment.keys import Keys, image_keys
from tests.augment.images import HEIGHT, WIDTH, many

KEYS = image_keys(0, "labeled", np.arange(600))


def test_flip_mirrors_its_share_of_the_images() -> None:
    images = many(600)
    result = crops.flip(images, KEYS, 0.3)
    mirrored = [torch.equal(new, old.flip(-1)) for new, old in zip(result, images, strict=True)]
    same = [torch.equal(new, old) for new, old in zip(result, images, strict=True)]
    assert all(one or other for one, other in zip(mirrored, same, strict=True))
    changed = 1 - np.mean(same)
    assert changed == pytest.approx(0.3 * 4 / 6, abs=0.06)  # two of six kinds are constant
    assert torch.equal(crops.flip(images, KEYS, 0.0), images)
    assert torch.equal(crops.flip(images, KEYS, 1.0), images.flip(-1))


@pytest.mark.parametrize(("mode", "numpys"), (("zero", "constant"), ("reflect", "reflect")))
def test_pad_crop_is_a_part_of_the_padded_image(mode: crops.PadMode, numpys: str) -> None:
    image = many(1)
    pad = 3
    padded = np.pad(image[0].numpy(), ((0, 0), (pad, pad), (pad, pad)), mode=numpys)  # type: ignore[call-overload]
    parts = {
        padded[:, y : y + HEIGHT, x : x + WIDTH].tobytes(): (y, x)
        for y, x in np.ndindex(2 * pad + 1, 2 * pad + 1)
    }
    results = crops.pad_crop(image.expand(600, -1, -1, -1), KEYS, pad, mode)
    found = [parts[result.numpy().tobytes()] for result in results]
    counts = np.bincount([y * 7 + x for y, x in found], minlength=49)
    assert counts.min() > 0
    assert ((counts - 600 / 49) ** 2 / (600 / 49)).sum() < 100  # chi squared, 48 degrees of freedom


def test_reflection_needs_a_large_enough_image() -> None:
    with pytest.raises(ValueError, match="20 x 28 pixels cannot be reflected by 20"):
        crops.pad_crop(many(2), KEYS[:2], 20, "reflect")
    assert crops.pad_crop(many(2), KEYS[:2], 19, "reflect").shape == (2, 3, HEIGHT, WIDTH)


def test_cutout_is_a_square_around_any_pixel() -> None:
    black = torch.zeros(600, 3, HEIGHT, WIDTH, dtype=torch.uint8)
    result = crops.cutout(black, KEYS, 8)
    assert set(result.unique().tolist()) == {0, 128}
    assert (result == result[:, :1]).all()
    areas = (result[:, 0] == 128).sum((1, 2))
    assert areas.max() == 16 * 16
    assert areas.min() < 9 * 11  # the smallest, in a corner, is 8 x 8
    assert (result == 128).any(0).all()


@pytest.mark.parametrize(
    "change",
    (
        lambda images, keys: crops.flip(images, keys, 0.5),
        lambda images, keys: crops.pad_crop(images, keys, 4, "zero"),
        lambda images, keys: crops.pad_crop(images, keys, 4, "reflect"),
        lambda images, keys: crops.cutout(images, keys, 8),
    ),
)
def test_an_image_depends_on_its_own_key(
    change: Callable[[torch.Tensor, Keys], torch.Tensor],
) -> None:
    images = many(50)
    whole = change(images, KEYS[:50])
    alone = [change(images[i : i + 1], KEYS[i : i + 1]) for i in range(50)]
    assert torch.equal(whole, torch.cat(alone))
    order = np.random.default_rng(0).permutation(50)
    assert torch.equal(change(images[order], KEYS[order]), whole[order])
    assert change(images[:0], KEYS[:0]).shape == (0, 3, HEIGHT, WIDTH)
