"""Conversions between 8-bit pixels and values in [0, 1], shared by corruptions and sequences.

Only single IEEE operations are used (no fused or library routines), so that a result depends
neither on the batch size nor on where in the batch an image stands.
"""

import torch

Shape = tuple[int, int]
"""Height and width in pixels."""

STEADY = 2**-9
"""What `truncate_steady` adds, in levels: 15 times the largest error of a Fourier transform of
photographs in float32 (1.3e-4, beside float64), while of a thousand values two are rounded up."""


def constant(value: float, like: torch.Tensor) -> torch.Tensor:
    """A 0-dim tensor with the dtype and device of `like`.

    Dividing by it is a true division on every device; CUDA turns a division by a Python
    number into a product with the reciprocal, which can change a truncated pixel.
    """
    return torch.full((), value, dtype=like.dtype, device=like.device)  # nothing to be copied


def to_unit(images: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Turn uint8 pixels of any shape into `dtype` values in [0, 1]."""
    # dtype decides the last bit, which decides pixels that are truncated later: the caller takes
    # that of the code it follows (float32 in torchvision, float64 in scikit-image).
    values = images.to(dtype)
    return values / constant(255.0, values)


def truncate(values: torch.Tensor) -> torch.Tensor:
    """Turn values on the 0..255 scale, of any shape, into uint8 pixels, dropping the fraction.

    Values beyond the scale are clipped. The original scripts cast with `np.uint8` or `.byte()`,
    which both truncate.
    """
    return values.clamp(0.0, 255.0).to(torch.uint8)


def truncate_steady(values: torch.Tensor) -> torch.Tensor:
    """The same for values that devices round differently, such as those of Fourier transforms.

    In an even area they are whole numbers give or take a trace, of which truncation would make two
    levels. So all are raised first, by more than such traces and too little to be seen.
    """
    return truncate(values + STEADY)


def truncate_unit(unit: torch.Tensor) -> torch.Tensor:
    """The same for values on the [0, 1] scale."""
    return (unit.clamp(0.0, 1.0) * 255.0).to(torch.uint8)


def round_half_up(values: torch.Tensor) -> torch.Tensor:
    """Turn values on the 0..255 scale, of any shape, into the nearest uint8 pixels."""
    # Halves upwards, as ImageMagick; torch.round would take them to the even neighbour.
    return (values + 0.5).floor().clamp(0.0, 255.0).to(torch.uint8)
