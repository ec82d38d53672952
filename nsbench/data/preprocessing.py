"""What stands between an image and a model, as data: no torch here."""

import math
from typing import Annotated, Literal

from pydantic import Field

from nsbench.util.config import Config

# Of the training images of ImageNet-1k in [0, 1], as torchvision and timm have them.
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


def fixed_crop(image_size: int, resize_size: int | None = None) -> Preprocessing:
    """The crop that corruptions are made for: bilinear, as in the original generators."""
    # a hair more, so that floor(image_size / crop_pct) is resize_size in floating point too
    crop_pct = min(1.0, image_size / ((resize_size or image_size) + 1e-6))
    return Preprocessing(image_size=image_size, crop_pct=crop_pct, interpolation="bilinear")
