"""The settings of sequences against those of the original generators, written out once more.

From ImageNet-P/create_p of hendrycks/robustness: make_imagenet_p.py (224 px),
make_tinyimagenet_p.py (64) and make_cifar_p.py (32).
"""

from typing import Any

import pytest

from nsbench.names import frame_count
from nsbench.perturbations._settings import TABLES

WANTED: dict[str, dict[int, Any]] = {
    # std by difficulty
    "gaussian_noise": {224: (0.03, 0.05, 0.08), 64: (0.025, 0.05, 0.075), 32: (0.02, 0.04, 0.06)},
    # photons of white
    "shot_noise": {224: (300, 120, 60), 64: (500, 250, 125), 32: (700, 400, 200)},
    "speckle_noise": {224: (0.05, 0.1, 0.15), 64: (0.05, 0.1, 0.15), 32: (0.05, 0.07, 0.1)},
    # radius, sigma, degrees a frame; at 64 px that of corruptions, as the script blurs before it
    # makes small
    "motion_blur": {224: (10, 3, 4), 64: (10, 1, 5), 32: (6, 1.8, 9)},
    "zoom_blur": {224: 0.004, 64: 0.004, 32: 0.004},
    # mean, std, zoom, radius, sigma
    "snow": {224: (0.05, 0.3, 3, 14, 4), 64: (0.05, 0.28, 2, 10, 2.5), 32: (0.05, 0.3, 2, 10, 2)},
    # hundredths of V
    "brightness": {224: 2, 64: 2, 32: 1.5},
    # pixels of the first frame
    "translate": {224: -20, 64: -15, 32: -7},
    # degrees a frame
    "rotate": {224: 1, 64: 1, 32: 1},
    "tilt": {224: 1, 64: 1, 32: 0.75},
    "shear": {224: 1, 64: 1, 32: 1},
    # percent of the first frame, and a frame
    "scale": {224: (40, 2.5), 64: (40, 2.5), 32: (70, 2)},
    # sigma of the first frame, a frame, and where it is cut off
    "gaussian_blur": {224: (0.25, 0.035, 6), 64: (0.35, 0.014, 7), 32: (0.3, 0.015, 7)},
    # mean, std, sigma, threshold, and how it runs down
    "spatter": {
        224: (0.65, 0.27, 3.7, 0.69, (0.05, 0.1, 0.15, 0.7)),
        64: (0.6, 0.25, 1.75, 0.7, (0.2, 0.8)),
        32: (0.6, 0.265, 1.75, 0.7, (0.2, 0.8)),
    },
}


@pytest.mark.parametrize("name", TABLES)
def test_settings_are_those_of_the_originals(name: str) -> None:
    assert TABLES[name] == WANTED[name]


def test_sequences_have_the_frames_of_the_originals() -> None:
    # 31, but for the videos of translate at 224 px and two arrays of CIFAR-10-P
    others = {("translate", 224): 41, ("translate", 32): 16, ("motion_blur", 32): 21}
    for name in WANTED:
        for size in (224, 64, 32):
            assert frame_count(name, size) == others.get((name, size), 31)
