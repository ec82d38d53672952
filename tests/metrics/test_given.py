"""What metrics are given: values of any kind that can be, and a sentence for the others."""

from typing import Any

import numpy as np
import pytest
import torch

from nsbench import metrics
from nsbench.util.errors import NsbenchError

CONFIDENCE, CORRECT = [0.9, 0.6, 0.7, 0.2], [True, False, True, False]
GOOD: dict[str, dict[str, Any]] = {
    "expected_calibration_error": {"confidence": CONFIDENCE, "correct": CORRECT},
    "rms_calibration_error": {"confidence": CONFIDENCE, "correct": CORRECT},
    "aurra": {"confidence": CONFIDENCE, "correct": CORRECT},
    "auroc": {"scores": CONFIDENCE, "positive": CORRECT},
    "aupr": {"scores": CONFIDENCE, "positive": CORRECT},
    "fpr95": {"scores": CONFIDENCE, "positive": CORRECT},
    "bootstrap": {"scores": CONFIDENCE, "seed": 1},
    "wilson": {"successes": 3, "trials": 4},
    "mcnemar": {"only_a": 3, "only_b": 4},
    "error_consistency": {"correct_a": CORRECT, "correct_b": CORRECT[::-1]},
    "paired_change": {"scores": CORRECT, "base": CORRECT[::-1]},
    "flip_probability": {"predictions": [[1, 1, 2]], "noise": True},
    "top5_distance": {"top": [[[1, 2, 3, 4, 5], [2, 1, 3, 4, 5]]], "noise": False},
    "corruption_errors": {"errors": {"fog": [0.5] * 5}, "reference": {"fog": [0.8] * 5}},
    "mean_corruption_error": {"errors": {"fog": [0.5] * 5}, "reference": {"fog": [0.8] * 5}},
}
BAD = [None, "nope", b"x", object(), {}, [["a"], [1, 2]], lambda: 0, int, torch.zeros(2, 2), 1.5]
PAIRS = [(name, argument) for name, good in GOOD.items() for argument in good]


@pytest.mark.parametrize(("name", "argument"), PAIRS)
def test_a_wrong_type_is_told_by_its_argument(name: str, argument: str) -> None:
    for value in BAD:
        with pytest.raises((NsbenchError, TypeError)) as caught:
            getattr(metrics, name)(**{**GOOD[name], argument: value})
        sentence = str(caught.value)
        assert argument in sentence
        assert "\n" not in sentence


@pytest.mark.parametrize("name", GOOD)
def test_lists_arrays_and_tensors_are_the_same(name: str) -> None:
    metric, good = getattr(metrics, name), GOOD[name]
    lists = {key: value for key, value in good.items() if isinstance(value, list)}
    found = metric(**good)
    arrays = {key: np.array(value) for key, value in lists.items()}
    for kind in (np.array, torch.from_numpy):
        again = metric(**{**good, **{key: kind(value) for key, value in arrays.items()}})
        assert repr(again) == repr(found)


def test_numbers_of_numpy_are_counts() -> None:
    counts: list[Any] = [np.int64(3), np.int32(4)]
    assert metrics.wilson(*counts) == metrics.wilson(3, 4)
