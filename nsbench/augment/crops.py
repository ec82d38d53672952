"""Flips, padded random crops and Cutout of uint8 batches, each image as its own key decides.

All take uint8 (B, 3, H, W) on any device and uint64 keys (B,) on the host, and return new memory of
the same shape.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.augment.color import byte_masks, cut_out
from nsbench.augment.keys import Keys, Purpose, integers, uniform
from nsbench.util.device import sent

PadMode = Literal["zero", "reflect"]


def flip(images: torch.Tensor, keys: Keys, probability: float) -> torch.Tensor:
    """Mirror each image left to right with this probability."""
    chosen = np.flatnonzero(uniform(keys, Purpose.FLIP) < probability)
    # Only those chosen are mirrored, behind the others; then each image's version is picked. The
    # host knows all sizes, so that it does not wait for the device.
    sources = np.arange(len(images))
    sources[chosen] = len(images) + np.arange(len(chosen))
    picked, mirrored = (on_device(indices, images.device) for indices in (sources, chosen))
    flipped = images.index_select(0, mirrored).flip(-1)
    return torch.cat((images, flipped)).index_select(0, picked)


def pad_crop(images: torch.Tensor, keys: Keys, pad: int, mode: PadMode) -> torch.Tensor:
    """Pad every side by `pad` pixels and cut out a part of the old size at random.

    `zero` pads with black, `reflect` with the mirrored image, whose edge is not repeated. With
    `reflect` and 4 pixels it is the last step of the official SVHN recipe (preprocessing.py in
    google-research/noisystudent). Raises ValueError if the image is too small to be reflected.
    """
    top, left = (
        integers(keys, purpose, 2 * pad + 1) for purpose in (Purpose.CROP_TOP, Purpose.CROP_LEFT)
    )
    return crop_padded(images, top, left, pad, mode)


def crop_padded(
    images: torch.Tensor,
    top: NDArray[np.int64],
    left: NDArray[np.int64],
    pad: int,
    mode: PadMode,
) -> torch.Tensor:
    """What `pad_crop` does with given corners of the crops in the padded images, (B,) each."""
    height, width = images.shape[2:]
    # By indices into the image itself, so that no padded copy is made.
    if mode == "reflect" and pad >= min(height, width):
        raise ValueError(f"{height} x {width} pixels cannot be reflected by {pad}")
    rows = top[:, None] - pad + np.arange(height)
    columns = left[:, None] - pad + np.arange(width)
    if mode == "reflect":
        return _picked(images, _reflected(rows, height), _reflected(columns, width))
    cropped = _picked(images, rows.clip(0, height - 1), columns.clip(0, width - 1))
    # What was clipped to the edge is made black.
    cropped &= byte_masks((rows >= 0) & (rows < height), images.device)[:, None, :, None]
    cropped &= byte_masks((columns >= 0) & (columns < width), images.device)[:, None, None, :]
    return cropped


def cutout(images: torch.Tensor, keys: Keys, pad: int) -> torch.Tensor:
    """Fill a square of side 2 * pad at a random centre with grey, as far as it is inside.

    The official SVHN recipe does so to every image, with pad 8, between RandAugment and the crop.
    """
    rows = integers(keys, Purpose.CUTOUT_ROW, images.shape[2])
    columns = integers(keys, Purpose.CUTOUT_COLUMN, images.shape[3])
    return cut_out(images, rows, columns, pad)


def _reflected(indices: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Indices beyond 0 .. length - 1, by less than the length, mirrored at the edge's middle."""
    last = length - 1
    mirrored: NDArray[np.int64] = last - np.abs(last - np.abs(indices))
    return mirrored


def _picked(
    images: torch.Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> torch.Tensor:
    """Rows, int64 (B, H), and columns, int64 (B, W), of each image."""
    row_indices, column_indices = (on_device(part, images.device) for part in (rows, columns))
    # whole rows first: copying them costs a CPU a fifth of picking values one by one
    lines = images.flatten(0, 2)
    first = torch.arange(0, len(lines), images.shape[2], device=images.device)
    picked = lines.index_select(0, (first.view(-1, 3, 1) + row_indices[:, None]).flatten())
    return picked.view(images.shape).gather(3, column_indices[:, None, None].expand(images.shape))


def on_device(indices: NDArray[np.int64], device: torch.device) -> torch.Tensor:
    """Indices of the host, on the device that indexes by them; the host does not wait."""
    return sent(torch.from_numpy(indices), device)
