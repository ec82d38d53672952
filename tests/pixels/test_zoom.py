"""The magnification of the snow layer against SciPy, at the sizes and factors in use."""

import math

import numpy as np
import pytest
import torch

from nsbench.pixels.zoom import clipped_zoom


@pytest.mark.parametrize(("size", "factor"), [(32, 2.0), (32, 1.75), (64, 1.0), (224, 3.0)])
def test_clipped_zoom_equals_scipy(size: int, factor: float) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    layer = np.random.default_rng(2).normal(size=(size, size))
    cut = math.ceil(size / factor)
    top = (size - cut) // 2
    zoomed = ndimage.zoom(layer[top : top + cut, top : top + cut], factor, order=1)
    trim = (len(zoomed) - size) // 2
    wanted = zoomed[trim : trim + size, trim : trim + size]
    got = clipped_zoom(torch.from_numpy(layer)[None, None], factor)[0, 0].numpy()
    assert np.allclose(got, wanted, atol=1e-9)
