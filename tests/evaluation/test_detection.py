"""Detection of images of unknown classes: intervals, changes, and images that cannot be read."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from nsbench.metrics.calibration import aupr, auroc, fpr95
from nsbench.metrics.change import Detection, DetectionMetric, change
from nsbench.metrics.intervals import percentile_interval, resampled_counts
from nsbench.predictions import read_cell
from nsbench.reporting.compare import compare
from nsbench.suites.scores import score
from tests.conftest import write_suite
from tests.evaluating import evaluate
from tests.evaluation.test_runner import ten_digits

RNG = np.random.default_rng(5)


def detection(gap: float, decimals: int = 9) -> Detection:
    positive = np.arange(90) < 30
    return Detection(RNG.normal(gap * positive, 1).round(decimals), positive)


def metric(of: Detection, name: str = "AUROC") -> DetectionMetric:
    ids = tuple(map(str, range(len(of.scores))))
    return DetectionMetric(name, ids, of.scores, True, detection=of)


def repeated(of: Detection, row: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The scores of one resample, image by image."""
    counts = np.concatenate([resampled_counts(30, 0)[row], resampled_counts(60, 1)[row]])
    return np.repeat(of.scores, counts), np.repeat(of.positive, counts)


@pytest.mark.parametrize("decimals", [1, 9])
def test_a_resample_is_measured_as_if_its_images_were_all_there_is(decimals: int) -> None:
    found = detection(1.0, decimals)
    for row in (0, 49, 50, 1999):
        scores, positive = repeated(found, row)
        assert positive.sum() == 30
        assert found.resampled["AUROC"][row] == pytest.approx(roc_auc_score(positive, scores))
        expected = average_precision_score(positive, scores)
        assert found.resampled["AUPR"][row] == pytest.approx(expected)
        assert found.resampled["FPR95"][row] == pytest.approx(fpr95(scores, positive))
    assert found.values == {
        "AUPR": aupr(found.scores, found.positive),
        "AUROC": auroc(found.scores, found.positive),
        "FPR95": fpr95(found.scores, found.positive),
    }


def test_intervals_and_paired_changes() -> None:
    base = detection(1.0)
    better = Detection(base.scores + 0.3 * base.positive, base.positive)
    one, other = metric(base), metric(better)
    assert one.interval == percentile_interval(100 * base.resampled["AUROC"])
    low, high = one.interval
    assert low < one.value < high
    found = change(other, one)
    assert found.value == pytest.approx(other.value - one.value)
    assert found.significant
    assert found.better
    assert found.images == 90
    assert found.interval.high - found.interval.low < high - low  # the resamples are shared
    assert not change(one, one).significant


def test_through_the_suite(tiny_run: Path, tmp_path: Path) -> None:
    """Digits 0 to 4 are the known classes, half of the others the unknown images."""
    known, unknown = tmp_path / "known", tmp_path / "unknown"
    ten_digits(known, 4)
    for label in range(5):
        shutil.move(known / str(label + 5), unknown / str(label))
    broken = sorted((unknown / "2").iterdir())[0]
    broken.write_bytes(b"no image")
    text = f'kind = "detection"\nsource = "{unknown}"\nclean = "{known}"\n'
    suite = write_suite(tmp_path / "o.toml", text)
    folders = evaluate([str(tiny_run)], [suite], device="cpu")
    for folder in folders:
        rows, clean = read_cell(folder, "images"), read_cell(folder, "clean")
        assert rows.labels.tolist() == [-1] * 20
        assert sorted(set(clean.labels.tolist())) == [0, 1, 2, 3, 4]
        assert rows.top.max() == clean.top.max() == 4
        lost = rows.top[:, 0] < 0
        assert lost.sum() == 1
        confidence = np.where(lost, 1, rows.confidence)  # the worst that it can be
        scores = -np.concatenate([confidence, clean.confidence])
        scored = score(folder)
        assert list(scored.manifest["unreadable"]) == [f"2/{broken.name}"]
        expected = 100 * roc_auc_score(np.arange(40) < 20, scores)
        assert scored.metrics["auroc"].value == pytest.approx(expected)
        right = (clean.top[:, 0] == clean.labels).mean()
        assert scored.metrics["clean_top1"].value == pytest.approx(100 * right)
    generations = [tiny_run / f"generation-{number}" for number in (0, 1)]
    (row,) = compare(generations[0], generations[1], ["o"]).headlines
    assert row.a.name == "AUPR"
    assert row.kappa is None
