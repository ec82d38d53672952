"""Snow, frost, fog, brightness and spatter."""

from typing import NamedTuple

import torch

from nsbench.corruptions import _frost
from nsbench.pixels.convert import Shape, round_half_up, truncate, truncate_unit
from nsbench.pixels.draws import Draws
from nsbench.pixels.motion import motion_blur
from nsbench.pixels.spatter import MUD, WATER, colour, liquid_layer, mud_cover, water_cover
from nsbench.pixels.zoom import clipped_zoom


class Snow(NamedTuple):
    """What snow draws: flakes, standard normal float32 (B, 1, H, W), and B angles in degrees."""

    flakes: torch.Tensor
    angles: list[float]


def draw_snow(draws: Draws, shape: Shape, level: object) -> Snow:
    """Noise for the flakes, and directions uniform in [-135, -45)."""
    # Angles before noise: the order decides what each is, as they share a stream.
    angles = [float(number) for number in draws.numbers(1)[:, 0] * 90 - 135]
    return Snow(draws.normal(1, *shape), angles)


def snow(images: torch.Tensor, level: tuple[float, ...], drawn: Snow) -> torch.Tensor:
    """Whiten the image and add a layer of moved flakes, upright and upside down."""
    mean, std, zoom, threshold, radius, sigma, share = level
    flakes = snow_layer(drawn.flakes, mean, std, zoom, threshold).float()
    # 8-bit pixels between the steps, because the original passes them to ImageMagick as PNG.
    layer = round_half_up(motion_blur(flakes, radius, sigma, drawn.angles)).float()
    return truncate(whiten(images.float(), share).add_(layer + layer.rot90(2, (-2, -1))))


def snow_layer(
    noise: torch.Tensor, mean: float, std: float, zoom: float, threshold: float
) -> torch.Tensor:
    """Magnify normal noise and keep what exceeds the threshold.

    Takes standard normal float (B, 1, H, W); the other numbers are on the [0, 1] scale, but for the
    magnification. Returns uint8 (B, 1, H, W).
    """
    layer = clipped_zoom(noise * std + mean, zoom)
    return truncate_unit(layer * (layer >= threshold))


def whiten(values: torch.Tensor, share: float) -> torch.Tensor:
    """Blend the image with a whiter one: the larger of itself and 1.5 times its grey, plus 127.5.

    Takes float (B, 3, H, W) in [0, 255]. Returns the same, up to about 400.
    """
    red, green, blue = values.unbind(1)
    # The weights of OpenCV's RGB2GRAY (ITU-R BT.601). 1.5 and 127.5, which is 0.5 on the [0, 1]
    # scale, are the original's.
    grey = (red * 0.299 + green * 0.587 + blue * 0.114).unsqueeze(1)
    whiter = torch.maximum(values, grey * 1.5 + 127.5)
    return (values * share).add_(whiter.mul_(1 - share))


def draw_frost(draws: Draws, shape: Shape, level: tuple[float, float, float]) -> torch.Tensor:
    """A random crop of a random texture an image, uint8 (B, 3, H, W)."""
    textures = _frost.textures(level[2], *shape, draws.device)
    crops = []
    for chosen, down, across in draws.numbers(3):
        texture = textures[int(chosen * len(textures))]
        # As in the original, the last corner that would fit is never drawn.
        top = int(down * (texture.shape[1] - shape[0]))
        left = int(across * (texture.shape[2] - shape[1]))
        crops.append(texture[:, top : top + shape[0], left : left + shape[1]])
    return torch.stack(crops)


def frost(
    images: torch.Tensor, level: tuple[float, float, float], texture: torch.Tensor
) -> torch.Tensor:
    """Add weighted frost to the weighted image."""
    share, amount, _ = level
    return truncate((images.float() * share).add_(texture.float() * amount))


