"""Batches of clean images, on the device."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from nsbench.data.prefetch import prefetch_map
from nsbench.evaluation.decoded_file import DecodedImages
from nsbench.evaluation.options import Options

AHEAD = 3
"""Batches that lie ready in pinned memory: one is copied while the next ones are read."""


class Batch(NamedTuple):
    """Rows of this process's images, and the images on the device as uint8 (B, 3, S, S)."""

    rows: slice
    images: torch.Tensor


def row_slices(count: int, batch_size: int) -> list[slice]:
    """The row ranges of consecutive batches."""
    return [slice(start, min(start + batch_size, count)) for start in range(0, count, batch_size)]


def clean_batches(crops: DecodedImages, options: Options) -> Iterator[Batch]:
    """The images as they are."""
    slices = row_slices(len(crops), options.batch_size)
    yield from map(Batch, slices, on_device(crops, slices, options.device))


def on_device(
    crops: DecodedImages, slices: Sequence[slice], device: torch.device
) -> Iterator[torch.Tensor]:
    """Batches of clean images on the device; threads read the next ones meanwhile."""
    # On the CPU there is no copy to hide, and reading ahead would take cores from the models.
    if device.type == "cpu":
        yield from map(crops.batch, slices)
        return
    for images in prefetch_map(lambda rows: crops.batch(rows).pin_memory(), slices, ahead=AHEAD):
        # Pinned, so that the copy need not wait for the models.
        yield images.to(device, non_blocking=True)
