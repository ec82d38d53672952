"""HSV conversions with the rounding of scikit-image, which the official scripts truncate."""

import torch

from nsbench.pixels.convert import constant
from nsbench.util.device import fixed

# Per sixth of the hue circle, what red, green and blue are: the value (0), the rising (1),
# the falling (2) or the low channel (3).
_SECTORS = (*(0, 1, 3), *(2, 0, 3), *(3, 0, 1), *(3, 2, 0), *(1, 3, 0), *(0, 3, 2))


def rgb_to_hsv(unit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Split colours into hue, saturation and value.

    Args:
        unit: float (B, 3, H, W) in [0, 1].

    Returns:
        Three tensors (B, H, W) in [0, 1]; hue is 0 for greys, saturation for black too.

    """
    red, green, blue = unit.unbind(1)
    value = unit.amax(1)
    delta = value - unit.amin(1)
    # Greys are divided by 0 here, and black below too; both are masked in the end. Where two
    # channels share the maximum, scikit-image takes the later one.
    hue = torch.where(green == value, (blue - red) / delta + 2.0, (green - blue) / delta)
    hue = torch.where(blue == value, (red - green) / delta + 4.0, hue)
    grey = delta == 0
    hue = (hue / constant(6.0, hue)).remainder(1.0).masked_fill(grey, 0.0)
    return hue, (delta / value).masked_fill(grey, 0.0), value


def hsv_to_rgb(hue: torch.Tensor, saturation: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Join hue, saturation and value, each float (B, H, W) in [0, 1], to (B, 3, H, W)."""
    sector = (hue * 6.0).floor()
    fraction = hue * 6.0 - sector
    falling = value * (1.0 - fraction * saturation)
    rising = value * (1.0 - (1.0 - fraction) * saturation)
    low = value * (1.0 - saturation)
    table = fixed(_SECTORS, hue.device, torch.int64).view(6, 3)
    order = table[sector.long() % 6].movedim(-1, 1)  # % 6: a hue of 1 is one of 0
    return torch.stack((value, rising, falling, low), 1).gather(1, order)
