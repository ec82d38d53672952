"""The names of the benchmarks' parts, in the published order (Hendrycks and Dietterich, 2019)."""

from nsbench.util.config import nearest
from nsbench.util.errors import ArgumentError, NsbenchError

CORRUPTIONS = (
    "gaussian_noise", "shot_noise", "impulse_noise",
    "defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
    "snow", "frost", "fog", "brightness",
    "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
"""The 15 corruptions that mCE averages."""

EXTRA_CORRUPTIONS = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""The four held-out corruptions, which mCE leaves out."""

FAMILIES = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"),
    "weather": ("snow", "frost", "fog", "brightness", "spatter"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate"),
}
"""Corruptions by the four kinds of the paper, the extra one of each last."""

SEVERITIES = (1, 2, 3, 4, 5)
"""Of ImageNet-C; all its relatives have five too."""

PERTURBATIONS = (
    "gaussian_noise", "shot_noise", "motion_blur", "zoom_blur", "snow",
    "brightness", "translate", "rotate", "tilt", "scale",
)  # fmt: skip
"""The ten perturbation sequences that mFR averages; CIFAR-10-P's has spatter for snow."""

EXTRA_PERTURBATIONS = ("speckle_noise", "gaussian_blur", "spatter", "shear")
"""The four validation sequences, which mFR leaves out."""

DIFFICULTIES = (1, 2, 3)
"""Of the three noises of ImageNet-P; the other sequences have the first only."""

PERTURBATION_SIZES = (224, 64, 32)
"""Sizes in pixels that the sequences have settings for: ImageNet-P, Tiny-ImageNet-P, CIFAR-10-P."""

LAYOUTS = ("folder", "npy")
"""As ImageNet-C was released, one file an image, and as CIFAR-10-C was, one array a corruption."""

PAPER_POLICY = r"paper(-[mtc]\d{1,4}(\.\d+)?|-n[1-9])*"
"""How recipes write the RandAugment of the official code, as a regular expression."""

# Frames of a sequence as in ImageNet-P/create_p of hendrycks/robustness: 31 but for these.
_USUAL = 31
_FRAMES = {224: {"translate": 41}, 64: {}, 32: {"motion_blur": 21, "translate": 16}}


def check_sequence_size(size: int) -> None:
    """Raise NsbenchError for a size in pixels that perturbation sequences have no settings for."""
    if size not in PERTURBATION_SIZES:
        sizes = ", ".join(map(str, PERTURBATION_SIZES))
        raise NsbenchError(f"the image size is {size}, but sequences are of {sizes} px")


def frame_count(name: str, size: int) -> int:
    """Frames of a sequence at one of `PERTURBATION_SIZES`.

    Raises ValueError for an unknown name or size.
    """
    names = PERTURBATIONS + EXTRA_PERTURBATIONS
    if name not in names:
        raise ArgumentError(f"there is no perturbation '{name}'{nearest(str(name), names)}")
    if size not in _FRAMES:
        sizes = ", ".join(map(str, PERTURBATION_SIZES))
        raise ArgumentError(f"there are no perturbations of {size} px; valid sizes are {sizes}")
    return _FRAMES[size].get(name, _USUAL)


def is_noise(name: str) -> bool:
    """Whether frames are compared with the first one, and not with the frame before.

    Raises ValueError for an unknown name.
    """
    frame_count(name, 32)  # refuses an unknown name; the size does not matter
    # The three noises are the names that end so, in the ten and in the four.
    return name.endswith("_noise")


def clip_folder(name: str, difficulty: int) -> str:
    """The folder of a sequence in the layout of ImageNet-P: `shot_noise_2` for a difficulty."""
    # The others have no files for difficulty 2 and 3: the same frames are compared 2 or 3 apart.
    return name if difficulty == 1 or not is_noise(name) else f"{name}_{difficulty}"
