"""The package `imagecorruptions` as a generator: for comparison with work that used it.

It applies ImageNet's constants to every size, and six of its corruptions differ from the published
ImageNet-C (suites say which generator made their pixels).
"""

import importlib
import importlib.metadata
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from nsbench.util.errors import NsbenchError, missing_extra
from nsbench.util.randomness import stable_hash

# These two draw from generators of their own (scikit-image's and Numba's), which NumPy's global
# seed does not reach and only a keyword seeds; the other functions refuse that keyword.
SEEDED_BY_KEYWORD = ("impulse_noise", "glass_blur")


def load() -> ModuleType:
    """Import the package, single-threaded. Raises NsbenchError if it or libGL is missing.

    It is imported only here because its OpenCV needs libGL, which many servers lack.
    """
    try:
        module = importlib.import_module("imagecorruptions")
        importlib.import_module("cv2").setNumThreads(0)  # the images are shared out already
    except ModuleNotFoundError as error:
        raise missing_extra("imagecorruptions-imaug", None, "this suite") from error
    except ImportError as error:  # installed, but OpenCV lacks a system library
        raise NsbenchError(
            f"imagecorruptions cannot load OpenCV ({error}): run pip install --force-reinstall "
            "--no-deps opencv-python-headless"
        ) from error
    return module


def version() -> str:
    """What the fingerprint of generated images says of this generator.

    Raises NsbenchError if the package is not installed.
    """
    try:
        return f"imagecorruptions-imaug {importlib.metadata.version('imagecorruptions-imaug')}"
    except importlib.metadata.PackageNotFoundError as error:
        raise missing_extra("imagecorruptions-imaug", None, "this suite") from error


def corrupt(
    image: NDArray[np.uint8], name: str, severity: int, image_id: str, seed: int = 0
) -> NDArray[np.uint8]:
    """Corrupt one uint8 (3, H, W) image of at least 32 px.

    The draws depend on (seed, image_id, name, severity) alone; numpy's global generator is left
    seeded by them.
    """
    # 32 bits, the most that NumPy's global generator is seeded with, from which the package draws.
    seed = stable_hash(seed, image_id, name, severity) % 2**32
    np.random.seed(seed)
    keywords = {"seed": seed} if name in SEEDED_BY_KEYWORD else {}
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0))  # OpenCV takes no other layout
    changed = load().corrupt(pixels, corruption_name=name, severity=severity, **keywords)
    return np.ascontiguousarray(changed.transpose(2, 0, 1))
