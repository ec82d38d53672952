"""Metrics against hand-worked values and published ones."""

import numpy as np
import pytest

from nsbench.metrics.robustness import (
    corruption_errors,
    flip_probability,
    flips_by_frame,
    in_top_k,
    mce,
    normalised_mean,
    relative_mce,
    top5_distance,
)
from nsbench.names import CORRUPTIONS, PERTURBATIONS, is_noise
from nsbench.suites.load import load_suite
from nsbench.suites.reference import reference_of

# Mean AlexNet errors over severities: hendrycks/robustness README at 76d9393; clean: torchvision.
ALEXNET = dict(zip(CORRUPTIONS, [
    0.886428, 0.894468, 0.922640, 0.819880, 0.826268, 0.785948, 0.798360, 0.866816, 0.826572,
    0.819324, 0.564592, 0.853204, 0.646056, 0.717840, 0.606500,
], strict=True))  # fmt: skip
ALEXNET_CLEAN = 0.43478
# ResNet-50 V1 of torchvision: bethgelab/game-of-noise, Results/clean_results.txt.
RESNET50 = dict(zip(CORRUPTIONS, [
    29.29, 27.03, 23.81, 38.75, 26.79, 38.67, 36.24, 32.53, 38.14, 45.83, 68.02, 39.06, 45.25,
    44.79, 53.41,
], strict=True))  # fmt: skip
RESNET50_CE = [
    79.77, 81.58, 82.58, 74.71, 88.61, 78.03, 79.86, 77.83, 74.84, 66.11, 56.64, 71.43, 84.75,
    76.92, 76.82,
]  # fmt: skip
# AlexNet's flip probabilities and top-5 distances: Hendrycks and Dietterich, appendix E.
ALEXNET_FP = dict(zip(
    PERTURBATIONS, [23.65, 30.06, 9.30, 5.94, 11.93, 4.89, 11.01, 13.10, 7.05, 23.53], strict=True
))  # fmt: skip
ALEXNET_T5D = dict(zip(
    PERTURBATIONS, [4.77, 5.76, 1.93, 1.34, 2.42, 1.19, 2.63, 2.95, 1.75, 4.48], strict=True
))  # fmt: skip
# ResNeXt-101 32x8d trained on ImageNet: from the raw files of eminorhan/resnext-wsl.
RESNEXT_FP = dict(zip(PERTURBATIONS, [
    10.626, 13.105, 4.463, 3.518, 5.784, 2.610, 4.024, 5.590, 3.313, 8.868,
], strict=True))  # fmt: skip
RESNEXT_T5D = dict(zip(PERTURBATIONS, [
    3.429, 3.967, 1.398, 1.090, 1.698, 0.962, 1.558, 1.980, 1.290, 2.679,
], strict=True))  # fmt: skip


def test_mce_of_the_published_resnet_50() -> None:
    errors = {name: [1 - accuracy / 100] for name, accuracy in RESNET50.items()}
    reference = {name: [error] for name, error in ALEXNET.items()}
    assert mce(errors, reference) == pytest.approx(76.70, abs=0.005)
    assert relative_mce(errors, 1 - 0.7613, reference, ALEXNET_CLEAN) == pytest.approx(
        104.95, abs=0.005
    )
    found = corruption_errors(errors, reference)
    assert list(found.values()) == pytest.approx(RESNET50_CE, abs=0.01)


def test_the_shipped_alexnet_gives_the_published_numbers() -> None:
    """ResNet-50: mCE 76.7 and relative mCE 105.0; AlexNet itself: 100; ResNeXt-101: mFR 46.15."""
    alexnet = reference_of(load_suite("imagenet-c"))
    assert alexnet is not None
    assert alexnet["clean"] == ALEXNET_CLEAN
    assert {n: np.mean(row) for n, row in alexnet["errors"].items()} == pytest.approx(ALEXNET)
    errors = {name: [1 - accuracy / 100] * 5 for name, accuracy in RESNET50.items()}
    assert round(mce(errors, alexnet["errors"]), 1) == 76.7
    relative = relative_mce(errors, 1 - 0.7613, alexnet["errors"], alexnet["clean"])
    assert relative == pytest.approx(104.95, abs=0.005)  # which the paper rounds to 105.0
    clips = reference_of(load_suite("imagenet-p"))
    assert clips is not None
    flips = {name: flip / 100 for name, flip in RESNEXT_FP.items()}
    assert normalised_mean(flips, clips["flip_probability"]) == pytest.approx(46.15, abs=0.01)
    assert normalised_mean(RESNEXT_T5D, clips["top5_distance"]) == pytest.approx(70.54, abs=0.01)


def test_mfr_and_mt5d_of_the_published_resnext_101() -> None:
    assert normalised_mean(RESNEXT_FP, ALEXNET_FP) == pytest.approx(46.15, abs=0.01)
    assert normalised_mean(RESNEXT_T5D, ALEXNET_T5D) == pytest.approx(70.54, abs=0.01)


def test_mce_sums_severities_before_it_divides() -> None:
    errors = {"fog": [0.1, 0.5], "snow": [0.2, 0.2]}
    reference = {"fog": [0.5, 0.5], "snow": [0.4, 0.8]}
    # fog 0.6 / 1.0, snow 0.4 / 1.2; a mean of ratios by severity would give 0.6 and 0.375
    assert mce(errors, reference) == pytest.approx(100 * (0.6 + 1 / 3) / 2)
    # fog (0.6 - 0.2) / (1.0 - 0.6), snow (0.4 - 0.2) / (1.2 - 0.6)
    assert relative_mce(errors, 0.1, reference, 0.3) == pytest.approx(100 * (1 + 1 / 3) / 2)


