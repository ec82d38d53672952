"""The names of the benchmarks' parts, in the published order (Hendrycks and Dietterich, 2019)."""

CORRUPTIONS = (
    "gaussian_noise", "shot_noise", "impulse_noise",
    "defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
    "snow", "frost", "fog", "brightness",
    "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
"""The 15 corruptions that mCE averages."""

EXTRA_CORRUPTIONS = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""The four held-out corruptions, which mCE leaves out."""

SEVERITIES = (1, 2, 3, 4, 5)

PERTURBATIONS = (
    "gaussian_noise", "shot_noise", "motion_blur", "zoom_blur", "snow",
    "brightness", "translate", "rotate", "tilt", "scale",
)  # fmt: skip
"""The ten perturbation sequences that mFR averages; CIFAR-10-P's has spatter for snow."""

_FRAMES = dict.fromkeys(PERTURBATIONS, 31) | {"motion_blur": 21, "translate": 16}


def frame_count(name: str) -> int:
    """Frames of a sequence at the settings of CIFAR-10-P. Raises ValueError for an unknown name."""
    if name not in _FRAMES:
        raise ValueError(f"there is no perturbation {name!r}; choose from {', '.join(_FRAMES)}")
    return _FRAMES[name]


def is_noise(name: str) -> bool:
    """Whether frames are compared with the first one, and not with the frame before.

    Raises ValueError for an unknown name.
    """
    frame_count(name)  # refuses an unknown one
    return name.endswith("_noise")
