"""RandAugment on a GPU: the CPU's pixels but for rounding, by an image's own key."""

import numpy as np
import pytest
import torch

from nsbench.augment.keys import image_keys
from nsbench.augment.randaugment import parse_randaugment
from nsbench.bench.doctor_steps.difference import SHARE, difference
from nsbench.bench.photographs import photographs

pytestmark = pytest.mark.cuda

KEYS = image_keys(0, "test", np.arange(256))


@pytest.mark.parametrize("setting", ["paper", "paper-m9-n2", "paper-n3"])
@pytest.mark.parametrize("size", [32, 224])
def test_the_pixels_are_the_cpu_s(setting: str, size: int, device: torch.device) -> None:
    count = 256 if size == 32 else 32
    augment, images = parse_randaugment(setting, size), photographs(size, count)
    here = augment(images, KEYS[:count])
    there = augment(images.to(device), KEYS[:count])
    assert there.device.type == device.type
    # Where a value is at the threshold of an operation, such as a posterised one, the smallest
    # difference becomes a large one: only how many there are has a limit.
    assert difference(here, there)["share"] <= SHARE


def test_an_image_depends_on_its_own_key(device: torch.device) -> None:
    augment, images = parse_randaugment("paper-n3", 32), photographs(32, 64).to(device)
    whole = augment(images, KEYS[:64])
    parts = [augment(images[n : n + 7], KEYS[n : n + 7]) for n in range(0, 63, 7)]
    assert torch.equal(whole[:63], torch.cat(parts))
    assert torch.equal(whole, augment(images, KEYS[:64]))