def test_the_reference_itself_has_100() -> None:
    reference = {name: [error, error / 2] for name, error in ALEXNET.items()}
    assert mce(reference, reference) == pytest.approx(100)
    assert relative_mce(reference, 0.2, reference, 0.2) == pytest.approx(100)
    assert normalised_mean(ALEXNET_FP, ALEXNET_FP) == pytest.approx(100)


def test_a_corruption_that_the_reference_lacks_is_an_error() -> None:
    with pytest.raises(KeyError):
        mce({"fog": [0.1]}, {"snow": [0.1]})


def test_flips_are_counted_against_the_first_frame_or_the_frame_before() -> None:
    clips = np.array([[1, 1, 2, 2, 1], [3, 4, 3, 4, 3]])
    assert flip_probability(clips, noise=False).tolist() == [2 / 4, 4 / 4]
    assert flip_probability(clips, noise=True).tolist() == [2 / 4, 2 / 4]


def test_flips_by_frame_have_the_mean_of_those_by_clip() -> None:
    clips = np.array([[1, 1, 2, 2, 1], [3, 4, 3, 4, 3]])
    assert flips_by_frame(clips, noise=False).tolist() == [1 / 2, 2 / 2, 1 / 2, 2 / 2]
    assert flips_by_frame(clips, noise=True).tolist() == [1 / 2, 1 / 2, 2 / 2, 0 / 2]


@pytest.mark.parametrize(
    ("second", "distance"),
    [
        ((1, 2, 3, 4, 5), 0),
        ((2, 1, 3, 4, 5), 2),
        ((2, 3, 1, 4, 5), 4),
        ((9, 1, 2, 3, 4), 5),  # everything moves down, the fifth leaves
        ((1, 2, 3, 4, 6), 1),
        ((1, 2, 3, 4, 7), 1),
        ((1, 2, 3, 5, 4), 2),
        ((5, 4, 3, 2, 1), 12),
        ((6, 7, 8, 9, 10), 15),
    ],
)
def test_top_5_distance_of_one_pair(second: tuple[int, ...], distance: int) -> None:
    pair = np.array([[(1, 2, 3, 4, 5), second]])
    assert top5_distance(pair, noise=False).tolist() == [distance]
    assert top5_distance(pair, noise=True).tolist() == [distance]


def test_top_5_distance_is_not_symmetric() -> None:
    one, other = (1, 2, 3, 4, 5), (9, 1, 2, 3, 4)
    assert top5_distance(np.array([[one, other]]), noise=False).tolist() == [5]
    assert top5_distance(np.array([[other, one]]), noise=False).tolist() == [5 + 4]


def transcribed(logits: np.ndarray, noise: bool) -> tuple[float, float]:
    """The protocol's loops, written from ranks of all classes."""
    flips, distances = [], []
    for clip in logits:
        ranks = [np.argsort(np.argsort(-frame, kind="stable"), kind="stable") for frame in clip]
        first = ranks[0]
        flip, distance = [], []
        for now in ranks[1:]:
            flip.append(np.argmin(first) != np.argmin(now))
            order = np.argsort(first)[:5]
            distance.append(sum(abs(i - min(int(now[c]), 5)) for i, c in enumerate(order)))
            if not noise:
                first = now
        flips.append(np.mean(flip))
        distances.append(np.mean(distance))
    return float(np.mean(flips)), float(np.mean(distances))


@pytest.mark.parametrize("name", ["gaussian_noise", "rotate"])
def test_flips_and_distances_equal_a_transcription_of_the_protocol(name: str) -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(20, 1, 30))
    logits = base + 0.7 * rng.normal(size=(20, 9, 30))
    top = np.argsort(-logits, axis=-1)[..., :5]
    flip, distance = transcribed(logits, is_noise(name))
    assert flip_probability(top[..., 0], is_noise(name)).mean() == pytest.approx(flip)
    assert top5_distance(top, is_noise(name)).mean() == pytest.approx(distance)


def test_images_keep_their_own_scores() -> None:
    errors = {"fog": np.array([[0.0, 1.0], [1.0, 1.0]]), "snow": np.array([[0.0, 0.0], [0.0, 1.0]])}
    reference = {"fog": [0.5, 0.5], "snow": [0.25, 0.75]}
    means = {name: row.mean(1) for name, row in errors.items()}
    assert mce(errors, reference).tolist() == [50.0, 150.0]
    assert mce(errors, reference).mean() == mce(means, reference)
    clean = np.array([0.0, 1.0])
    scores = relative_mce(errors, clean, reference, 0.25)
    assert scores.mean() == pytest.approx(relative_mce(means, clean.mean(), reference, 0.25))


def test_fewer_than_five_classes_have_distances_too() -> None:
    same = np.array([[(1, 0, -1, -1, -1), (1, 0, -1, -1, -1)]])
    swapped = np.array([[(1, 0, -1, -1, -1), (0, 1, -1, -1, -1)]])
    assert top5_distance(same, noise=False).tolist() == [0]
    assert top5_distance(swapped, noise=False).tolist() == [2]


def test_top_k() -> None:
    top = np.array([[3, 1, 2, 0, 4], [0, 1, 2, 3, 4]])
    labels = np.array([1, 9])
    assert in_top_k(labels, top, 1).tolist() == [False, False]
    assert in_top_k(labels, top, 2).tolist() == [True, False]
    assert in_top_k(labels, top, 5).tolist() == [True, False]