def draw_fog(draws: Draws, shape: Shape, level: object) -> torch.Tensor:
    """Noise for the fractal, uniform float32 (B, n, n) in [0, 1), n a power of two >= H and W."""
    # At the generators' own sizes this is their size of the map: 32, 64, 256 (224 px), 512 (299).
    size = 1 << (max(shape) - 1).bit_length()
    return draws.uniform(size, size)


def fog(images: torch.Tensor, level: tuple[float, float], noise: torch.Tensor) -> torch.Tensor:
    """Add a fractal, and darken by as much as it could raise the largest value."""
    amount, decay = level
    height, width = images.shape[-2:]
    clouds = plasma(noise, decay)[:, None, :height, :width]
    largest = images.amax((1, 2, 3), keepdim=True).float()
    factor = largest / (largest + 255 * amount)
    return truncate((clouds * (255 * amount) + images.float()).mul_(factor))


def plasma(noise: torch.Tensor, decay: float) -> torch.Tensor:
    """A fractal height map by the diamond-square algorithm on a torus, scaled to [0, 1].

    Args:
        noise: float (B, n, n) in [0, 1), n a power of two: what each point deviates by.
        decay: factor by which the deviation shrinks from level to level.

    Returns:
        Float (B, n, n).

    """
    deviation = noise.mul(2).sub_(1)
    heights = torch.zeros_like(noise)
    # 100 as in the original. Heights are scaled at the end, so that only the decay matters.
    size, amplitude = noise.shape[-1], 100.0
    step = size
    while step >= 2:
        half, strength = step // 2, amplitude**2  # the original multiplies by it twice

        # It is called in this round only, so that it may use the round's variables (B023).
        def fill(rows: int, columns: int, total: torch.Tensor) -> torch.Tensor:
            points = (..., slice(rows, None, step), slice(columns, None, step))  # noqa: B023
            value = total * 0.25 + deviation[points] * strength  # noqa: B023
            heights[points] = value
            return value

        # First the middle of each square of known points from its corners (the squares), then the
        # middles of the sides from the two points on each side of them (the diamonds). Rolling
        # closes the map to a torus.
        corners = heights[..., ::step, ::step].clone()
        right, below = corners.roll(-1, -1), corners.roll(-1, -2)
        middle = fill(half, half, corners + below + right + below.roll(-1, -1))
        fill(0, half, middle + middle.roll(1, -2) + corners + right)
        fill(half, 0, middle + middle.roll(1, -1) + corners + below)
        step, amplitude = half, amplitude / decay
    heights -= heights.amin((-2, -1), keepdim=True)
    return heights / heights.amax((-2, -1), keepdim=True)


def brightness(images: torch.Tensor, amount: float, _: None = None) -> torch.Tensor:
    """Add to V of HSV.

    Hue and saturation stay, so every channel is scaled by V' / V; black turns grey.
    """
    values = images.float()
    largest = values.amax(1, keepdim=True)
    brighter = (largest + 255 * amount).clamp_(max=255)
    scaled = values * (brighter / largest.clamp(min=1))  # 1 instead of 0, whose result is not used
    return truncate(torch.where(largest > 0, scaled, brighter))


def draw_liquid(draws: Draws, shape: Shape, level: object) -> torch.Tensor:
    """Standard normal float32 (B, H, W)."""
    return draws.normal(*shape)


def spatter(images: torch.Tensor, level: tuple[float, ...], noise: torch.Tensor) -> torch.Tensor:
    """Cover the image with drops of water, or with mud. Water needs OpenCV."""
    mean, std, sigma, threshold, strength, mud = level
    liquid = liquid_layer(noise, mean, std, sigma, threshold)
    if mud:
        cover = mud_cover(liquid, threshold, strength)
        values = images.float() * (1 - cover)
        return truncate(values.add_(cover * colour(MUD, images.device)))
    cover = water_cover(liquid) * strength
    return truncate(images.float() + cover * colour(WATER, images.device))
