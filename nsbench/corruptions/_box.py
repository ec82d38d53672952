"""Resizing by averages over boxes, in whole-number arithmetic on a batch of images."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

# Of a coefficient's fraction, as in Resample.c: of 32 bits they leave 8 for the pixel and 2 for
# sums beyond it. With any other number some pixels would be rounded differently.
_PRECISION_BITS = 32 - 8 - 2


def box_resize(images: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Resize as Pillow's `resize((width, height), Image.Resampling.BOX)` does, bit for bit.

    As in Pillow's Resample.c, the width changes first, the height second, each rounded to 8
    bits. Pillow 13 takes the height first where it loses more than twice as many pixels as the
    width does, which can move a value by one; this function does not, so that a result is that
    of earlier versions and, from squares to squares, of all.

    Args:
        images: uint8 (B, C, H, W).
        height: of the result, at least 1.
        width: of the result, at least 1.

    Returns:
        uint8 (B, C, height, width).

    """
    return _resize(_resize(images, -1, width), -2, height)


def _resize(images: torch.Tensor, dim: int, size: int) -> torch.Tensor:
    """Resize one dimension, -1 or -2, to `size`."""
    if images.shape[dim] == size:  # Pillow skips this pass, too
        return images
    first, weights = _taps(images.shape[dim], size, images.device)
    if len(weights) == 1:  # enlarging: every box is one pixel of weight 1, and sums are not needed
        return images.index_select(dim, first)
    if dim == -2:
        weights = weights.unsqueeze(-1)
    # Half a unit, so that the shift below rounds to the nearest value, as in Resample.c.
    half = 1 << (_PRECISION_BITS - 1)
    total = torch.full((), half, dtype=torch.int32, device=images.device)
    for tap, weight in enumerate(weights):
        # A box may have fewer pixels than the largest one; what it lacks weighs nothing.
        index = (first + tap).clamp(max=images.shape[dim] - 1)
        total = total + images.index_select(dim, index) * weight
    # Weights are rounded one by one, so that those of a box may sum to a trace above 1.
    return (total >> _PRECISION_BITS).clamp(max=255).to(torch.uint8)


@lru_cache(maxsize=32)  # the factors of pixelate, there and back, at some sizes
def _taps(old: int, new: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The first pixel of each box, int64 (new,), and the weights of its pixels, int32 (n, new).

    The float64 operations and their order are those of Resample.c.
    """
    scale = old / new
    widening = max(scale, 1.0)  # a box never covers less than a pixel
    center = (np.arange(new) + 0.5) * scale
    # The box reaches half its width (Pillow's support of the filter, 0.5) to either side; adding
    # 0.5 before the cast rounds to the nearest edge of a pixel.
    first = np.maximum((center - 0.5 * widening + 0.5).astype(np.int64), 0)
    end = np.minimum((center + 0.5 * widening + 0.5).astype(np.int64), old)
    pixel = first + np.arange((end - first).max())[:, None]
    # A product with the reciprocal, as in C, and open only on the left, as Pillow's box_filter: at
    # an edge the last bit decides to which of two boxes a pixel belongs.
    offset = (pixel - center + 0.5) * (1.0 / widening)
    inside = (pixel < end) & (offset > -0.5) & (offset <= 0.5)
    weights = torch.from_numpy(_fixed_point(inside))
    return torch.from_numpy(first).to(device), weights.to(device)


def _fixed_point(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """Share a weight of one evenly among the pixels of each box (a column of `inside`)."""
    shares = inside / inside.sum(0)
    # Half a unit and a cast, which cuts off: the rounding of normalize_coeffs_8bpc in Resample.c.
    return np.asarray(0.5 + shares * (1 << _PRECISION_BITS)).astype(np.int32)
