"""The photographs that benchmarks run on."""

from pathlib import Path

import foolbox
import numpy as np
import torch
from PIL import Image

from nsbench.data.preprocessing import Preprocessing
from nsbench.data.transforms import center_crop


def photographs(image_size: int, count: int) -> torch.Tensor:
    """The photographs that come with foolbox, as uint8 (count, 3, S, S)."""
    # foolbox is installed with nsbench, so that no download is needed; ImageNet photographs
    # compress and clip as those that are evaluated, which random pixels do not.
    files = sorted((Path(foolbox.__file__).parent / "data").glob("imagenet_*.jpg"))
    preprocessing = Preprocessing(image_size=image_size, interpolation="bilinear")
    crops = [center_crop(Image.open(file).convert("RGB"), preprocessing) for file in files]
    return torch.from_numpy(np.stack([crops[index % len(crops)] for index in range(count)]))
