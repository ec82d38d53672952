"""The colour operations of the official RandAugment and Cutout, on batches of uint8 images.

The formulas are those of randaugment.py in google-research/noisystudent, which are TensorFlow's
forms of Pillow's. Values are cut off, not rounded, where the official code casts to uint8. All take
uint8 (B, 3, H, W) and return new memory of the same shape, on the same device.

Only single IEEE operations are used, so that a result depends neither on the batch size nor on
where in the batch an image stands. Nothing compares or selects by truth values: a CPU works with
masks of bytes, 0 or 255, ten times as fast.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.util.device import sent

FILL = 128
"""Grey of the pixels that an operation leaves empty, the official code's `replace`."""


def invert(images: torch.Tensor) -> torch.Tensor:
    """255 - value."""
    return images.bitwise_not()


def posterize(images: torch.Tensor, bits: int) -> torch.Tensor:
    """Keep the upper `bits` bits, as the official code does with any number of them.

    It shifts by 8 - bits to the right and back. TensorFlow takes the shift as uint8, so that a
    negative one wraps, and limits it to 7: 0 bits and more than 8 both leave 0 and 128.
    """
    shift = min((8 - bits) % 256, 7)
    return images.bitwise_and(255 >> shift << shift)


def solarize(images: torch.Tensor, threshold: int) -> torch.Tensor:
    """Invert the values that are not below the threshold, which TensorFlow takes modulo 256.

    So magnitude 27 has the threshold 691 - 512 = 179, and magnitude 10 inverts all
    (google-research/big_vision#110).
    """
    # 1 where the comparison holds, which as a negative uint8 is 255: xor with it inverts.
    return images.clone().ge_(threshold % 256).neg_().bitwise_xor_(images)


def solarize_add(images: torch.Tensor, addition: int) -> torch.Tensor:
    """Add to the values below 128, up to 255."""
    # Limited before the addition, so that a sum stays within 8 bits.
    added = images.clamp(max=255 - min(addition, 255)).add_(min(addition, 255))
    dark = images.clone().lt_(128).neg_()
    return added.bitwise_and_(dark).bitwise_or_(images & ~dark)


def brightness(images: torch.Tensor, factor: float) -> torch.Tensor:
    """Blend with black."""
    return _pixels(images.to(torch.float32).mul_(factor))


