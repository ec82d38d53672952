"""Snow and brightness sequences."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from nsbench.corruptions._hsv import hsv_to_rgb, rgb_to_hsv
from nsbench.corruptions._pixels import round_half_up, to_unit, truncate_unit
from nsbench.corruptions._sampling import bilinear
from nsbench.perturbations._draws import Array, draw_batch
from nsbench.perturbations.blur import motion_blur


def snow(
    images: torch.Tensor,
    ids: Sequence[str],
    seed: int,
    *,
    zoom: float,
    radius: float,
    sigma: float,
    count: int,
) -> Iterator[torch.Tensor]:
    """Let one snow layer per image drift by turning its motion blur 4 degrees per frame.

    Args:
        images: uint8 (B, 3, H, W), H = W.
        ids: one id per image; with `seed` they decide the snow layer.
        seed: the seed of all draws.
        zoom: magnification of the flakes (2 in make_cifar_p.py, 3 in make_imagenet_p.py
            of hendrycks/robustness).
        radius: radius of the layer's motion blur in pixels (10 and 14).
        sigma: width of the layer's motion blur in pixels (2 and 4).
        count: the number of frames (31).

    Yields:
        uint8 (B, 3, H, W), `count` times; no frame is the clean image.

    """
    flakes = snow_layer(ids, seed, size=images.shape[-1], zoom=zoom)
    sharp = flakes.to(images.device, torch.float64)
    whitened = _whiten(to_unit(images, torch.float64))
    for frame in range(count):
        moved = round_half_up(motion_blur(sharp, radius, sigma, frame * 4 - 150))
        layer = to_unit(moved, torch.float64)
        yield truncate_unit(whitened + layer + layer.rot90(2, (-2, -1)))


def snow_layer(ids: Sequence[str], seed: int, *, size: int, zoom: float) -> torch.Tensor:
    """Draw the flakes before they are blurred: N(0.05, 0.3), magnified, cut off below 0.5.

    Args:
        ids: one id per image.
        seed: the seed of all draws.
        size: height and width in pixels.
        zoom: magnification, at least 1.

    Returns:
        uint8 (len(ids), 1, size, size).

    """
    shape = (1, size, size)

    def draw(index: int, rng: np.random.Generator) -> Array:
        return rng.normal(0.05, 0.3, shape)

    layer = clipped_zoom(torch.from_numpy(draw_batch(draw, ids, seed, "snow", shape)), zoom)
    return truncate_unit(layer * (layer >= 0.5))


def clipped_zoom(layers: torch.Tensor, factor: float) -> torch.Tensor:
    """Magnify the centre to the full size, as `scipy.ndimage.zoom` with order 1 does.

    Args:
        layers: (B, C, H, H), any dtype.
        factor: magnification, at least 1.

    Returns:
        float64 (B, C, H, H).

    """
    size = layers.shape[-1]
    cut = math.ceil(size / factor)
    top, zoomed = (size - cut) // 2, round(cut * factor)
    trim = (zoomed - size) // 2
    source = np.arange(trim, trim + size) * ((cut - 1) / (zoomed - 1))
    x, y = np.meshgrid(source, source)
    centre = layers[..., top : top + cut, top : top + cut]
    return bilinear(centre, x, y, black_border=False)


def brightness(images: torch.Tensor, *, percent: float, count: int) -> Iterator[torch.Tensor]:
    """Add `percent` hundredths more to V of HSV per frame, none in the middle frame.

    Hue and saturation stay, so all channels are scaled by V'/V; black turns grey. The round trip
    through HSV is scikit-image's, whose rounding lowers some pixels by 1 even at V' = V.

    Args:
        images: uint8 (B, 3, H, W).
        percent: change of V per frame (1.5 in make_cifar_p.py, 2 in make_imagenet_p.py
            of hendrycks/robustness).
        count: the number of frames (31).

    Yields:
        uint8 (B, 3, H, W), `count` times.

    """
    hue, saturation, value = rgb_to_hsv(to_unit(images, torch.float64))
    for frame in range(count):
        brighter = (value + (frame - count // 2) * percent / 100.0).clamp(0.0, 1.0)
        yield truncate_unit(hsv_to_rgb(hue, saturation, brighter))


def _whiten(unit: torch.Tensor) -> torch.Tensor:
    red, green, blue = unit.unbind(1)
    grey = (red * 0.299 + green * 0.587 + blue * 0.114).unsqueeze(1)
    return unit * 0.85 + torch.maximum(unit, grey * 1.5 + 0.5) * (1 - 0.85)
