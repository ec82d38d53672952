"""Smoothing by additions is smoothing by the matrix, to the last bit."""

import pytest
import torch

from nsbench.pixels.gaussian import NARROW, gaussian_weights, smoothed, smoothing_matrix

CPU = torch.device("cpu")


@pytest.mark.parametrize("sigma", [0.1, 0.4, 1.28, 2.44, 3.9, 6.0])
@pytest.mark.parametrize(("height", "width"), [(64, 48), (33, 224)])
def test_additions_give_what_the_matrix_gives(sigma: float, height: int, width: int) -> None:
    radius = len(gaussian_weights(sigma, 3.0)) - 1
    generator = torch.Generator().manual_seed(0)
    field = torch.randint(-(2**11), 2**11, (2, 2, height, width), generator=generator)
    values = field.double() / 2**11
    rows, columns = (smoothing_matrix(size, sigma, 3.0, CPU) for size in (height, width))
    found = smoothed(smoothed(values, rows, -2, radius), columns, -1, radius)
    assert torch.equal(found, rows @ values @ columns.T)
    assert radius <= NARROW or sigma == 6.0  # one that is too wide for additions, too
