"""What corruptions and sequences refuse, each in one sentence."""

from typing import Any

import numpy as np
import pytest
import torch

from nsbench.perturbations import frames
from nsbench.pixels.checks import checked_ids

GOOD = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
WRONG: dict[str, tuple[Any, Any]] = {
    "need a torch tensor, not a ndarray": (np.zeros((2, 3, 32, 32), np.uint8), [0, 1]),
    "need uint8 images, not torch.float32": (GOOD.float(), [0, 1]),
    r"\(B, 3, H, W\), not \(3, 32, 32\)": (GOOD[0], [0]),
    r"\(B, 3, H, W\), not \(2, 1, 32, 32\)": (GOOD[:, :1], [0, 1]),
    "there is 1 id for 2 images": (GOOD, [0]),
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_wrong_batch_is_refused(sentence: str) -> None:
    images, ids = WRONG[sentence]
    with pytest.raises(ValueError, match=sentence):
        checked_ids(images, ids, "corruptions")


@pytest.mark.parametrize("sentence", WRONG)
def test_sequences_refuse_the_same(sentence: str) -> None:
    images, ids = WRONG[sentence]
    with pytest.raises(ValueError, match=sentence):
        next(iter(frames(images, "snow", ids=ids)))


def test_ids_may_be_names_numbers_or_a_tensor() -> None:
    assert len(checked_ids(GOOD, ["a", "b"], "corruptions")) == 2
    numbers = checked_ids(GOOD, [0, 1], "corruptions")
    assert checked_ids(GOOD, torch.tensor([0, 1]), "corruptions") == numbers
