"""What the official code computes, pixel by pixel, without torch and without any table or map."""

import math

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Point = tuple[float, float]


def blend(first: NDArray[np.generic], second: Pixels, factor: float) -> Pixels:
    before = first.astype(np.float64)
    mixed = before + factor * (second.astype(np.float64) - before)
    return np.clip(mixed, 0, 255).astype(np.uint8)


def autocontrast(image: Pixels) -> Pixels:
    out = image.copy()
    for channel, plane in enumerate(image):
        low, high = float(plane.min()), float(plane.max())
        if high > low:
            scale = 255 / (high - low)
            out[channel] = np.clip(plane * scale - low * scale + 1e-9, 0, 255).astype(np.uint8)
    return out


def equalize(image: Pixels) -> Pixels:
    out = image.copy()
    for channel, plane in enumerate(image):
        counts = [int((plane == value).sum()) for value in range(256)]
        step = (plane.size - [count for count in counts if count][-1]) // 255
        if step == 0:
            continue
        for value in range(256):
            out[channel][plane == value] = min(255, (sum(counts[:value]) + step // 2) // step)
    return out


def posterize(image: Pixels, bits: int) -> Pixels:
    """For 1 to 7 bits: all but the upper ones are zero."""
    shift = np.uint8(8 - bits)
    return image >> shift << shift


def solarize(image: Pixels, threshold: int) -> Pixels:
    return np.where(image < threshold, image, 255 - image).astype(np.uint8)


def solarize_add(image: Pixels, addition: int) -> Pixels:
    added = np.clip(image.astype(np.int64) + addition, 0, 255)
    return np.where(image < 128, added, image).astype(np.uint8)


def color(image: Pixels, factor: float) -> Pixels:
    red, green, blue = image.astype(np.int64)
    grey = (2989 * red + 5870 * green + 1140 * blue) * 511 // (510 * 10000)
    return blend(np.broadcast_to(grey, image.shape), image, factor)


def contrast(image: Pixels, factor: float) -> Pixels:
    counted = sum(int((image[0] == value).sum()) for value in range(256))
    return blend(np.full(image.shape, min(counted // 256, 255)), image, factor)


def brightness(image: Pixels, factor: float) -> Pixels:
    return blend(np.zeros_like(image), image, factor)


def sharpness(image: Pixels, factor: float) -> Pixels:
    smooth = image.astype(np.int64)
    for channel, y, x in np.ndindex(image.shape):
        if 0 < y < image.shape[1] - 1 and 0 < x < image.shape[2] - 1:
            near = image[channel, y - 1 : y + 2, x - 1 : x + 2].astype(np.int64)
            smooth[channel, y, x] = (near.sum() + 4 * near[1, 1]) // 13
    return blend(smooth, image, factor)


def source(name: str, level: float, shape: tuple[int, int], point: Point) -> Point:
    """Where the pixel at (x, y) of an image of this height and width comes from."""
    x, y = point
    if name == "Rotate":
        middle_x, middle_y = (shape[1] - 1) / 2, (shape[0] - 1) / 2
        turned = complex(x - middle_x, y - middle_y) * np.exp(1j * math.radians(30 * level))
        return middle_x + turned.real, middle_y + turned.imag
    return {
        "ShearX": (x + 0.3 * level * y, y),
        "ShearY": (x, y + 0.3 * level * x),
        "TranslateX": (x + 4 * level, y),
        "TranslateY": (x, y + 4 * level),
    }[name]


def moved(name: str, image: Pixels, level: float) -> tuple[Pixels, NDArray[np.bool_]]:
    """The moved image, and which of its pixels no rounding of float32 can change, (H, W)."""
    height, width = image.shape[1:]
    out = np.full_like(image, 128)
    sure = np.ones((height, width), bool)
    for y, x in np.ndindex(height, width):
        point = source(name, level, (height, width), (x, y))
        sure[y, x] = all(abs(abs(value) % 1 - 0.5) > 1e-3 for value in point)
        column, row = (math.floor(value + 0.5) for value in point)
        if 0 <= column < width and 0 <= row < height:
            out[:, y, x] = image[:, row, column]
    return out, sure
