"""Images to uint8 arrays: the centre crop of evaluation, the random crop and noise of training."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from timm.data.transforms import (
    CenterCropOrPad,
    ResizeKeepRatio,
)
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from nsbench.data.preprocessing import Preprocessing
from nsbench.util.device import fixed


def center_crop(image: Image.Image, preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Resize and centre-crop an RGB image to uint8 (3, S, S), as timm and torchvision do."""
    side = preprocessing.resize_size
    # An image that is its own crop, such as those of released sets, needs no calls of torchvision.
    if image.size == (side, side) and side == preprocessing.image_size:
        return to_array(image)
    if preprocessing.crop_mode == "border":
        kept = ResizeKeepRatio(side, longest=1.0, interpolation=preprocessing.interpolation)(image)
        # timm's fill: the mean, which is about 0 after normalisation.
        fill = tuple(round(255 * value) for value in preprocessing.mean)
        return to_array(CenterCropOrPad(preprocessing.image_size, fill=fill)(kept))
    # One side given is the shorter one, to torchvision.
    sides = [side, side] if preprocessing.crop_mode == "squash" else [side]
    whole = F.resize(image, sides, InterpolationMode(preprocessing.interpolation))
    return to_array(F.center_crop(whole, [preprocessing.image_size]))


def resized(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """Resize an RGB image bilinearly to a short side of `size` px, as uint8 (3, H, W)."""
    return to_array(F.resize(image, [size], InterpolationMode.BILINEAR))


def to_array(image: Image.Image) -> NDArray[np.uint8]:
    """RGB image to uint8 (3, H, W)."""
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8).transpose(2, 0, 1))


def normalize(images: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """(images - mean) / std for float (B, 3, H, W) in [0, 1]."""
    # Copied to the device once, as a copy in each forward pass would wait for the one before.
    centre, width = (fixed(tuple(part), images.device, images.dtype) for part in (mean, std))
    return (images - centre.view(1, 3, 1, 1)) / width.view(1, 3, 1, 1)
