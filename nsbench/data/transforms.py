"""Images to uint8 arrays: the centre crop of evaluation, the random crop and noise of training."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import Field
from timm.data.auto_augment import rand_augment_transform
from timm.data.random_erasing import RandomErasing
from timm.data.transforms import (
    CenterCropOrPad,
    RandomResizedCropAndInterpolation,
    ResizeKeepRatio,
)
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from nsbench.util.config import Config
from nsbench.util.errors import NsbenchError

IMAGENET_MEAN = [0.485, 0.456, 0.406]
IMAGENET_STD = [0.229, 0.224, 0.225]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]


class Preprocessing(Config):
    """What stands between an image and a model; it travels with the checkpoint.

    The short side is resized to floor(image_size / crop_pct), then the centre square of image_size
    is cut out (timm's evaluation transform). crop_mode, as in timm: `squash` resizes both sides to
    that length and `border` the long one, and pads. mean and std are in units of [0, 1].
    """

    image_size: int = Field(ge=1, le=4096)
    crop_pct: float = Field(default=1.0, gt=0, le=1)
    crop_mode: Literal["center", "squash", "border"] = "center"
    interpolation: Interpolation = "bicubic"
    mean: list[float] = Field(default=IMAGENET_MEAN, min_length=3, max_length=3)
    std: list[Annotated[float, Field(gt=0)]] = Field(
        default=IMAGENET_STD, min_length=3, max_length=3
    )

    @property
    def resize_size(self) -> int:
        """Length of the short side (or as crop_mode says) before the crop, in pixels."""
        return math.floor(self.image_size / self.crop_pct)


def crop_of(image_size: int, resize_size: int | None = None) -> Preprocessing:
    """The crop that corruptions are made for: bilinear, as in the original generators."""
    # a hair more, so that floor(image_size / crop_pct) is resize_size in floating point too
    crop_pct = min(1.0, image_size / ((resize_size or image_size) + 1e-6))
    return Preprocessing(image_size=image_size, crop_pct=crop_pct, interpolation="bilinear")


def center_crop(image: Image.Image, size: Preprocessing) -> NDArray[np.uint8]:
    """Resize and centre-crop an RGB image to uint8 (3, S, S), as timm and torchvision do."""
    side = size.resize_size
    if image.size == (side, side) and side == size.image_size:
        return to_array(image)
    if size.crop_mode == "border":
        kept = ResizeKeepRatio(side, longest=1.0, interpolation=size.interpolation)(image)
        fill = tuple(round(255 * value) for value in size.mean)
        return to_array(CenterCropOrPad(size.image_size, fill=fill)(kept))
    sides = [side, side] if size.crop_mode == "squash" else [side]
    whole = F.resize(image, sides, InterpolationMode(size.interpolation))
    return to_array(F.center_crop(whole, [size.image_size]))


def resized(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Resize an RGB image bilinearly to a short side of `size` px, as uint8 (3, H, W)."""
    return to_array(F.resize(image, [size], InterpolationMode.BILINEAR))


def to_array(image: Image.Image) -> NDArray[np.uint8]:
    """RGB image to uint8 (3, H, W)."""
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))


def normalize(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """(images - mean) / std for float (B, 3, H, W) in [0, 1]."""
    shape = (1, 3, 1, 1)
    return (images - images.new_tensor(mean).view(shape)) / images.new_tensor(std).view(shape)


Transform = Callable[[Image.Image], Image.Image]
TrainingTransform = Callable[[Image.Image, int], NDArray[np.uint8]]


def training_transform(
    size: Preprocessing, crop: str, flip: float, randaugment: str, random_erasing: float = 0.0
) -> TrainingTransform:
    """RGB image and seed to uint8 (3, S, S), augmented; the seed alone decides every draw.

    crop: `random-resized` (scale 0.08-1, aspect 3/4-4/3), `pad` (resize, pad by an eighth, random
    crop) or `center`. flip: probability of a mirror image. randaugment: a timm string such as
    `rand-m9-n2-p1.0`, or empty for none. random_erasing: probability of a rectangle of noise, by
    timm's RandomErasing; it stands in for Cutout, which timm's RandAugment lacks.
    Raises NsbenchError for a string timm does not know.
    """
    crop_transform = _crop(size, crop)
    augment = _randaugment(randaugment, size) if randaugment else None
    erase = RandomErasing(random_erasing, mode="const", device="cpu")

    def transform(image: Image.Image, seed: int) -> NDArray[np.uint8]:
        random.seed(seed)  # timm draws from these two global generators
        np.random.seed(seed % 2**32)
        image = crop_transform(image)
        if random.random() < flip:
            image = ImageOps.mirror(image)
        array = to_array(augment(image) if augment else image)
        return _erase(array, erase, size) if random_erasing else array

    return transform


def _erase(
    array: NDArray[np.uint8], erase: RandomErasing, size: Preprocessing
) -> NDArray[np.uint8]:
    # timm chooses the rectangle; its noise would draw from the generator of the model's own noise
    erased = erase(torch.ones(1, *array.shape[1:]))[0].numpy() == 0
    mean, std = (np.array(values)[:, None] for values in (size.mean, size.std))
    noise = np.random.standard_normal((3, np.count_nonzero(erased))) * std + mean
    array[:, erased] = (255 * noise).clip(0, 255)
    return array


def _crop(size: Preprocessing, crop: str) -> Transform:
    if crop == "random-resized":
        resized: Transform = RandomResizedCropAndInterpolation(
            size.image_size, interpolation=size.interpolation
        )
        return resized
    if crop == "pad":
        return lambda image: _pad_and_crop(image, size)
    return lambda image: Image.fromarray(center_crop(image, size).transpose(1, 2, 0))


def _pad_and_crop(image: Image.Image, size: Preprocessing) -> Image.Image:
    side = size.image_size
    image = F.resize(image, [side], InterpolationMode(size.interpolation))
    image = F.center_crop(image, [side])
    pad = side // 8
    padded = ImageOps.expand(image, pad)
    left, top = random.randint(0, 2 * pad), random.randint(0, 2 * pad)
    return padded.crop((left, top, left + side, top + side))


def _randaugment(config: str, size: Preprocessing) -> Transform:
    fill = tuple(round(255 * value) for value in size.mean)
    hparams = {"img_mean": fill}
    try:
        augment: Any = rand_augment_transform(config, hparams)
    except (AssertionError, ValueError, KeyError) as error:
        raise NsbenchError(
            f"the key 'randaugment' is '{config}', which timm does not know: write for example "
            "rand-m9-n2-p1.0, or an empty string for none"
        ) from error
    for op in augment.ops:
        if op.name.startswith("Posterize"):
            op.aug_fn = _posterize
    made: Transform = augment
    return made


def _posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    # timm asks for 0 bits and fewer at some magnitudes; Pillow 13 refuses those.
    return image if bits >= 8 else ImageOps.posterize(image, max(bits, 1))
