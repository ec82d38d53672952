from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from nsbench.data.open import SourceSpec, open_source
from nsbench.data.preprocessing import Preprocessing, fixed_crop
from nsbench.data.transforms import center_crop, normalize, resized

SIZE = Preprocessing(image_size=32)


def picture(width: int = 32, height: int = 32) -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("crop_pct", [0.875, 0.95, 1.0])
def test_the_crop_is_that_of_timm(shared: Path, crop_pct: float) -> None:
    source = open_source(SourceSpec(source=str(shared / "data" / "imagenet-sample")))
    size = Preprocessing(image_size=224, crop_pct=crop_pct)
    transform = create_transform(
        (3, 224, 224), crop_pct=crop_pct, interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1)
    )
    for index in range(0, 100, 20):
        ours = torch.from_numpy(center_crop(source.image(index), size)) / 255
        assert torch.equal(ours, transform(source.image(index)))


def test_images_of_the_right_size_are_untouched() -> None:
    image = picture()
    assert (center_crop(image, SIZE) == np.asarray(image).transpose(2, 0, 1)).all()


def test_normalize() -> None:
    images = torch.full((1, 3, 1, 1), 0.5)
    result = normalize(images, [0.5, 0.25, 0.0], [1.0, 0.5, 0.25])
    assert result.flatten().tolist() == [0.0, 0.5, 2.0]


def test_the_short_side_is_resized_bilinearly() -> None:
    array = np.random.default_rng(0).integers(0, 256, (30, 45, 3), dtype=np.uint8)
    image = Image.fromarray(array)
    wanted = np.asarray(image.resize((30, 20), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert (resized(image, 20) == wanted).all()
    assert (resized(image, 30) == array.transpose(2, 0, 1)).all()


@pytest.mark.parametrize("image_size", [32, 48, 64, 224, 299])
def test_a_crop_of_given_sizes_has_exactly_these(image_size: int) -> None:
    for resize_size in (image_size, image_size + 1, 256 * image_size // 224, 5 * image_size):
        crop = fixed_crop(image_size, resize_size)
        assert (crop.image_size, crop.resize_size) == (image_size, resize_size)
    assert fixed_crop(image_size).resize_size == image_size
