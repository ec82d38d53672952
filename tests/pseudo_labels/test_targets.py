"""From sparse labels to distributions."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nsbench.pseudo_labels.targets import SparseTargets, dense
from tests.pseudo_labels.label_stores import (
    distributions,
    written_store,
)


def test_the_remaining_mass_is_spread_over_the_other_classes() -> None:
    targets = SparseTargets(
        torch.tensor([[3, 1], [2, 0], [0, 0]]),
        torch.tensor([[0.5, 0.25], [1.0, 0.0], [0.0, 0.0]]),
        torch.tensor([0.25, 0.0, 1.0]),
    )
    expected = [[0.125, 0.25, 0.125, 0.5], [0, 0, 1, 0], [0.25] * 4]
    assert dense(targets, 4).tolist() == expected
    cooled = dense(targets, 4, temperature=0.5)[0].tolist()
    squares = [0.125**2, 0.25**2, 0.125**2, 0.5**2]
    assert cooled == pytest.approx([value / sum(squares) for value in squares])


def test_the_remaining_mass_can_follow_a_prior() -> None:
    targets = SparseTargets(
        torch.tensor([[3, 1], [2, 0], [0, 1], [3, 0]]),
        torch.tensor([[0.5, 0.25], [1.0, 0.0], [0.5, 0.25], [0.5, 0.0]]),
        torch.tensor([0.25, 0.0, 0.25, 0.5]),
    )
    prior = torch.tensor([0.4, 0.2, 0.1, 0.3])
    expected = [
        [0.2, 0.25, 0.05, 0.5],  # 0 and 2 are left, at 4 to 1
        [0, 0, 1, 0],
        [0.5, 0.25, 0.0625, 0.1875],  # 2 and 3, at 1 to 3
        [0.2 * 5 / 7 * 2, 0.1 * 5 / 7 * 2, 0.05 * 5 / 7 * 2, 0.5],  # 0, 1 and 2, at 4 to 2 to 1
    ]
    for row, wanted in zip(dense(targets, 4, prior=prior).tolist(), expected, strict=True):
        assert row == pytest.approx(wanted)
    # as evenly as without, where the prior is even
    assert torch.allclose(dense(targets, 4, prior=torch.full((4,), 0.25)), dense(targets, 4))
    # classes that no labeled image has get nothing, and the listed ones all
    lacking = dense(targets, 4, prior=torch.tensor([0.0, 0.5, 0.0, 0.5]))[0].tolist()
    assert lacking == pytest.approx([0, 1 / 3, 0, 2 / 3])


def test_rows_sum_to_one_though_halves_are_rounded(tmp_path: Path) -> None:
    store = written_store(tmp_path, distributions(500, 100, sharpness=2))
    full = dense(store.rows(np.arange(500)), 100)
    assert full.dtype == torch.float32
    torch.testing.assert_close(full.sum(1), torch.ones(500), atol=1e-6, rtol=0)
