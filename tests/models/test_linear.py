"""The linear reference model is scikit-learn's, on pixels in [0, 1]."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from nsbench.data.readers.digits import DigitsSource
from nsbench.models import load_model


def pixels(split: str, count: int) -> np.ndarray:
    source = DigitsSource(split)
    return np.stack([np.asarray(source.image(n)) for n in range(count)]) / 255


def test_logits_are_those_of_the_regression() -> None:
    source = DigitsSource("labeled")
    known, tested = pixels("labeled", len(source)), pixels("test", 20)
    wanted = LogisticRegression(max_iter=1000).fit(known.mean(-1).reshape(200, -1), source.labels)
    model = load_model("linear:digits", "cpu")
    found = model.logits(torch.from_numpy(tested).permute(0, 3, 1, 2).float())
    # The converged fits of two orders of operations differ in their last digits only.
    expected = wanted.decision_function(tested.mean(-1).reshape(20, -1))
    np.testing.assert_allclose(found.detach().numpy(), expected, atol=2e-3)
