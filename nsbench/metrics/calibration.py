"""Whether a confidence can be trusted: calibration, and detecting unknown classes by a score.

No torch, no files. Confidences, shares and errors are fractions. The order of the images does not
matter: those of equal confidence or score are taken together.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.metrics.given import FLAGS, NUMBERS, given
from nsbench.metrics.robustness import Floats
from nsbench.util.errors import ArgumentError
from nsbench.util.progress import counted

ECE_BINS = 15
"""As Guo et al. (ICML 2017). More bins hold fewer images each, whose chance gaps raise the ECE."""

RMS_BIN = 100
"""Images of a bin, `beta` in calibration_tools.py of natural-adv-examples."""


def calibration_percent(confidence: Floats, correct: NDArray[np.bool_]) -> dict[str, float]:
    """What a table shows of confidences and correctness (N,), in percent, by name.

    None of these is a mean over images, so they stand without intervals. Under 200 images the RMS
    of the released code is left out. Raises ValueError as the ECE does.
    """
    measures = {
        "ECE": expected_calibration_error,
        "RMS calibration error": rms_calibration_error,
        "RMS, released code": released_rms_calibration_error,
        "AURRA": aurra,
    }
    # There it has a single bin, the one that it leaves out.
    if len(confidence) < 2 * RMS_BIN:
        del measures["RMS, released code"]
    return {name: 100 * measure(confidence, correct) for name, measure in measures.items()}


@given(confidence=NUMBERS, correct=FLAGS)
def expected_calibration_error(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """ECE: the gap of mean confidence to accuracy in 15 bins of equal width, weighed by images.

    confidence, correct: (N,). A bin holds its upper edge (Guo et al., ICML 2017).
    Raises ValueError without images, or for a confidence outside 0 to 1.
    """
    confidence, right = _ascending(confidence, correct)
    edges = np.linspace(0, 1, ECE_BINS + 1)[1:-1]  # the inner ones, of which there is one less
    gaps = np.bincount(np.digitize(confidence, edges, right=True), weights=confidence - right)
    return float(np.abs(gaps).sum() / len(confidence))


@given(confidence=NUMBERS, correct=FLAGS)
def rms_calibration_error(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Root mean square gap of mean confidence to accuracy in bins of 100 images by confidence.

    confidence, correct: (N,). The last bin, the most confident, takes the remainder (Hendrycks et
    al., Natural Adversarial Examples, CVPR 2021). Raises ValueError as the ECE does.
    """
    return float(np.sqrt(_squared_gaps(confidence, correct).sum()))


