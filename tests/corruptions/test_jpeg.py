import io

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from nsbench.corruptions._jpeg import jpeg

QUALITIES = (1, 5, 7, 10, 18, 25, 40, 49, 50, 65, 85, 95, 100)
SIZES = ((16, 16), (32, 32), (64, 64), (33, 47), (40, 36), (35, 80))
LARGE_SIZES = ((224, 224), (299, 299))


def pillow(images: torch.Tensor, quality: int) -> torch.Tensor:
    results = []
    for image in images.permute(0, 2, 3, 1).contiguous().numpy():
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        results.append(np.asarray(Image.open(file).convert("RGB")))
    return torch.from_numpy(np.stack(results)).permute(0, 3, 1, 2)


def scene(height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Shaded ground, a textured disc, a hard-edged bar and some grain."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    image = np.stack([60 + 120 * y / height, 90 + 80 * x / width, 200 - 150 * y / height], -1)
    disc = np.hypot(y - height * 0.4, x - width * 0.6) < 0.3 * min(height, width)
    image[disc] = [200, 60, 30] + (20 * np.sin(x + y / 2))[disc][:, None]
    image[height // 2 : height // 2 + 3, : width // 2] = [250, 240, 20]
    return image + rng.normal(0, 4, image.shape)


def pictures(height: int, width: int) -> torch.Tensor:
    """Noise, a ramp, blocks of saturated colours, saturated noise and a scene."""
    rng = np.random.default_rng(height * 1000 + width)
    y, x = np.mgrid[:height, :width]
    ramp = [255 * x // width, 255 * y // height, 255 * (x + y) // (height + width)]
    corners = rng.integers(0, 2, (height, width, 3)) * 255
    images = [
        rng.integers(0, 256, (height, width, 3)),
        np.stack(ramp, -1),
        corners[y // 5, x // 5],
        corners,
        scene(height, width, rng).clip(0, 255),
    ]
    return torch.from_numpy(np.stack(images).astype(np.uint8)).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("size", SIZES)
def test_equals_pillow(size: tuple[int, int], quality: int) -> None:
    images = pictures(*size)
    torch.testing.assert_close(jpeg(images, quality), pillow(images, quality), rtol=0, atol=0)


@pytest.mark.parametrize("quality", (5, 7, 10, 25, 40, 85, 95, 100))
@pytest.mark.parametrize("size", LARGE_SIZES)
def test_large_images_equal_pillow(size: tuple[int, int], quality: int) -> None:
    images = pictures(*size)[[0, 2, 4]]
    torch.testing.assert_close(jpeg(images, quality), pillow(images, quality), rtol=0, atol=0)


def test_every_small_size_equals_pillow() -> None:
    for height in range(1, 19):
        for width in range(1, 19):
            images = pictures(height, width)[[0, 4]]
            torch.testing.assert_close(jpeg(images, 30), pillow(images, 30), rtol=0, atol=0)


def test_every_quality_equals_pillow() -> None:
    images = pictures(24, 40)
    for quality in range(1, 101):
        torch.testing.assert_close(jpeg(images, quality), pillow(images, quality), rtol=0, atol=0)


def test_a_batch_gives_what_its_images_give() -> None:
    images = pictures(33, 47)
    singly = torch.cat([jpeg(image[None], 15) for image in images])
    assert torch.equal(jpeg(images, 15), singly)


def test_takes_images_that_are_not_contiguous_and_leaves_them_alone() -> None:
    images = pictures(33, 47).to(memory_format=torch.channels_last)
    before = images.clone()
    result = jpeg(images, 15)
    assert torch.equal(result, jpeg(images.contiguous(), 15))
    assert torch.equal(images, before)
    assert result.dtype == torch.uint8
