"""What a photograph loses in a JPEG file, in whole-number arithmetic on a batch of images.

The result is, bit for bit, that of saving and loading with Pillow, whose codec is
libjpeg-turbo with its defaults: chroma at half the resolution, the accurate integer cosine
transform, smooth ("fancy") upsampling. Entropy coding loses nothing and is left out. The names
of libjpeg's files are given where a step follows one of them. Integers are int32 throughout, so
a result depends neither on the device nor on the batch.
"""

from functools import lru_cache

import torch

from nsbench.util.device import sent

# The quantisation steps of Annex K of the JPEG standard (ITU-T T.81, tables K.1 and K.2) in row
# order, which libjpeg scales by the quality.
_LUMA_TABLE = (
    *(16, 11, 10, 16, 24, 40, 51, 61),
    *(12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77),
    *(24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101),
    *(72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMA_TABLE = (
    *(17, 18, 24, 47, 99, 99, 99, 99),
    *(18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99),
    *(47, 66, 99, 99, 99, 99, 99, 99),
    *(99, 99, 99, 99, 99, 99, 99, 99),
    *(99, 99, 99, 99, 99, 99, 99, 99),
    *(99, 99, 99, 99, 99, 99, 99, 99),
    *(99, 99, 99, 99, 99, 99, 99, 99),
)
# Widths of libjpeg's fixed-point numbers. Each decides roundings, and thus pixels.
_COLOR_BITS = 16  # of the fraction, in colour conversion: SCALEBITS of jccolor.c and jdcolor.c
_CONST_BITS = 13  # of the fraction, in the constants of the cosine transform (jfdctint.c)
_PASS_BITS = 2  # of the fraction, kept between a transform's two passes: PASS1_BITS there


def jpeg(images: torch.Tensor, quality: int) -> torch.Tensor:
    """Compress and decompress as Pillow's `save(file, "JPEG", quality=quality)` and `open` do.

    Args:
        images: uint8 (B, 3, H, W), RGB, of any height and width.
        quality: 1 to 100.

    Returns:
        uint8 (B, 3, H, W), RGB.

    """
    height, width = images.shape[-2:]
    luma, chroma = _to_ycc(images)
    # Luma is coded in blocks of 8 x 8 px, chroma in blocks of as many averages of 2 x 2 px.
    luma = _extend(luma, _ceil(height, 8) * 8, _ceil(width, 8) * 8)
    luma = _code(luma, _table(_LUMA_TABLE, quality, images.device))
    chroma = _code(_downsample(chroma), _table(_CHROMA_TABLE, quality, images.device))
    # The rows and columns that fill up the blocks have no part in the upsampling.
    chroma = _upsample(chroma[..., : _ceil(height, 2), : _ceil(width, 2)])
    return _to_rgb(luma[..., :height, :width], chroma[..., :height, :width])


def _ceil(value: int, divisor: int) -> int:
    return -(-value // divisor)


def _color(value: float) -> int:
    # Of five decimals, as below: with all digits, 0.16874 and 0.33126 give other integers.
    return round(value * (1 << _COLOR_BITS))


def _to_ycc(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn RGB into luma, int32 (B, 1, H, W), and Cb and Cr, int32 (B, 2, H, W), as jccolor.c."""
    red, green, blue = images.to(torch.int32).unbind(1)
    half = 1 << (_COLOR_BITS - 1)
    y = red * _color(0.299) + green * _color(0.587) + blue * _color(0.114) + half
    # One less than a half, so that the largest value is 255 and needs no clipping.
    middle = (128 << _COLOR_BITS) + half - 1
    cb = blue * half - red * _color(0.16874) - green * _color(0.33126) + middle
    cr = red * half - green * _color(0.41869) - blue * _color(0.08131) + middle
    return y.unsqueeze(1) >> _COLOR_BITS, torch.stack([cb, cr], 1) >> _COLOR_BITS


def _to_rgb(luma: torch.Tensor, chroma: torch.Tensor) -> torch.Tensor:
    """Turn what `_to_ycc` makes into uint8 RGB (B, 3, H, W), as jdcolor.c."""
    y, (cb, cr) = luma.squeeze(1), (chroma - 128).unbind(1)
    half = 1 << (_COLOR_BITS - 1)
    red = y + ((cr * _color(1.402) + half) >> _COLOR_BITS)
    # Green's two products are summed before they are rounded, once.
    green = y + ((half - cb * _color(0.34414) - cr * _color(0.71414)) >> _COLOR_BITS)
    blue = y + ((cb * _color(1.772) + half) >> _COLOR_BITS)
    return torch.stack([plane.clamp(0, 255).to(torch.uint8) for plane in (red, green, blue)], 1)


def _extend(planes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Repeat the last row and column of (..., h, w) up to (..., height, width)."""
    for dim, size in ((-2, height), (-1, width)):
        if planes.shape[dim] < size:
            index = torch.arange(size, device=planes.device).clamp(max=planes.shape[dim] - 1)
            planes = planes.index_select(dim, index)
    return planes


def _downsample(planes: torch.Tensor) -> torch.Tensor:
    """Average 2x2 pixels of (B, C, H, W) and fill up blocks, as jcsample.c and jcprepct.c.

    Columns are repeated before the averaging, rows after it.
    """
    height, width = planes.shape[-2:]
    # 16 px of an image are the 8 of a chroma block.
    planes = _extend(planes, height + height % 2, _ceil(width, 16) * 16)
    planes = planes[..., ::2, :] + planes[..., 1::2, :]
    planes = planes[..., ::2] + planes[..., 1::2]
    # Halves go down in even columns and up in odd ones, as in h2v2_downsample: always upwards, they
    # would make the image brighter on the whole.
    bias = 1 + torch.arange(planes.shape[-1], dtype=torch.int32, device=planes.device) % 2
    return _extend((planes + bias) >> 2, _ceil(height, 16) * 8, planes.shape[-1])


def _upsample(planes: torch.Tensor) -> torch.Tensor:
    """Double both sides of (B, C, h, w), along each the nearer pixel weighing 3, the other 1.

    As jdsample.c, which just repeats pixels where there are fewer than three columns.
    """
    if planes.shape[-1] < 3:
        return planes.repeat_interleave(2, -2).repeat_interleave(2, -1)
    planes = torch.stack(_blends(planes, -2), -2).flatten(-3, -2)
    even, odd = _blends(planes, -1)
    # Sums are 16 times a value. Halves go up in even columns and down in odd ones.
    return torch.stack([(even + 8) >> 4, (odd + 7) >> 4], -1).flatten(-2)


def _blends(planes: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three times each pixel plus the one before it, and plus the one after it; edges repeat."""
    last = planes.shape[dim] - 1
    index = torch.arange(last + 1, device=planes.device)
    before = planes.index_select(dim, (index - 1).clamp(min=0))
    after = planes.index_select(dim, (index + 1).clamp(max=last))
    return planes * 3 + before, planes * 3 + after


@lru_cache(maxsize=64)  # two tables for each of some qualities
def _table(basic: tuple[int, ...], quality: int, device: torch.device) -> torch.Tensor:
    """The quantisation steps of a quality, int32 (8, 8, 1), 1 to 255, as jcparam.c.

    Not to be written to.
    """
    # jpeg_quality_scaling: 50 leaves the tables as they are, 100 makes every step 1.
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps = [min(max((value * scale + 50) // 100, 1), 255) for value in basic]
    return sent(torch.tensor(steps, dtype=torch.int32).reshape(8, 8, 1), device)


def _code(planes: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Quantise (B, C, h, w) of whole 8x8 blocks, 0 to 255, and turn them back."""
    batch, channels, height, width = planes.shape
    # Values are centred at 0, as the standard has it. Blocks come last, so that each step of a
    # transform works on contiguous memory.
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8) - 128
    blocks = blocks.permute(3, 5, 0, 1, 2, 4)
    shape = blocks.shape
    coefficients = _quantise(_forward(blocks.reshape(8, 8, -1)), table) * table
    pixels = (_inverse(coefficients) + 128).clamp(0, 255)
    return pixels.reshape(shape).permute(2, 3, 4, 0, 5, 1).reshape(planes.shape)


def _quantise(coefficients: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Divide by the steps, halves away from zero, as jcdctmgr.c."""
    # What comes out of the forward transform is eight times too large. The sign is set aside, so
    # that adding half a step before the cut rounds positive and negative values alike.
    size = torch.div(coefficients.abs() + table * 4, table * 8, rounding_mode="trunc")
    return size * coefficients.sign()


def _forward(blocks: torch.Tensor) -> torch.Tensor:
    """The cosine transform of int32 (8, 8, N), times eight, as jfdctint.c: rows, then columns."""
    rows = _descale(_forward_pass(blocks, 1), _CONST_BITS - _PASS_BITS)
    return _descale(_forward_pass(rows, 0), _CONST_BITS + _PASS_BITS)


def _inverse(blocks: torch.Tensor) -> torch.Tensor:
    """The inverse transform of int32 (8, 8, N), as jidctint.c: columns, then rows."""
    columns = _descale(_inverse_pass(blocks, 0), _CONST_BITS - _PASS_BITS)
    # 3 bits more: a two-dimensional transform of 8 x 8 by these passes is 8 times too large.
    return _descale(_inverse_pass(columns, 1), _CONST_BITS + _PASS_BITS + 3)


def _descale(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Divide by 2 ** bits, halves up; in place, to save memory."""
    return values.add_(1 << (bits - 1)).bitwise_right_shift_(bits)


def _forward_pass(blocks: torch.Tensor, dim: int) -> torch.Tensor:
    # The factorisation of Loeffler, Ligtenberg and Moschytz (1989), in the order of jfdctint.c: the
    # sums of opposite values give the even terms, their differences the odd ones.
    x = blocks.unbind(dim)
    low = [x[i] + x[7 - i] for i in range(4)]
    outer, inner = low[0] + low[3], low[1] + low[2]
    y2, y6 = _rotate(low[0] - low[3], low[1] - low[2])
    # Shifted to the scale of the products, so that all terms are descaled alike.
    y0, y4 = (outer + inner) << _CONST_BITS, (outer - inner) << _CONST_BITS
    y7, y5, y3, y1 = _odd(*(x[i] - x[7 - i] for i in (3, 2, 1, 0)))
    return torch.stack([y0, y1, y2, y3, y4, y5, y6, y7], dim)


def _inverse_pass(blocks: torch.Tensor, dim: int) -> torch.Tensor:
    # The forward pass backwards, as in jidctint.c.
    y = blocks.unbind(dim)
    outer, inner = _rotate(y[2], y[6])
    plus, minus = (y[0] + y[4]) << _CONST_BITS, (y[0] - y[4]) << _CONST_BITS
    even = [plus + outer, minus + inner, minus - inner, plus - outer]
    odd = _odd(y[7], y[5], y[3], y[1])[::-1]
    first = [a + b for a, b in zip(even, odd, strict=True)]
    second = [a - b for a, b in zip(even, odd, strict=True)]
    return torch.stack(first + second[::-1], dim)


def _constant(value: float) -> int:
    return round(value * (1 << _CONST_BITS))


def _rotate(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The rotation among the even terms, the same in both directions."""
    # Here and below: sqrt(2) times cosines of multiples of pi / 16, and sums and differences of
    # them, with the digits that libjpeg's names for them have (FIX_0_541196100).
    both = (a + b) * _constant(0.541196100)
    return both + a * _constant(0.765366865), both - b * _constant(1.847759065)


def _odd(
    a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, d: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The odd terms, which are the same in both directions."""
    all_four = (a + b + c + d) * _constant(1.175875602)
    ad, bc = (a + d) * -_constant(0.899976223), (b + c) * -_constant(2.562915447)
    ac = all_four - (a + c) * _constant(1.961570560)
    bd = all_four - (b + d) * _constant(0.390180644)
    return (
        a * _constant(0.298631336) + ad + ac,
        b * _constant(2.053119869) + bc + bd,
        c * _constant(3.072711026) + bc + ac,
        d * _constant(1.501321110) + ad + bd,
    )
