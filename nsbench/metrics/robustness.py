"""Metrics as pure functions of predictions and of tables of errors. No torch, no files.

Errors, probabilities and accuracies are fractions; mCE, mFR and their like are percent, as the
benchmarks print them. Formulas: Hendrycks and Dietterich, ICLR 2019 (ImageNet-C and ImageNet-P).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.metrics.given import CLASSES, FLAG, RANKED, given
from nsbench.util.errors import ArgumentError

Floats = NDArray[np.float64]
Errors = Mapping[str, Any]


def in_top_k(labels: NDArray[np.integer], top: NDArray[np.integer], k: int) -> NDArray[np.bool_]:
    """Whether each label (N,) is among the first k of its ranked predictions (N, K)."""
    correct: NDArray[np.bool_] = (top[:, :k] == labels[:, None]).any(1)
    return correct


def corruption_errors(errors: Errors, reference: Errors) -> dict[str, Any]:
    """CE of each corruption in percent: sum over severities of errors over that of the reference.

    Both map a corruption to its errors by severity, (S,), or by severity and image, (S, N); the
    result is then a number or an array (N,). Raises KeyError if the reference lacks a corruption.
    """
    # A ratio of sums and no mean of ratios, as in the paper: severities weigh by their errors.
    return {
        name: 100 * np.sum(row, axis=0) / np.sum(reference[name]) for name, row in errors.items()
    }


def mce(errors: Errors, reference: Errors) -> Any:
    """Mean corruption error in percent, the mean of the corruptions' CE: a number or (N,)."""
    return np.mean(list(corruption_errors(errors, reference).values()), axis=0)


def relative_mce(errors: Errors, clean: Any, reference: Errors, reference_clean: float) -> Any:
    """Relative mCE in percent: as mCE, of errors over the clean error, a number or (N,)."""
    # As the paper: differences to the clean error on both sides of the ratio.
    above = {name: np.asarray(row) - clean for name, row in errors.items()}
    base = {name: np.asarray(reference[name]) - reference_clean for name in errors}
    return mce(above, base)


def _check_frames(what: str, frames: NDArray[Any]) -> None:
    # A single frame is compared with none, and the mean over none is nan.
    if frames.shape[1] < 2:
        raise ArgumentError(f"{what} must have two frames a clip at least, not {frames.shape[1]}")


@given(predictions=CLASSES, noise=FLAG)
def flip_probability(predictions: NDArray[np.integer], noise: bool) -> Floats:
    """Share of frames of each clip whose class differs from the one they are compared with.

    predictions: (N, F) classes. Noise sequences compare with the first frame, the others with the
    frame before. Returns float64 (N,).
    """
    # Frames of noise are all made from the clean first one; the others follow from each other.
    _check_frames("predictions", predictions)
    before = predictions[:, :1] if noise else predictions[:, :-1]
    flips: Floats = (predictions[:, 1:] != before).mean(1, dtype=np.float64)
    return flips


@given(predictions=CLASSES, noise=FLAG)
def flips_by_frame(predictions: NDArray[np.integer], noise: bool) -> Floats:
    """Share of clips whose class at each frame after the first differs, float64 (F - 1,).

    predictions, noise: as for `flip_probability`, whose mean over clips is the mean of these.
    """
    before = predictions[:, :1] if noise else predictions[:, :-1]
    shares: Floats = (predictions[:, 1:] != before).mean(0, dtype=np.float64)
    return shares


CLIPS = 2_000
"""Clips compared at once, so that memory does not grow with their number. The distances do not
depend on it."""


@given(top=RANKED, noise=FLAG)
def top5_distance(top: NDArray[np.integer], noise: bool) -> Floats:
    """Mean top-5 distance of each clip's frames to the frames they are compared with.

    top: (N, F, 5) classes by rank, -1 where there are fewer than five. A pair's distance is the sum
    over the first's top five of |i - min(q, 5)|, i and q being the ranks (from 0) in the first and
    the second. Returns (N,).
    """
    _check_frames("top", top)
    if top.shape[2] != 5:
        raise ArgumentError(f"top must have five classes a frame, (N, F, 5), not {top.shape}")
    chunks = [top[start : start + CLIPS] for start in range(0, len(top), CLIPS)]
    return np.concatenate([_top5_distance(clips, noise) for clips in chunks or [top]])


def _top5_distance(top: NDArray[np.integer], noise: bool) -> Floats:
    # A rank at a time, in small whole numbers: twenty-five comparisons of what fits a cache.
    kind: type[np.signedinteger[Any]] = np.int32
    if top.size and top.max() < 2**15:
        kind = np.int16
    ranks = [np.ascontiguousarray(top[:, :, i], dtype=kind) for i in range(top.shape[2])]
    before = [rank[:, :1] if noise else rank[:, :-1] for rank in ranks]
    moved = np.zeros((top.shape[0], top.shape[1] - 1), np.int8)
    for i, first in enumerate(before):
        # Up to the fifth place, which it has left where it is not found; a missing rank, -1, has
        # not moved, and would equal that of the other frame.
        far = 5 - i
        moved += np.where(first >= 0, np.int8(far), np.int8(0))
        for q, second in enumerate(ranks):
            found = (second[:, 1:] == first) & (first >= 0)
            moved += found * np.int8(abs(i - q) - far)
    mean: Floats = moved.mean(1, dtype=np.float64)
    return mean


def normalised_mean(values: Mapping[str, Any], reference: Mapping[str, float]) -> Any:
    """Mean in percent of values over their references: mFR of flip probabilities, mT5D likewise.

    Values are numbers, or arrays (N,) by clip; so is the result.
    """
    return np.mean([100 * value / reference[name] for name, value in values.items()], axis=0)
