"""The severity constants against those of the original generators, written out once more.

From ImageNet-C/create_c of hendrycks/robustness: make_cifar_c.py (32 px), make_tinyimagenet_c.py
(64), make_imagenet_c.py (224) and make_imagenet_c_inception.py (299). Nothing here is imported from
the tables, so that a slip in them cannot pass.
"""

import pytest

from nsbench.corruptions._tables import TABLES, nearest_size

Numbers = tuple[float, ...]


def pairs(*flat: float) -> list[Numbers]:
    return list(zip(flat[::2], flat[1::2], strict=True))


def grouped(size: int, *flat: float) -> list[Numbers]:
    return [flat[start : start + size] for start in range(0, len(flat), size)]


SINGLE: dict[str, dict[int, Numbers]] = {
    "gaussian_noise": {
        32: (0.04, 0.06, 0.08, 0.09, 0.10),
        64: (0.04, 0.08, 0.12, 0.15, 0.18),
        224: (0.08, 0.12, 0.18, 0.26, 0.38),
        299: (0.09, 0.13, 0.19, 0.27, 0.40),
    },
    "shot_noise": {
        32: (500, 250, 100, 75, 50),
        64: (250, 100, 50, 30, 15),
        224: (60, 25, 12, 5, 3),
        299: (50, 20, 10, 5, 3),
    },
    "impulse_noise": {
        32: (0.01, 0.02, 0.03, 0.05, 0.07),
        64: (0.01, 0.02, 0.05, 0.08, 0.14),
        224: (0.03, 0.06, 0.09, 0.17, 0.27),
        299: (0.04, 0.07, 0.10, 0.18, 0.28),
    },
    "speckle_noise": {
        32: (0.06, 0.1, 0.12, 0.16, 0.2),
        64: (0.15, 0.2, 0.25, 0.3, 0.35),
        224: (0.15, 0.2, 0.35, 0.45, 0.6),
        299: (0.16, 0.21, 0.36, 0.46, 0.61),
    },
    "gaussian_blur": {
        32: (0.4, 0.6, 0.7, 0.8, 1),
        64: (0.5, 0.75, 1, 1.25, 1.5),
        224: (1, 2, 3, 4, 6),
        299: (1.5, 2.5, 3.5, 4.5, 6.5),
    },
    "brightness": {
        32: (0.05, 0.1, 0.15, 0.2, 0.3),
        64: (0.1, 0.2, 0.3, 0.4, 0.5),
        224: (0.1, 0.2, 0.3, 0.4, 0.5),
        299: (0.1, 0.2, 0.3, 0.4, 0.5),
    },
    "contrast": {
        32: (0.75, 0.5, 0.4, 0.3, 0.15),
        64: (0.4, 0.3, 0.2, 0.1, 0.05),
        224: (0.4, 0.3, 0.2, 0.1, 0.05),
        299: (0.4, 0.3, 0.2, 0.1, 0.05),
    },
    "jpeg_compression": {
        32: (80, 65, 58, 50, 40),
        64: (65, 58, 50, 40, 25),
        224: (25, 18, 15, 10, 7),
        299: (23, 16, 13, 8, 5),
    },
    "pixelate": {
        32: (0.95, 0.9, 0.85, 0.75, 0.65),
        64: (0.9, 0.8, 0.7, 0.6, 0.5),
        224: (0.6, 0.5, 0.4, 0.3, 0.25),
        299: (0.5, 0.4, 0.3, 0.25, 0.2),
    },
}

PAIRS: dict[str, dict[int, list[Numbers]]] = {
    "defocus_blur": {  # radius, blur of its edge
        32: pairs(0.3, 0.4, 0.4, 0.5, 0.5, 0.6, 1, 0.2, 1.5, 0.1),
        64: pairs(0.5, 0.6, 1, 0.1, 1.5, 0.1, 2.5, 0.01, 3, 0.1),
        224: pairs(3, 0.1, 4, 0.5, 6, 0.5, 8, 0.5, 10, 0.5),
        299: pairs(4, 0.1, 5, 0.5, 7, 0.5, 10, 0.5, 12, 0.5),
    },
    "motion_blur": {  # radius, sigma
        32: pairs(6, 1, 6, 1.5, 6, 2, 8, 2, 9, 2.5),
        64: pairs(10, 1, 10, 1.5, 10, 2, 10, 2.5, 12, 3),
        224: pairs(10, 3, 15, 5, 15, 8, 15, 12, 20, 15),
        299: pairs(12, 4, 17, 6, 17, 9, 17, 13, 22, 16),
    },
    "zoom_blur": {  # np.arange(1, END, STEP)
        32: pairs(1.06, 0.01, 1.11, 0.01, 1.16, 0.01, 1.21, 0.01, 1.26, 0.01),
        64: pairs(1.06, 0.01, 1.11, 0.01, 1.16, 0.01, 1.21, 0.01, 1.26, 0.01),
        224: pairs(1.11, 0.01, 1.16, 0.01, 1.21, 0.02, 1.26, 0.02, 1.31, 0.03),
        299: pairs(1.11, 0.01, 1.16, 0.01, 1.21, 0.02, 1.26, 0.02, 1.31, 0.03),
    },
    "fog": {  # amount, decay
        32: pairs(0.2, 3, 0.5, 3, 0.75, 2.5, 1, 2, 1.5, 1.75),
        64: pairs(0.4, 3, 0.7, 3, 1, 2.5, 1.5, 2, 2, 1.75),
        224: pairs(1.5, 2, 2, 2, 2.5, 1.7, 2.5, 1.5, 3, 1.4),
        299: pairs(1.5, 2, 2, 2, 2.5, 1.8, 2.5, 1.6, 3, 1.5),
    },
    "saturate": {  # factor, what is added
        32: pairs(0.3, 0, 0.1, 0, 1.5, 0, 2, 0.1, 2.5, 0.2),
        64: pairs(0.3, 0, 0.1, 0, 2, 0, 5, 0.1, 30, 0.2),
        224: pairs(0.3, 0, 0.1, 0, 2, 0, 5, 0.1, 20, 0.2),
        299: pairs(0.3, 0, 0.1, 0, 2, 0, 5, 0.1, 20, 0.2),
    },
}