def contrast(images: torch.Tensor, factor: float) -> torch.Tensor:
    """Blend with a grey that the official code makes of the number of pixels.

    It means to take the mean grey, but divides the sum of the histogram's counts by 256: the grey
    is H * W / 256 in every image, at most 255 (4 at 32 px, 196 at 224 px).
    """
    grey = min(images.shape[2] * images.shape[3] // 256, 255)
    return _pixels(images.to(torch.float32).sub_(grey).mul_(factor).add_(grey))


def color(images: torch.Tensor, factor: float) -> torch.Tensor:
    """Blend with the grey image.

    Grey is TensorFlow's: 0.2989 R + 0.587 G + 0.114 B of values in [0, 1], times 255.5, cut off.
    """
    values = images.to(torch.float32)
    red, green, blue = values.split(1, 1)
    grey = (red * 0.2989).add_(green * 0.587).add_(blue * 0.114).mul_(255.5 / 255.0).floor_()
    return _pixels(values.sub_(grey).mul_(factor).add_(grey))


def sharpness(images: torch.Tensor, factor: float) -> torch.Tensor:
    """Blend with the smoothed image; the outermost pixels stay.

    Smoothed is the mean of the 3 x 3 neighbours in which the centre counts 5 times, cut off. It is
    the exact one; TensorFlow's sum of 1/13 parts can fall just below a whole number.
    """
    width = images.shape[3]
    # The whole batch as one line, whose slices are added without gaps: sums that reach across an
    # edge are wrong, and are put right at the end. 16 bits hold 13 times 255.
    flat = images.flatten().to(torch.int16)
    lines = flat[:-2] + flat[1:-1] + flat[2:]
    sums = lines[: -2 * width] + lines[width:-width] + lines[2 * width :]
    inner = flat[width + 1 : -width - 1]
    # Sums are whole numbers: half a unit more keeps a multiple of 13 from falling below itself.
    smooth = sums.add_(inner, alpha=4).to(torch.float32).add_(0.5).mul_(1 / 13).floor_()
    result = images.clone()
    blended = _pixels(inner.to(torch.float32).sub_(smooth).mul_(factor).add_(smooth))
    result.view(-1)[width + 1 : -width - 1] = blended
    for edge in (slice(0, 1), slice(-1, None)):
        result[:, :, edge] = images[:, :, edge]
        result[..., edge] = images[..., edge]
    return result


def _pixels(values: torch.Tensor) -> torch.Tensor:
    # a CPU makes 8 bits of 16 five times as fast as of a float
    return values.clamp_(0, 255).to(torch.int16).to(torch.uint8)


def autocontrast(images: torch.Tensor) -> torch.Tensor:
    """Stretch each plane to 0..255: value * scale - lowest * scale, in float32.

    scale = 255 / (highest - lowest); a plane of one value stays.
    """
    planes = images.flatten(2)
    low = planes.amin(2, keepdim=True).to(torch.float32)
    high = planes.amax(2, keepdim=True).to(torch.float32)
    flat = high <= low  # where the scale is infinite; 1 and 0 below leave such a plane as it is
    scale = (torch.full_like(low, 255.0) / (high - low)).masked_fill_(flat, 1.0)
    offset = (-low * scale).masked_fill_(flat, 0.0)
    return _pixels(planes.to(torch.float32).mul_(scale).add_(offset)).view(images.shape)


def equalize(images: torch.Tensor) -> torch.Tensor:
    """Spread each plane's histogram evenly, as Pillow's `ImageOps.equalize` does.

    step = (pixels - those of the highest value present) // 255; a value becomes
    (pixels below it + step // 2) // step, at most 255. A plane whose step is 0 stays.
    """
    planes = images.flatten(0, 1).flatten(1)
    counts = _histograms(planes)
    highest = planes.amax(1, keepdim=True).to(torch.int64)
    step = (planes.shape[1] - counts.gather(1, highest)) // 255
    # int32 like the counts; a sum of int32 would become int64.
    below = counts.cumsum(1, dtype=torch.int32) - counts
    # a quotient in float32, cut off, is exact below 2^22 pixels; a CPU divides integers slowly
    spread = (below + step // 2).to(torch.float32).add_(0.5).div_(step.clamp(min=1))
    # One table of 256 values a plane, looked up for all pixels at once.
    same = torch.arange(256, dtype=torch.uint8, device=images.device)
    tables = torch.where(step == 0, same, _pixels(spread))
    return tables.gather(1, planes.to(torch.int64)).view(images.shape)


def _histograms(planes: torch.Tensor) -> torch.Tensor:
    """How often each value occurs in each of P planes: int32 (P, 256) of uint8 (P, N)."""
    # Planes side by side in one long histogram, as torch counts one only.
    first = torch.arange(len(planes), dtype=torch.int32, device=planes.device) * 256
    bins = (planes.to(torch.int32) + first[:, None]).flatten()
    counts = torch.zeros(len(planes) * 256, dtype=torch.int32, device=planes.device)
    # The ones to add are a single one in memory. Whole numbers, so that the order does not matter.
    return counts.index_add_(0, bins, bins.new_ones(1).expand(len(bins))).view(-1, 256)


def cut_out(
    images: torch.Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64], pad: int
) -> torch.Tensor:
    """Fill a square of side 2 * pad in each image with grey.

    Rows and columns, int64 (B,) each, are those of the centres: the square reaches from
    centre - pad to centre + pad - 1, as far as that is inside.
    """
    near_rows = byte_masks(_near(rows, pad, images.shape[2]), images.device)
    near_columns = byte_masks(_near(columns, pad, images.shape[3]), images.device)
    square = near_rows[:, None, :, None] & near_columns[:, None, None, :]
    grey = square & FILL
    return images.bitwise_and(square.bitwise_not_()).bitwise_or_(grey)


def _near(centres: NDArray[np.int64], pad: int, length: int) -> NDArray[np.bool_]:
    distance = np.arange(length) - centres[:, None]
    near: NDArray[np.bool_] = (distance >= -pad) & (distance < pad)
    return near


def byte_masks(chosen: NDArray[np.bool_], device: torch.device) -> torch.Tensor:
    """255 where chosen, else 0: uint8 of the same shape."""
    return sent(torch.from_numpy(chosen.view(np.uint8)), device).neg()
