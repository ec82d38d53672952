"""The frost textures of ImageNet-C, which the package `imagecorruptions` carries."""

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from nsbench.util.errors import missing_extra

FILES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
"""Those that the original draws from: `randint(5)` never reaches the sixth of its list."""


def folder() -> Path:
    """Where the textures lie; the package is not imported, as its OpenCV needs libGL.

    Raises NsbenchError if the package is not installed.
    """
    package = importlib.util.find_spec("imagecorruptions")
    if package is None or package.origin is None:
        raise missing_extra("imagecorruptions-imaug", None, "frost")
    return Path(package.origin).parent / "frost"


# Eight sizes and devices are more than one command meets; at scale 1 the five take 4 MB.
@lru_cache(maxsize=8)
def textures(scale: float, height: int, width: int, device: torch.device) -> list[torch.Tensor]:
    """The textures resized by `scale` as `cv2.resize` does, and larger where an image needs it.

    A texture must be larger than the image in both directions for a crop to be drawn. The
    originals are at least 315 px high, so only images above that size get enlarged ones.

    Returns:
        uint8 tensors (3, h, w) with h > height and w > width.

    """
    return [_resized(_read(name), scale, height, width).to(device) for name in FILES]


def _read(name: str) -> torch.Tensor:
    with Image.open(folder() / name) as image:
        pixels = np.array(image.convert("RGB"))  # a copy, as torch wants memory that is writable
    return torch.from_numpy(pixels).permute(2, 0, 1)


def _resized(texture: torch.Tensor, scale: float, height: int, width: int) -> torch.Tensor:
    high, wide = texture.shape[-2:]
    scale = max(scale, (height + 1) / high, (width + 1) / wide)
    if scale == 1:  # the original at 224 px does not resize
        return texture
    size = (max(round(high * scale), height + 1), max(round(wide * scale), width + 1))
    # float64, so that a value halfway between two is exactly there and rounds up, as in cv2.resize.
    values = interpolate(texture[None].double(), size=size, mode="bilinear", align_corners=False)
    return (values[0] + 0.5).floor().to(torch.uint8)
