"""Magnification of the centre, as the original code does with `scipy.ndimage.zoom`."""

import math

import torch
from torch.nn.functional import interpolate


def clipped_zoom(images: torch.Tensor, factor: float) -> torch.Tensor:
    """Magnify the centre to the full size, bilinearly, and trim what is too much.

    Args:
        images: float (B, C, H, W), H = W or nearly so.
        factor: magnification, at least 1.

    Returns:
        float (B, C, H, W); a view where the factor is 1.

    """
    height, width = images.shape[-2:]
    # Only the part that stays visible is magnified. Rounded up, as in the original, so that the
    # result is never too small.
    high, wide = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - high) // 2, (width - wide) // 2
    centre = images[..., top : top + high, left : left + wide]
    size = (round(high * factor), round(wide * factor))  # the rounding of scipy.ndimage.zoom
    if size != (high, wide):
        # SciPy too puts the first and last pixels onto each other.
        centre = interpolate(centre, size=size, mode="bilinear", align_corners=True)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return centre[..., top : top + height, left : left + width]
