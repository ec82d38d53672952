"""Tables inside a generation of a recipe."""

from typing import Literal

from pydantic import Field

from nsbench.util.config import Config

Crop = Literal["random-resized", "pad", "reflect-pad", "center"]


class UnlabeledNoise(Config):
    """Noise of a student's pseudo-labeled images alone.

    Each key replaces the generation's key of that name for these images; those that are left out
    are the generation's. Table 6 of the paper removes noise from the unlabeled images only.
    """

    crop: Crop | None = None
    flip: float | None = Field(default=None, ge=0, le=1)
    randaugment: str | None = None
    cutout: int | None = Field(default=None, ge=0)
    random_erasing: float | None = Field(default=None, ge=0, le=1)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    drop_path: float | None = Field(default=None, ge=0, lt=1)


class FineTune(Config):
    """A short fine-tuning at a larger size, on unaugmented labeled images (FixRes).

    image_size, crop_pct: of training and evaluation alike. epochs: passes over the labeled images
    (1.5 in the paper). frozen_blocks: the stem and so many blocks of the model are left as they
    are, in evaluation mode, without noise ("shallow layers fixed"; how many is not published).
    batch_size, lr: by default the generation's batch size and the last learning rate of its
    schedule, with which the official code goes on; the rate stays constant.
    """

    image_size: int = Field(ge=16, le=4096)
    crop_pct: float | None = Field(default=None, gt=0, le=1)
    epochs: float = Field(default=1.5, gt=0)
    frozen_blocks: int = Field(default=0, ge=0)
    batch_size: int | None = Field(default=None, ge=2)
    lr: float | None = Field(default=None, gt=0)
