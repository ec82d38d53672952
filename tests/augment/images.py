"""Small images of several kinds, for the tests of this folder."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_sample_image

Pixels = NDArray[np.uint8]
HEIGHT, WIDTH = 20, 28


def kinds() -> Pixels:
    """uint8 (6, 3, 20, 28): noise, a dark noise, a gradient, two constants and a photograph."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (HEIGHT, WIDTH, 3))
    dark = rng.integers(3, 90, (HEIGHT, WIDTH, 3))
    y, x = np.indices((HEIGHT, WIDTH))
    smooth = np.stack((x * 9, y * 12 + 5, 250 - x * 4 - y * 5), axis=-1)
    photo = load_sample_image("china.jpg")[100:300:10, 100:380:10]
    constants = [np.full((HEIGHT, WIDTH, 3), colour) for colour in ((100, 100, 100), (0, 255, 7))]
    stacked = np.stack([noise, dark, smooth, *constants, photo]).astype(np.uint8)
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))


def many(count: int) -> torch.Tensor:
    """The kinds in turn, uint8 (count, 3, 20, 28)."""
    return torch.from_numpy(kinds()[np.arange(count) % 6])
