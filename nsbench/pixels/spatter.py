"""The layers of liquid behind spatter. Water follows the original through OpenCV, on the CPU."""

import importlib
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.pixels.gaussian import gaussian_blur
from nsbench.util.device import fixed, sent
from nsbench.util.errors import NsbenchError

WATER = (175, 238, 238)
MUD = (63, 42, 20)
"""RGB of the original's pale turquoise and mud brown."""

# The original's kernel for relief.
_EDGES = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])


def liquid_layer(
    noise: torch.Tensor, mean: float, std: float, sigma: float, threshold: float
) -> torch.Tensor:
    """Smoothed normal noise, 0 where it stays below the threshold.

    Takes standard normal float (B, H, W) and returns the same shape, on the [0, 1] scale or a
    little beyond it.
    """
    smooth = gaussian_blur((noise * std + mean)[:, None], sigma)[:, 0]
    return smooth * (smooth >= threshold)


def mud_cover(liquid: torch.Tensor, threshold: float, sigma: float) -> torch.Tensor:
    """How much mud covers each pixel, float (B, 1, H, W) in [0, 1]: 0, or at least 0.8."""
    cover = gaussian_blur((liquid > threshold).float()[:, None], sigma)
    # 0.8 is the original's: thinner mud is left out.
    return cover * (cover >= 0.8)


def water_cover(liquid: torch.Tensor) -> torch.Tensor:
    """How strongly drops shine at each pixel, float32 (B, 1, H, W) in [0, 1].

    Raises NsbenchError where OpenCV is missing or cannot be loaded.
    """
    # By OpenCV, on the CPU whatever the device: torch has no such edges and distances.
    cv2 = _opencv()
    layers = (liquid.cpu().numpy() * 255).astype(np.uint8)
    shine = torch.from_numpy(np.stack([_shine(cv2, layer) for layer in layers]))
    return sent(shine, liquid.device)[:, None]


def colour(rgb: tuple[int, int, int], device: torch.device) -> torch.Tensor:
    """A colour as float32 (3, 1, 1) in [0, 255], not to be written to."""
    return fixed(rgb, device).view(3, 1, 1)


def _shine(cv2: ModuleType, layer: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Drops are brighter towards one side of their edges."""
    # The original's chain with its constants: edges (Canny's thresholds 50 and 150), distances to
    # them of at most 20 px, and the relief of these, smoothed by 3 x 3 boxes before and after.
    distance = cv2.distanceTransform(255 - cv2.Canny(layer, 50, 150), cv2.DIST_L2, 5)
    near = cv2.blur(np.minimum(distance, 20), (3, 3)).astype(np.uint8)
    edges = cv2.filter2D(cv2.equalizeHist(near), cv2.CV_8U, _EDGES)
    shine = layer * cv2.blur(edges, (3, 3)).astype(np.float32)
    largest = np.max(shine)  # 0 where there is no drop, where the original divides by zero
    return np.asarray(shine / largest if largest else shine, np.float32)


def _opencv() -> ModuleType:
    try:
        module = importlib.import_module("cv2")
    except ImportError as error:
        raise NsbenchError(
            f"spatter needs OpenCV ({error}): run pip install opencv-python-headless"
        ) from error
    module.setNumThreads(0)  # batches are shared out to threads already, see `run_in_threads`
    return module
