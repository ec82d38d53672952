"""The colour operations of the official RandAugment and Cutout, on batches of uint8 images.

The formulas are those of randaugment.py in google-research/noisystudent, which are TensorFlow's
forms of Pillow's. Values are cut off, not rounded, where the official code casts to uint8.
Whatever acts on single values is a table of 256 entries, uint8 (256,) for all images or
(B, 3, 256) where it depends on the plane.

Only single IEEE operations are used, so that a result depends neither on the batch size nor on
where in the batch an image stands.
"""

import numpy as np
import torch
from numpy.typing import NDArray

FILL = 128
"""Grey of the pixels that an operation leaves empty."""

_VALUES = np.arange(256)


def look_up(images: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Replace every value of uint8 images by its entry in one table, uint8 (256,)."""
    return table.index_select(0, images.to(torch.int32).flatten()).view(images.shape)


def look_up_planes(images: torch.Tensor, tables: torch.Tensor) -> torch.Tensor:
    """Replace every value of uint8 (B, 3, H, W) by its entry in its plane's table."""
    return tables.flatten().index_select(0, _plane_entries(images)).view(images.shape)


def _plane_entries(images: torch.Tensor) -> torch.Tensor:
    """Where the values stand in the joined tables of all planes, int32 (B * 3 * H * W,)."""
    planes = images.flatten(0, 1).flatten(1).to(torch.int32)
    first = torch.arange(len(planes), dtype=torch.int32, device=images.device) * 256
    return planes.add_(first[:, None]).flatten()


def invert() -> torch.Tensor:
    """255 - value."""
    return _bytes(255 - _VALUES)


def posterize(bits: int) -> torch.Tensor:
    """Keep the upper `bits` bits, as the official code does with any number of them.

    It shifts by 8 - bits to the right and back. TensorFlow takes the shift as uint8, so that a
    negative one wraps, and limits it to 7: 0 bits and more than 8 both leave 0 and 128.
    """
    shift = min((8 - bits) % 256, 7)
    return _bytes(_VALUES >> shift << shift)


def solarize(threshold: int) -> torch.Tensor:
    """Invert the values that are not below the threshold, which TensorFlow takes modulo 256.

    So magnitude 27 has the threshold 691 - 512 = 179, and magnitude 10 inverts all
    (google-research/big_vision#110).
    """
    return _bytes(np.where(threshold % 256 > _VALUES, _VALUES, 255 - _VALUES))


def solarize_add(addition: int) -> torch.Tensor:
    """Add to the values below 128, up to 255."""
    return _bytes(np.where(_VALUES < 128, np.minimum(_VALUES + addition, 255), _VALUES))


def brightness(factor: float) -> torch.Tensor:
    """Blend with black."""
    return _blend_with(0, factor)


def contrast(factor: float, pixels: int) -> torch.Tensor:
    """Blend with a grey that the official code makes of the number of pixels.

    It means to take the mean grey, but divides the sum of the histogram's counts by 256: the grey
    is pixels / 256 in every image, at most 255 (4 at 32 px, 196 at 224 px).
    """
    return _blend_with(min(pixels // 256, 255), factor)


def _blend_with(grey: int, factor: float) -> torch.Tensor:
    values = _VALUES.astype(np.float32)
    blended = np.float32(grey) + np.float32(factor) * (values - np.float32(grey))
    return _bytes(blended.clip(0, 255))


def _bytes(values: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(values.astype(np.uint8))


def autocontrast(images: torch.Tensor) -> torch.Tensor:
    """Stretch each plane of uint8 (B, 3, H, W) to 0..255: value * scale - lowest * scale.

    scale = 255 / (highest - lowest); a plane of one value stays.
    """
    low = images.amin((2, 3)).to(torch.float32)[..., None]
    high = images.amax((2, 3)).to(torch.float32)[..., None]
    flat = high <= low
    scale = torch.full_like(low, 255.0) / (high - low).masked_fill_(flat, 255.0)
    offset = (-low * scale).masked_fill_(flat, 0.0)
    values = torch.arange(256, dtype=torch.float32, device=images.device)
    return look_up_planes(images, _pixels(values * scale + offset))


def equalize(images: torch.Tensor) -> torch.Tensor:
    """Spread each plane's histogram evenly, as Pillow's `ImageOps.equalize` does.

    step = (pixels - those of the highest value present) // 255; a value becomes
    (pixels below it + step // 2) // step, at most 255. A plane whose step is 0 stays.
    """
    entries = _plane_entries(images)
    counts = torch.zeros(images.shape[:2].numel() * 256, dtype=torch.int32, device=images.device)
    counts.index_add_(0, entries, entries.new_ones(1).expand(len(entries)))
    counts = counts.view(*images.shape[:2], 256)
    highest = images.amax((2, 3)).to(torch.int64)[..., None]
    pixels = images.shape[2] * images.shape[3]
    step = (pixels - counts.gather(2, highest)) // 255
    below = counts.cumsum(2, dtype=torch.int32) - counts
    spread = ((below + step // 2) // step.clamp(min=1)).clamp_(max=255)
    tables = torch.where(step == 0, torch.arange(256, device=images.device), spread)
    return look_up_planes(images, tables.to(torch.uint8))


def color(images: torch.Tensor, factor: float) -> torch.Tensor:
    """Blend uint8 (B, 3, H, W) with its grey image.

    Grey is TensorFlow's: 0.2989 R + 0.587 G + 0.114 B of values in [0, 1], times 255.5, cut off.
    """
    values = images.to(torch.float32)
    red, green, blue = values.unbind(1)
    grey = (red * 0.2989).add_(green * 0.587).add_(blue * 0.114).mul_(255.5 / 255.0)
    return _blend(grey.to(torch.int16).to(torch.float32)[:, None], values, factor)


def sharpness(images: torch.Tensor, factor: float) -> torch.Tensor:
    """Blend uint8 (B, 3, H, W) with its smoothed image; the outermost pixels stay.

    Smoothed is the mean of the 3 x 3 neighbours in which the centre counts 5 times, cut off. It is
    the exact one; TensorFlow's sum of 1/13 parts can fall just below a whole number.
    """
    sums = images.to(torch.int16)
    sums = sums[:, :, :-2] + sums[:, :, 1:-1] + sums[:, :, 2:]
    sums = sums[..., :-2] + sums[..., 1:-1] + sums[..., 2:]
    inner = images[:, :, 1:-1, 1:-1]
    sums += inner.to(torch.int16).mul_(4)
    smooth = sums.to(torch.float32).add_(0.5).mul_(1 / 13).to(torch.int16).to(torch.float32)
    result = images.clone()
    result[:, :, 1:-1, 1:-1] = _blend(smooth, inner.to(torch.float32), factor)
    return result


def _blend(first: torch.Tensor, second: torch.Tensor, factor: float) -> torch.Tensor:
    """Blend: first + factor * (second - first) as uint8; a factor above 1 leads beyond the second."""
    return _pixels((second - first).mul_(factor).add_(first))


def _pixels(values: torch.Tensor) -> torch.Tensor:
    # a CPU makes 8 bits of 16 five times as fast as of a float
    return values.clamp_(0, 255).to(torch.int16).to(torch.uint8)


def cut_out(
    images: torch.Tensor, rows: NDArray[np.int64], columns: NDArray[np.int64], pad: int
) -> torch.Tensor:
    """Fill a square of side 2 * pad in each image of uint8 (B, 3, H, W) with grey.

    Rows and columns, int64 (B,) each, are those of the centres: the square reaches from
    centre - pad to centre + pad - 1, as far as that is inside.
    """
    near_rows = byte_masks(_near(rows, pad, images.shape[2]), images.device)
    near_columns = byte_masks(_near(columns, pad, images.shape[3]), images.device)
    square = near_rows[:, None, :, None] & near_columns[:, None, None, :]
    return fill_outside(images, square.bitwise_not_())


def _near(centres: NDArray[np.int64], pad: int, length: int) -> NDArray[np.bool_]:
    distance = np.arange(length) - centres[:, None]
    near: NDArray[np.bool_] = (distance >= -pad) & (distance < pad)
    return near


def byte_masks(chosen: NDArray[np.bool_], device: torch.device) -> torch.Tensor:
    """255 where chosen, else 0: uint8 of the same shape.

    A CPU combines such masks with images 20 times as fast as it selects by truth values.
    """
    return _bytes(np.where(chosen, 255, 0)).to(device, non_blocking=True)


def fill_outside(images: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """Set uint8 values to grey where `keep` is 0; it is 255 elsewhere, and broadcast."""
    return images.bitwise_and(keep).bitwise_or_(keep.bitwise_not().bitwise_and_(FILL))
