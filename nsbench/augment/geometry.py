"""The geometric operations of the official RandAugment, as maps from pixels to their sources.

As in TensorFlow's `contrib.image.transform`, which the official code calls: the source is the
nearest pixel (ties away from zero) of a point computed in float32; a pixel whose source lies
outside the image becomes grey. Only a translation by n + 1/2 pixels is not the official one, where
the result also depends on the side from which zero is reached.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from nsbench.augment.color import FILL
from nsbench.pixels.convert import Shape

Affine = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): the source of (x, y) is (a x + b y + c, d x + e y + f)."""


class Map(NamedTuple):
    """Where each pixel of an image comes from.

    Attributes:
        sources: int64 (H * W,), the flat index of the pixel to copy, 0 where it lies outside.
        keep: uint8 (H * W,), 255 for a pixel that has a source, 0 for one that becomes grey.
        fill: uint8 (H * W,), 0 and grey instead.

    """

    sources: torch.Tensor
    keep: torch.Tensor
    fill: torch.Tensor


def rotation(degrees: float, shape: Shape) -> Affine:
    """Rotate about the centre of the image, ((W - 1) / 2, (H - 1) / 2)."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    return cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y


def shear_x(level: float) -> Affine:
    """Shear along x about the upper left pixel: the source is `level` * y to the right."""
    return 1.0, level, 0.0, 0.0, 1.0, 0.0


def shear_y(level: float) -> Affine:
    """Shear along y about the upper left pixel: the source is `level` * x further down."""
    return 1.0, 0.0, 0.0, level, 1.0, 0.0


def map_of(affine: Affine, shape: Shape, device: torch.device) -> Map:
    """The map of an affine transform for images of this height and width."""
    # float32 and left to right, as TensorFlow's kernel computes: near the middle between two pixels
    # the last bit decides.
    a, b, c, d, e, f = (np.float32(value) for value in affine)
    y, x = (axis.astype(np.float32) for axis in np.indices(shape))
    columns, rows = _nearest(a * x + b * y + c), _nearest(d * x + e * y + f)
    inside = (columns >= 0) & (columns < shape[1]) & (rows >= 0) & (rows < shape[0])
    sources = np.where(inside, rows * shape[1] + columns, 0).flatten()
    keep, fill = (np.where(inside, *values).flatten() for values in ((255, 0), (0, FILL)))
    return Map(
        torch.from_numpy(sources).to(device),
        torch.from_numpy(keep.astype(np.uint8)).to(device),
        torch.from_numpy(fill.astype(np.uint8)).to(device),
    )


def _nearest(points: NDArray[np.float32]) -> NDArray[np.int64]:
    exact = points.astype(np.float64)  # in which half a pixel is added without rounding
    return np.trunc(exact + np.copysign(0.5, exact)).astype(np.int64)


def move(images: torch.Tensor, mapping: Map) -> torch.Tensor:
    """Apply a map to every plane of uint8 (B, 3, H, W)."""
    planes = images.flatten(2)
    moved = planes.gather(2, mapping.sources.expand(planes.shape))  # the index is not in memory
    return moved.bitwise_and_(mapping.keep).bitwise_or_(mapping.fill).view(images.shape)


def translate_x(images: torch.Tensor, shift: float) -> torch.Tensor:
    """Shift uint8 (B, 3, H, W) to the left, by the nearest whole number of pixels."""
    pixels = _whole(shift, images.shape[3])
    # Negative padding cuts off: what leaves on one side is filled in on the other.
    return F.pad(images, (-pixels, pixels), value=FILL)


def translate_y(images: torch.Tensor, shift: float) -> torch.Tensor:
    """Shift uint8 (B, 3, H, W) up, by the nearest whole number of pixels."""
    pixels = _whole(shift, images.shape[2])
    return F.pad(images, (0, 0, -pixels, pixels), value=FILL)


def _whole(shift: float, limit: int) -> int:
    whole = math.trunc(shift + math.copysign(0.5, shift))
    # Beyond its own length an image is grey altogether; padding cannot cut off more.
    return max(-limit, min(limit, whole))
