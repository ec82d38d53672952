"""Severity constants, by the size of the images that each original generator makes.

From ImageNet-C/create_c of hendrycks/robustness: make_cifar_c.py (32 px), make_tinyimagenet_c.py
(64), make_imagenet_c.py (224) and make_imagenet_c_inception.py (299). Lengths are in pixels, angles
in degrees, amplitudes on the [0, 1] scale unless said otherwise.
"""

from typing import Any

from nsbench.names import SEVERITIES
from nsbench.pixels.draws import is_whole
from nsbench.util.config import nearest
from nsbench.util.errors import ArgumentError
from nsbench.util.text import a_type

SIZES = (32, 64, 224, 299)
"""Those of CIFAR-10-C, Tiny-ImageNet-C, ImageNet-C and the latter's version for Inception."""

Levels = list[Any]

# std
_GAUSSIAN_NOISE: dict[int, Levels] = {
    32: [0.04, 0.06, 0.08, 0.09, 0.10],
    64: [0.04, 0.08, 0.12, 0.15, 0.18],
    224: [0.08, 0.12, 0.18, 0.26, 0.38],
    299: [0.09, 0.13, 0.19, 0.27, 0.40],
}
# expected count of a white pixel
_SHOT_NOISE: dict[int, Levels] = {
    32: [500, 250, 100, 75, 50],
    64: [250, 100, 50, 30, 15],
    224: [60, 25, 12, 5, 3],
    299: [50, 20, 10, 5, 3],
}
# share of values replaced
_IMPULSE_NOISE: dict[int, Levels] = {
    32: [0.01, 0.02, 0.03, 0.05, 0.07],
    64: [0.01, 0.02, 0.05, 0.08, 0.14],
    224: [0.03, 0.06, 0.09, 0.17, 0.27],
    299: [0.04, 0.07, 0.10, 0.18, 0.28],
}
# std relative to the value
_SPECKLE_NOISE: dict[int, Levels] = {
    32: [0.06, 0.1, 0.12, 0.16, 0.2],
    64: [0.15, 0.2, 0.25, 0.3, 0.35],
    224: [0.15, 0.2, 0.35, 0.45, 0.6],
    299: [0.16, 0.21, 0.36, 0.46, 0.61],
}
# sigma
_GAUSSIAN_BLUR: dict[int, Levels] = {
    32: [0.4, 0.6, 0.7, 0.8, 1],
    64: [0.5, 0.75, 1, 1.25, 1.5],
    224: [1, 2, 3, 4, 6],
    299: [1.5, 2.5, 3.5, 4.5, 6.5],
}
# sigma, largest offset, iterations
_GLASS_BLUR: dict[int, Levels] = {
    32: [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)],
    64: [(0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)],
    224: [(0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)],
    299: [(0.8, 1, 3), (1, 3, 1), (1.1, 2, 4), (1.2, 4, 2), (1.6, 5, 2)],
}
# radius, sigma of the kernel's own blur
_DEFOCUS_BLUR: dict[int, Levels] = {
    32: [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)],
    64: [(0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)],
    224: [(3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)],
    299: [(4, 0.1), (5, 0.5), (7, 0.5), (10, 0.5), (12, 0.5)],
}
# radius, sigma
_MOTION_BLUR: dict[int, Levels] = {
    32: [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)],
    64: [(10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)],
    224: [(10, 3), (15, 5), (15, 8), (15, 12), (20, 15)],
    299: [(12, 4), (17, 6), (17, 9), (17, 13), (22, 16)],
}
# end (excluded) and step of the zoom factors that start at 1
_ZOOM_BLUR: dict[int, Levels] = {
    32: [(1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)],
    64: [(1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)],
    224: [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)],
    299: [(1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)],
}
# The generator for 299 px changes most constants a little, but those of snow, frost, zoom blur,
# brightness, contrast and saturate not at all.
_LARGE_SNOW: Levels = [
    (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
]
# mean and std of the flakes, zoom, threshold, radius and sigma of their motion, share of the image
_SNOW: dict[int, Levels] = {
    32: [
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ],
    64: [
        (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
    ],
    224: _LARGE_SNOW,
    299: _LARGE_SNOW,
}
# weight of the image, weight of the frost, scale of the frost texture, which the generators of
# small images shrink
_FROST: dict[int, Levels] = {
    32: [(1, 0.2, 0.2), (1, 0.3, 0.2), (0.9, 0.4, 0.2), (0.85, 0.4, 0.2), (0.75, 0.45, 0.2)],
    64: [(1, 0.3, 0.3), (0.9, 0.4, 0.3), (0.8, 0.45, 0.3), (0.75, 0.5, 0.3), (0.7, 0.55, 0.3)],
    224: [(1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)],
    299: [(1, 0.4, 1), (0.8, 0.6, 1), (0.7, 0.7, 1), (0.65, 0.7, 1), (0.6, 0.75, 1)],
}
# amount, decay of the fractal's amplitude
_FOG: dict[int, Levels] = {
    32: [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)],
    64: [(0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)],
    224: [(1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)],
    299: [(1.5, 2), (2, 2), (2.5, 1.8), (2.5, 1.6), (3, 1.5)],
}
# mean, std and sigma of the liquid, threshold, strength (water) or sigma (mud), whether mud
_SPATTER: dict[int, Levels] = {
    32: [
        (0.62, 0.1, 0.7, 0.7, 0.5, 0),
        (0.65, 0.1, 0.8, 0.7, 0.5, 0),
        (0.65, 0.3, 1, 0.69, 0.5, 0),
        (0.65, 0.1, 0.7, 0.69, 0.6, 1),
        (0.65, 0.1, 0.5, 0.68, 0.6, 1),
    ],
    64: [
        (0.62, 0.1, 0.7, 0.7, 0.6, 0),
        (0.65, 0.1, 0.8, 0.7, 0.6, 0),
        (0.65, 0.3, 1, 0.69, 0.6, 0),
        (0.65, 0.1, 0.7, 0.68, 0.6, 1),
        (0.65, 0.1, 0.5, 0.67, 0.6, 1),
    ],
    224: [
        (0.65, 0.3, 4, 0.69, 0.6, 0),
        (0.65, 0.3, 3, 0.68, 0.6, 0),
        (0.65, 0.3, 2, 0.68, 0.5, 0),
        (0.65, 0.3, 1, 0.65, 1.5, 1),
        (0.67, 0.4, 1, 0.65, 1.5, 1),
    ],
    299: [
        (0.65, 0.3, 4, 0.69, 0.9, 0),
        (0.65, 0.3, 3.5, 0.68, 0.9, 0),
        (0.65, 0.3, 3, 0.68, 0.8, 0),
        (0.65, 0.3, 1.2, 0.65, 1.8, 1),
        (0.67, 0.4, 1.2, 0.65, 1.8, 1),
    ],
}
# added to V of HSV
_BRIGHTNESS: dict[int, Levels] = {
    32: [0.05, 0.1, 0.15, 0.2, 0.3],
    64: [0.1, 0.2, 0.3, 0.4, 0.5],
    224: [0.1, 0.2, 0.3, 0.4, 0.5],
    299: [0.1, 0.2, 0.3, 0.4, 0.5],
}
# factor of the distance to the mean
_CONTRAST: dict[int, Levels] = {
    32: [0.75, 0.5, 0.4, 0.3, 0.15],
    64: [0.4, 0.3, 0.2, 0.1, 0.05],
    224: [0.4, 0.3, 0.2, 0.1, 0.05],
    299: [0.4, 0.3, 0.2, 0.1, 0.05],
}
# factor of S of HSV, and what is added to it
_SATURATE: dict[int, Levels] = {
    32: [(0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)],
    64: [(0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)],
    224: [(0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)],
    299: [(0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)],
}
# quality, as Pillow counts it
_JPEG_COMPRESSION: dict[int, Levels] = {
    32: [80, 65, 58, 50, 40],
    64: [65, 58, 50, 40, 25],
    224: [25, 18, 15, 10, 7],
    299: [23, 16, 13, 8, 5],
}
# factor of the size in between
_PIXELATE: dict[int, Levels] = {
    32: [0.95, 0.9, 0.85, 0.75, 0.65],
    64: [0.9, 0.8, 0.7, 0.6, 0.5],
    224: [0.6, 0.5, 0.4, 0.3, 0.25],
    299: [0.5, 0.4, 0.3, 0.25, 0.2],
}
# amplitude and sigma of the displacement, range of the affine part, all in pixels and written as
# products, as in the originals; amplitude 0 leaves the displacement out
_ELASTIC_TRANSFORM: dict[int, Levels] = {
    32: [
        (0, 0, 32 * 0.08),
        (32 * 0.05, 32 * 0.2, 32 * 0.07),
        (32 * 0.08, 32 * 0.06, 32 * 0.06),
        (32 * 0.1, 32 * 0.04, 32 * 0.05),
        (32 * 0.1, 32 * 0.03, 32 * 0.03),
    ],
    64: [
        (0, 0, 64 * 0.08),
        (64 * 0.05, 64 * 0.3, 64 * 0.06),
        (64 * 0.1, 64 * 0.08, 64 * 0.06),
        (64 * 0.1, 64 * 0.03, 64 * 0.03),
        (64 * 0.16, 64 * 0.03, 64 * 0.02),
    ],
    224: [  # 244 and not 224, a slip of the original that all published files have
        (244 * 2, 244 * 0.7, 244 * 0.1),
        (244 * 2, 244 * 0.08, 244 * 0.2),
        (244 * 0.05, 244 * 0.01, 244 * 0.02),
        (244 * 0.07, 244 * 0.01, 244 * 0.02),
        (244 * 0.12, 244 * 0.01, 244 * 0.02),
    ],
    299: [  # 360 and not 299, as in the original
        (360 * 2, 360 * 0.7, 360 * 0.1),
        (360 * 2, 360 * 0.08, 360 * 0.2),
        (360 * 0.05, 360 * 0.01, 360 * 0.02),
        (360 * 0.07, 360 * 0.01, 360 * 0.02),
        (360 * 0.12, 360 * 0.01, 360 * 0.02),
    ],
}

TABLES: dict[str, dict[int, Levels]] = {
    "gaussian_noise": _GAUSSIAN_NOISE,
    "shot_noise": _SHOT_NOISE,
    "impulse_noise": _IMPULSE_NOISE,
    "defocus_blur": _DEFOCUS_BLUR,
    "glass_blur": _GLASS_BLUR,
    "motion_blur": _MOTION_BLUR,
    "zoom_blur": _ZOOM_BLUR,
    "snow": _SNOW,
    "frost": _FROST,
    "fog": _FOG,
    "brightness": _BRIGHTNESS,
    "contrast": _CONTRAST,
    "elastic_transform": _ELASTIC_TRANSFORM,
    "pixelate": _PIXELATE,
    "jpeg_compression": _JPEG_COMPRESSION,
    "speckle_noise": _SPECKLE_NOISE,
    "gaussian_blur": _GAUSSIAN_BLUR,
    "spatter": _SPATTER,
    "saturate": _SATURATE,
}


def nearest_size(height: int, width: int) -> int:
    """The size whose constants images of this size get: the nearest to the shorter side."""
    return min(SIZES, key=lambda size: abs(size - min(height, width)))


def check_cell(name: str, severity: int) -> None:
    """Raise ValueError for an unknown corruption or severity."""
    if not isinstance(name, str):
        raise ArgumentError(f"name is {a_type(name)}, but must be that of a corruption")
    if name not in TABLES:
        raise ArgumentError(f"there is no corruption '{name}'{nearest(str(name), TABLES)}")
    # True and 2.0 are equal to severities too, but are more likely mistakes than meant as such.
    if not is_whole(severity) or severity not in SEVERITIES:
        raise ArgumentError(f"severity is {severity!r}, but must be a whole number from 1 to 5")
