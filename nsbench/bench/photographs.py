"""The photographs that benchmarks run on."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from nsbench.data.preprocessing import Preprocessing
from nsbench.data.transforms import center_crop
from nsbench.util.errors import NsbenchError


def photographs(image_size: int, count: int) -> torch.Tensor:
    """The photographs that come with foolbox, as uint8 (count, 3, S, S).

    Raises NsbenchError if foolbox is not installed, or without them.
    """
    # foolbox is installed with nsbench, so that no download is needed; ImageNet photographs
    # compress and clip as those that are evaluated, which random pixels do not.
    package = find_spec("foolbox")
    origin = package.origin if package else None
    files = sorted((Path(origin).parent / "data").glob("imagenet_*.jpg")) if origin else []
    if not files:
        raise NsbenchError(
            "the photographs of foolbox, which this runs on, are missing: run pip install "
            "--force-reinstall --no-deps foolbox"
        )
    preprocessing = Preprocessing(image_size=image_size, interpolation="bilinear")
    crops = [center_crop(Image.open(file).convert("RGB"), preprocessing) for file in files]
    return torch.from_numpy(np.stack([crops[index % len(crops)] for index in range(count)]))
