"""Augmentation of single images: timm's operations, seeded by image."""

import random

import numpy as np
import pytest
import torch
from PIL import Image

from nsbench.augment.timm_transforms import training_transform
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.transforms import center_crop
from nsbench.util.errors import NsbenchError

SIZE = Preprocessing(image_size=32)


def picture(width: int = 32, height: int = 32) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("crop", ["pad", "random-resized", "center"])
def test_augmentation_follows_its_seed_alone(crop: str) -> None:
    transform = training_transform(SIZE, crop, 0.5, "rand-m9-n2-p1.0")
    first = [transform(picture(), seed) for seed in range(8)]
    random.seed(99)
    np.random.seed(99)
    again = [transform(picture(), seed) for seed in reversed(range(8))][::-1]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert len({a.tobytes() for a in first}) > 4
    assert all(a.shape == (3, 32, 32) and a.dtype == np.uint8 for a in first)


def test_no_noise_at_all_gives_the_evaluation_crop() -> None:
    transform = training_transform(SIZE, "center", 0.0, "")
    for seed in range(60):
        assert (transform(picture(50, 40), seed) == center_crop(picture(50, 40), SIZE)).all()


def test_pad_moves_by_an_eighth_at_the_most_and_pads_with_black() -> None:
    image = Image.new("RGB", (32, 32), (200, 200, 200))
    transform = training_transform(SIZE, "pad", 0.0, "")
    black = {int((transform(image, seed)[0] == 0).any(0).sum()) for seed in range(200)}
    assert min(black) == 0
    rows = {int((transform(image, seed)[0] == 0).all(1).sum()) for seed in range(200)}
    assert max(rows) == 4


def test_flips_are_as_frequent_as_asked() -> None:
    image = picture()
    mirrored = np.asarray(image).transpose(2, 0, 1)[:, :, ::-1]
    transform = training_transform(SIZE, "center", 0.25, "")
    flips = sum((transform(image, seed) == mirrored).all() for seed in range(400))
    assert 70 <= flips <= 130


@pytest.mark.parametrize("magnitude", [0, 1, 2, 9, 10])
@pytest.mark.parametrize("inc", ["", "-inc1"])
def test_posterize_never_asks_for_fewer_bits_than_pillow_takes(magnitude: int, inc: str) -> None:
    transform = training_transform(SIZE, "center", 0.0, f"rand-m{magnitude}-n8-p1.0{inc}")
    assert all(transform(picture(), seed).shape == (3, 32, 32) for seed in range(40))


@pytest.mark.parametrize("config", ["rnd-m9", "rand-q7"])
def test_an_unknown_augmentation_is_one_sentence(config: str) -> None:
    with pytest.raises(NsbenchError, match="'randaugment' is "):
        training_transform(SIZE, "pad", 0.0, config)


def test_random_erasing_leaves_a_rectangle_of_noise_and_the_global_generator() -> None:
    image = Image.new("RGB", (32, 32), (7, 7, 7))
    transform = training_transform(SIZE, "center", 0.0, "", 1.0)
    state = torch.get_rng_state()
    erased = [transform(image, seed) for seed in range(20)]
    assert torch.equal(torch.get_rng_state(), state)
    assert (transform(image, 3) == erased[3]).all()
    for array in erased:
        rows, columns = np.nonzero((array != 7).any(0))
        area = (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert len(rows) > 0.97 * area  # a full rectangle, but for pixels that happen to be 7
        assert 0.015 <= area / 32**2 <= 0.36  # timm's bounds, after rounding
    untouched = training_transform(SIZE, "center", 0.0, "", 0.25)
    share = np.mean([(untouched(image, seed) == 7).all() for seed in range(300)])
    assert 0.65 <= share <= 0.85
