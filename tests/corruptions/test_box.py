import numpy as np
import pytest
import torch
from PIL import Image

from nsbench.corruptions._box import box_resize

FACTORS = {
    224: (0.6, 0.5, 0.4, 0.3, 0.25),
    32: (0.95, 0.9, 0.85, 0.75, 0.65),
    64: (0.9, 0.8, 0.7, 0.6, 0.5),
    299: (0.5, 0.4, 0.3, 0.25, 0.2),
}
CASES = [(size, int(size * factor)) for size, factors in FACTORS.items() for factor in factors]


def pillow(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()
    resized = [
        np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))
        for image in pixels
    ]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2)


def pictures(height: int, width: int) -> torch.Tensor:
    """Noise, saturated noise and a ramp."""
    rng = np.random.default_rng(height * 1000 + width)
    y, x = np.mgrid[:height, :width]
    ramp = [255 * x // width, 255 * y // height, 255 * (x + y) // (height + width)]
    images = [
        rng.integers(0, 256, (height, width, 3)),
        rng.integers(0, 2, (height, width, 3)) * 255,
        np.stack(ramp, -1),
    ]
    return torch.from_numpy(np.stack(images).astype(np.uint8)).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize(("size", "small"), CASES)
def test_shrinking_and_enlarging_equal_pillow(size: int, small: int) -> None:
    images = pictures(size, size)
    shrunk = box_resize(images, small, small)
    assert torch.equal(shrunk, pillow(images, small, small))
    assert torch.equal(box_resize(shrunk, size, size), pillow(shrunk, size, size))


@pytest.mark.parametrize(
    "new",
    [(20, 30), (33, 20), (20, 47), (33, 47), (50, 100), (1, 1), (66, 11), (7, 94)],
)
def test_images_that_are_not_square_equal_pillow(new: tuple[int, int]) -> None:
    images = pictures(33, 47)
    assert torch.equal(box_resize(images, *new), pillow(images, *new))


def test_the_width_changes_first_even_where_pillow_13_differs() -> None:
    images = pictures(90, 30)
    expected = pillow(pillow(images, 90, 13), 31, 13)
    assert torch.equal(box_resize(images, 31, 13), expected)


def test_every_pair_of_small_sizes_equals_pillow() -> None:
    for old in range(1, 30):
        images = pictures(old, old)
        for new in range(1, 30):
            assert torch.equal(box_resize(images, new, new), pillow(images, new, new)), (old, new)


def test_a_batch_gives_what_its_images_give() -> None:
    images = pictures(64, 64)
    singly = torch.cat([box_resize(image[None], 38, 38) for image in images])
    assert torch.equal(box_resize(images, 38, 38), singly)


def test_other_numbers_of_channels_and_memory_layouts() -> None:
    images = pictures(32, 32)
    expected = box_resize(images, 20, 20)
    assert torch.equal(box_resize(images[:, :1], 20, 20), expected[:, :1])
    channels_last = images.to(memory_format=torch.channels_last)
    assert torch.equal(box_resize(channels_last, 20, 20), expected)