def released_rms_calibration_error(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """The RMS calibration error as the authors' code has it, which published values come from.

    Its loop (`calib_err` in calibration_tools.py of natural-adv-examples) leaves out the last bin.
    Raises ValueError under 200 images, where no bin would be left, and as the ECE does.
    """
    if len(confidence) < 2 * RMS_BIN:
        raise ValueError(f"the released RMS calibration error needs {2 * RMS_BIN} images")
    return float(np.sqrt(_squared_gaps(confidence, correct)[:-1].sum()))


@given(confidence=NUMBERS, correct=FLAGS)
def aurra(confidence: Floats, correct: NDArray[np.bool_]) -> float:
    """Area under the response rate accuracy curve: accuracy among the k surest, mean over all k.

    confidence, correct: (N,) (Hendrycks et al., CVPR 2021). Raises ValueError as the ECE does.
    """
    _, right = _ascending(confidence, correct)
    # From the surest image on, the running share of correct ones, and the mean of these shares.
    return float((np.cumsum(right[::-1]) / np.arange(1, len(right) + 1)).mean())


@given(confidence=NUMBERS, correct=FLAGS)
def reliability(confidence: Floats, correct: NDArray[np.bool_]) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and number of images of each of the ECE's 15 bins, lowest first.

    confidence, correct: (N,). An empty bin has 0 images, and its middle and 0 as the other two.
    Raises ValueError as the ECE does.
    """
    confidence, right = _ascending(confidence, correct)
    edges = np.linspace(0, 1, ECE_BINS + 1)
    place = np.digitize(confidence, edges[1:-1], right=True)
    counts = np.bincount(place, minlength=ECE_BINS)
    filled = np.maximum(counts, 1)
    means = np.bincount(place, weights=confidence, minlength=ECE_BINS) / filled
    shares = np.bincount(place, weights=right, minlength=ECE_BINS) / filled
    middles = np.where(counts, means, (edges[1:] + edges[:-1]) / 2)
    return list(zip(middles.tolist(), shares.tolist(), counts.tolist(), strict=True))


@given(confidence=NUMBERS, correct=FLAGS)
def risk_coverage(confidence: Floats, correct: NDArray[np.bool_], coverages: Floats) -> Floats:
    """The error among the surest images, for each share of them that is answered, (K,).

    confidence, correct: (N,). coverages: shares above 0 up to 1, (K,); of each the number of images
    is rounded up. Raises ValueError as the ECE does.
    """
    _, right = _ascending(confidence, correct)
    answered = np.ceil(coverages * len(right) - 1e-9).astype(int)  # 0.3 * 10 is above 3
    risks: Floats = 1 - np.cumsum(right[::-1])[answered - 1] / answered
    return risks


@given(scores=NUMBERS, positive=FLAGS)
def auroc(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, ties half.

    scores, positive: (N,). On ImageNet-O the positives are its images, the negatives those of
    ImageNet of the same classes, and the score is minus the confidence.
    Raises ValueError without positives or negatives, or for a score that is not finite.
    """
    return float(DETECTION["AUROC"](*curves(scores, positive))[0])


@given(scores=NUMBERS, positive=FLAGS)
def fpr95(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Share of negatives above the highest threshold that at least 95% of the positives reach.

    Takes and raises what `auroc` does. The authors' code takes the recall nearest to 95%: the same
    for the 2,000 images of ImageNet-O, but for ties.
    """
    return float(DETECTION["FPR95"](*curves(scores, positive))[0])


@given(scores=NUMBERS, positive=FLAGS)
def aupr(scores: Floats, positive: NDArray[np.bool_]) -> float:
    """Area under precision and recall, as average precision: steps, no line between the points.

    Takes and raises what `auroc` does. The mean precision at each threshold, weighed by the recall
    that it adds, as `average_precision_score` of scikit-learn, which the authors' code calls.
    """
    return float(DETECTION["AUPR"](*curves(scores, positive))[0])


def _ascending(confidence: Floats, correct: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Confidences in ascending order, and for each the share correct among its equals."""
    if len(confidence) != len(correct):
        raise ArgumentError(
            f"confidence is of {counted(len(confidence), 'image')} and correct of "
            f"{len(correct):,}: give both of the same images"
        )
    if not len(confidence):
        raise ValueError("calibration needs confidence and correctness of at least one image")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("a confidence lies between 0 and 1")
    # Images of equal confidence all get their common share, so that no measure depends on the order
    # in which a sort would leave them. float64, since sums of many float32 lose digits.
    values, group, counts = np.unique(
        confidence.astype(np.float64), return_inverse=True, return_counts=True
    )
    right = np.bincount(group, weights=correct) / counts
    return np.repeat(values, counts), np.repeat(right, counts)


def _squared_gaps(confidence: Floats, correct: NDArray[np.bool_]) -> Floats:
    """Squared gaps by bin of 100 images, weighed by the bins' shares of the images."""
    confidence, right = _ascending(confidence, correct)
    # The last start opens the bin that takes the remainder; under 200 images it is the only one.
    starts = RMS_BIN * np.arange(max(1, len(right) // RMS_BIN))
    sizes = np.diff(starts, append=len(right))
    squared: Floats = (np.add.reduceat(confidence - right, starts) / sizes) ** 2
    return squared * sizes / len(right)


# tp, fp: true and false positives by threshold, (R, T + 1), as `curves` returns them


def _auroc(tp: Floats, fp: Floats) -> Floats:
    # Straight lines between the points, which is what gives ties half.
    trapezia = np.diff(fp) * (tp[:, 1:] + tp[:, :-1]) / 2
    area: Floats = trapezia.sum(1) / (tp[:, -1] * fp[:, -1])
    return area


def _fpr95(tp: Floats, fp: Floats) -> Floats:
    # In whole numbers, since 0.95 is not exact and may miss a recall of exactly 95%.
    first = np.argmax(100 * tp >= 95 * tp[:, -1:], axis=1)
    share: Floats = fp[np.arange(len(fp)), first] / fp[:, -1]
    return share


def _aupr(tp: Floats, fp: Floats) -> Floats:
    positives = np.maximum((tp + fp)[:, 1:], 1)  # a resample may have no image that high
    precision: Floats = (np.diff(tp) * tp[:, 1:] / positives).sum(1) / tp[:, -1]
    return precision


DETECTION: dict[str, Callable[[Floats, Floats], Floats]] = {
    "AUPR": _aupr,
    "AUROC": _auroc,
    "FPR95": _fpr95,
}
"""Measures (R,) of R pairs of curves, as `curves` returns them. The published headline is first."""


def curves(
    scores: Floats, positive: NDArray[np.bool_], counts: NDArray[Any] | None = None
) -> tuple[Floats, Floats]:
    """True and false positives at each of T thresholds, from none to all: (R, T + 1) each.

    scores, positive: (N,). counts: how often each image is in each of R resamples, (R, N); by
    default once in a single one. Raises what `auroc` does.
    """
    if scores.shape != positive.shape or not np.isfinite(scores).all():
        raise ValueError("every image needs a finite score")
    if positive.all() or not positive.any():
        raise ValueError("detection needs both kinds of images, known and unknown ones")
    counts = np.ones((1, len(scores))) if counts is None else counts
    # Thresholds are those of the whole sample, on all resamples: so these need no sort of their
    # own. From the highest score down. Equal scores are one threshold, so that their order does not
    # matter; a stable sort is the same on every machine all the same.
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    # float64 holds whole numbers exactly, and the measures divide.
    sums = (
        np.add.reduceat((counts * kind)[:, order], starts, axis=1, dtype=np.float64)
        for kind in (positive, ~positive)
    )
    tp, fp = (np.pad(np.cumsum(counted, axis=1), ((0, 0), (1, 0))) for counted in sums)
    return tp, fp
