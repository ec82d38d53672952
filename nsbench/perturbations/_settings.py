"""The settings of each sequence, by the size of the frames.

From ImageNet-P/create_p of hendrycks/robustness: make_imagenet_p.py (224 px),
make_tinyimagenet_p.py (64) and make_cifar_p.py (32). What is the same at all sizes stands in the
sequences: the snow's threshold 0.5, share of the image 0.85 and first angle, the strength 0.6 of
the water.

One setting departs from them: make_tinyimagenet_p.py blurs the full-size photograph by motion
(radius 14, sigma 3) before it makes it small. That is far too strong for an image of 64 px, which
gets the mildest motion blur of make_tinyimagenet_c.py.
"""

from typing import Any

from nsbench.perturbations.blur import Motion, Smoothing
from nsbench.perturbations.weather import Snow, Spatter

# by difficulty: std
_GAUSSIAN_NOISE = {224: (0.03, 0.05, 0.08), 64: (0.025, 0.05, 0.075), 32: (0.02, 0.04, 0.06)}
# by difficulty: expected count of a white pixel
_SHOT_NOISE = {224: (300, 120, 60), 64: (500, 250, 125), 32: (700, 400, 200)}
# by difficulty: std relative to the value
_SPECKLE_NOISE = {224: (0.05, 0.1, 0.15), 64: (0.05, 0.1, 0.15), 32: (0.05, 0.07, 0.1)}
# radius, sigma, degrees a frame
_MOTION_BLUR = {224: Motion(10, 3, 4), 64: Motion(10, 1, 5), 32: Motion(6, 1.8, 9)}
# growth of the scale a frame
_ZOOM_BLUR = {224: 0.004, 64: 0.004, 32: 0.004}
# mean and std of the flakes, zoom, radius and sigma of their motion
_SNOW = {
    224: Snow(0.05, 0.3, 3, 14, 4),
    64: Snow(0.05, 0.28, 2, 10, 2.5),
    32: Snow(0.05, 0.3, 2, 10, 2),
}
# hundredths of V a frame
_BRIGHTNESS = {224: 2.0, 64: 2.0, 32: 1.5}
# shift of the first frame, in pixels, of 41, 31 and 16 frames: the last shifts are 20, 15 and 8
_TRANSLATE = {224: -20, 64: -15, 32: -7}
# degrees a frame
_ROTATE = {224: 1.0, 64: 1.0, 32: 1.0}
_TILT = {224: 1.0, 64: 1.0, 32: 0.75}
_SHEAR = {224: 1.0, 64: 1.0, 32: 1.0}
# percentage of the first frame, and step
_SCALE = {224: (40.0, 2.5), 64: (40.0, 2.5), 32: (70.0, 2.0)}
# sigma of the first frame, step, and where the kernel is cut off, in standard deviations (not at
# scikit-image's default of 4)
_GAUSSIAN_BLUR = {
    224: Smoothing(0.25, 0.035, 6.0),
    64: Smoothing(0.35, 0.014, 7.0),
    32: Smoothing(0.3, 0.015, 7.0),
}
# mean, std and sigma of the liquid, threshold, kernel by which it runs down
_SPATTER = {
    224: Spatter(0.65, 0.27, 3.7, 0.69, (0.05, 0.1, 0.15, 0.7)),
    64: Spatter(0.6, 0.25, 1.75, 0.7, (0.2, 0.8)),
    32: Spatter(0.6, 0.265, 1.75, 0.7, (0.2, 0.8)),
}

TABLES: dict[str, dict[int, Any]] = {
    "gaussian_noise": _GAUSSIAN_NOISE,
    "shot_noise": _SHOT_NOISE,
    "motion_blur": _MOTION_BLUR,
    "zoom_blur": _ZOOM_BLUR,
    "snow": _SNOW,
    "brightness": _BRIGHTNESS,
    "translate": _TRANSLATE,
    "rotate": _ROTATE,
    "tilt": _TILT,
    "scale": _SCALE,
    "speckle_noise": _SPECKLE_NOISE,
    "gaussian_blur": _GAUSSIAN_BLUR,
    "spatter": _SPATTER,
    "shear": _SHEAR,
}