FROST = {  # weights of the image and of the frost, share of the texture's size
    32: grouped(3, 1, 0.2, 0.2, 1, 0.3, 0.2, 0.9, 0.4, 0.2, 0.85, 0.4, 0.2, 0.75, 0.45, 0.2),
    64: grouped(3, 1, 0.3, 0.3, 0.9, 0.4, 0.3, 0.8, 0.45, 0.3, 0.75, 0.5, 0.3, 0.7, 0.55, 0.3),
    224: grouped(3, 1, 0.4, 1, 0.8, 0.6, 1, 0.7, 0.7, 1, 0.65, 0.7, 1, 0.6, 0.75, 1),
}

GLASS = {  # sigma, largest offset, rounds
    32: grouped(3, 0.05, 1, 1, 0.25, 1, 1, 0.4, 1, 1, 0.25, 1, 2, 0.4, 1, 2),
    64: grouped(3, 0.1, 1, 1, 0.5, 1, 1, 0.6, 1, 2, 0.7, 2, 1, 0.9, 2, 2),
    224: grouped(3, 0.7, 1, 2, 0.9, 2, 1, 1, 2, 3, 1.1, 3, 2, 1.5, 4, 2),
    299: grouped(3, 0.8, 1, 3, 1, 3, 1, 1.1, 2, 4, 1.2, 4, 2, 1.6, 5, 2),
}

FLAKES = [  # at 32 px: mean, std, zoom, threshold, radius, sigma, share of the image
    (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
    (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
    (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
    (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
    (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
]

SNOW: dict[int, list[Numbers]] = {
    32: [*FLAKES],
    64: [(*own[:6], share) for own, share in zip(FLAKES, (0.8, 0.8, 0.7, 0.65, 0.6), strict=True)],
    224: [
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ],
}

SPATTER: dict[int, list[Numbers]] = {  # mean, std, sigma, threshold, strength, whether mud
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

LARGE = grouped(3, 2, 0.7, 0.1, 2, 0.08, 0.2, 0.05, 0.01, 0.02, 0.07, 0.01, 0.02, 0.12, 0.01, 0.02)
"""Of elastic transform at 224 and 299 px."""

ELASTIC: dict[int, tuple[int, list[Numbers]]] = {
    # by size the length that amplitude, sigma and affine part are shares of: 244 and 360 are slips
    # of the originals, which all published files have
    32: (32, grouped(3, 0, 0, 0.08, 0.05, 0.2, 0.07, 0.08, 0.06, 0.06, 0.1, 0.04, 0.05, 0.1, 0.03,
                     0.03)),
    64: (64, grouped(3, 0, 0, 0.08, 0.05, 0.3, 0.06, 0.1, 0.08, 0.06, 0.1, 0.03, 0.03, 0.16, 0.03,
                     0.02)),
    224: (244, LARGE),
    299: (360, LARGE),
}  # fmt: skip

GROUPS: dict[str, dict[int, list[Numbers]]] = {
    **PAIRS,
    # the generator for 299 px has these as the one for 224
    "frost": FROST | {299: FROST[224]},
    "glass_blur": GLASS,
    "snow": SNOW | {299: SNOW[224]},
    "spatter": SPATTER,
    "elastic_transform": {
        size: [tuple(length * share for share in own) for own in shares]
        for size, (length, shares) in ELASTIC.items()
    },
}


@pytest.mark.parametrize("name", TABLES)
def test_constants_are_those_of_the_originals(name: str) -> None:
    found = TABLES[name]
    assert list(found) == [32, 64, 224, 299]
    for size, levels in found.items():
        if name in SINGLE:
            assert tuple(levels) == SINGLE[name][size]
        else:
            assert levels == [pytest.approx(level) for level in GROUPS[name][size]]


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(32, 32, 32), (48, 90, 32), (49, 90, 64), (64, 300, 64), (145, 145, 224), (224, 224, 224),
     (261, 400, 224), (262, 299, 299), (299, 299, 299), (900, 800, 299)],
)  # fmt: skip
def test_the_shorter_side_chooses(height: int, width: int, size: int) -> None:
    assert nearest_size(height, width) == nearest_size(width, height) == size
