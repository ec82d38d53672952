"""The labels that unlabeled images have after all."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nsbench.pseudo_labels.true_labels import true_labels
from nsbench.util.errors import NsbenchError


@pytest.mark.parametrize("indices", [[0, 2], [0, 3], [2], [3]])
def test_labels_of_other_classes_are_refused(indices: list[int]) -> None:
    source: Any = SimpleNamespace(
        name="n", labels=np.array([0, 1, 2, -1]), classes=None, version="v"
    )
    with pytest.raises(NsbenchError, match="has images of other classes than the labeled ones"):
        true_labels(source, np.array(indices), ("a", "b"))
    own = true_labels(source, np.array([1, 0]), ("a", "b"))
    assert own.classes.tolist() == [1, 0]
    assert len(true_labels(source, np.array([], np.int64), ("a", "b"))) == 0
