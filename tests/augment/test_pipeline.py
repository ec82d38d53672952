"""What is done to images of a student: as they are read, and in batches on the device."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nsbench.augment.keys import image_keys
from nsbench.augment.pipeline import Augmentation
from nsbench.augment.timm_transforms import training_transform
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.transforms import center_crop
from nsbench.recipes.generation import Generation
from nsbench.util.errors import NsbenchError

INPUT = Preprocessing(image_size=32)
NOTHING = {"crop": "center", "flip": 0.0, "randaugment": ""}


def made(**keys: Any) -> Augmentation:
    return Augmentation(Generation.model_validate({"arch": "x", **NOTHING, **keys}), INPUT)


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 36, 3), np.uint8))


def test_single_images_are_read_by_timm_with_their_seed() -> None:
    augmentation = made(randaugment="rand-m9-n2-p1.0", crop="random-resized", flip=0.5)
    assert not augmentation.fixed
    own = training_transform(INPUT, "random-resized", 0.5, "rand-m9-n2-p1.0", 0.0)
    for seed in range(3):
        assert np.array_equal(augmentation.read(picture(), seed), own(picture(), seed))
    found = [augmentation.read(picture(), seed) for seed in range(3)]
    assert not np.array_equal(found[0], found[1])


def test_images_that_are_read_alike_are_changed_in_batches() -> None:
    augmentation = made(crop="pad", flip=0.5, randaugment="paper-m9-n2")
    assert augmentation.fixed
    assert np.array_equal(augmentation.read(picture(), 1), center_crop(picture(), INPUT))
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    keys = image_keys(0, "labeled", np.arange(6))
    changed = augmentation.batch(images, keys, 2)
    assert torch.equal(changed, augmentation.on_device(images, keys))
    assert all(not torch.equal(a, b) for a, b in zip(changed, images, strict=True))


def test_each_stream_has_its_noise() -> None:
    augmentation = made(flip=1.0, unlabeled_noise={"flip": 0.0, "cutout": 4})
    images = torch.randint(1, 256, (5, 3, 32, 32), dtype=torch.uint8)
    keys = image_keys(0, "labeled", np.arange(5))
    found = augmentation.batch(images, keys, 2)
    assert torch.equal(found[:2], images[:2].flip(-1))
    assert torch.equal(found[2:], made(cutout=4).on_device(images[2:], keys[2:]))
    assert not torch.equal(found[2:], images[2:])
    assert augmentation.settings["cutout"] == 0
    assert augmentation.unlabeled.settings["cutout"] == 4
    # Where one stream is read image by image, all are.
    assert not made(unlabeled_noise={"randaugment": "rand-m9-n2-p1.0"}).fixed


def test_a_whole_image_is_one_of_a_batch() -> None:
    augmentation = made(crop="reflect-pad", flip=0.5, cutout=4)
    read = torch.from_numpy(augmentation.read(picture(), 7))[None]
    wanted = augmentation.on_device(read, np.array([7], np.uint64))[0]
    assert np.array_equal(augmentation.whole(picture(), 7), wanted.numpy())


def test_papers_randaugment_has_a_cutout_of_its_own() -> None:
    with pytest.raises(NsbenchError, match="'random_erasing' stands in for the Cutout"):
        made(randaugment="paper-m9-n2", random_erasing=0.1)
