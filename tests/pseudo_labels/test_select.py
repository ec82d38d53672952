from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nsbench.pseudo_labels.select import position_type, select, uniform_draws
from nsbench.pseudo_labels.store import LabelStore
from nsbench.recipes.parts import PseudoLabels
from nsbench.util.errors import NsbenchError
from tests.pseudo_labels.label_stores import distributions, small_shards, written_store

Floats = NDArray[np.float32]


def store_of(folder: Path, *of_a: float) -> LabelStore:
    """Two classes, `a` with these probabilities."""
    return written_store(folder, np.array([[p, 1 - p] for p in of_a], np.float32))


def chosen(store: LabelStore, folder: Path, seed: int = 0, **keys: Any) -> tuple[list[int], Any]:
    settings = PseudoLabels.model_validate({"min_confidence": 0.0, **keys})
    classes = tuple(f"c{index}" for index in range(store.num_classes))
    summary = select(store, settings, classes, seed, folder)
    rows = np.load(folder / "selection.npy", mmap_mode="r")
    return rows.tolist(), summary


def official(
    probabilities: Floats, images: NDArray[np.int64], least: float, quota: int, seed: int
) -> tuple[list[float], list[int]]:
    """Threshold of each class and copies of each image, image by image as filter_unlabel.py has it.

    Its np.random.random() for an image is our draw of that image.
    """
    thresholds, copies = [], [0] * len(probabilities)
    draws = uniform_draws(images, seed)
    for label in range(probabilities.shape[1]):
        members = [i for i, row in enumerate(probabilities) if int(row.argmax()) == label]
        confidence = {i: float(probabilities[i].max()) for i in members}
        total, step = 0, 100
        while True:
            upper = (step + 1) / 100 if step < 100 else 2.0
            total += sum(step / 100 <= confidence[i] < upper for i in members)
            if total >= quota or step / 100 == least:
                break
            step -= 1
        thresholds.append(step / 100)
        for i in members:
            if confidence[i] >= step / 100:
                share = quota / total
                copies[i] = int(share) + int(draws[i] < share - int(share))
    return thresholds, copies


@pytest.mark.parametrize("quota", [7, 30, 61, 500])
def test_it_chooses_as_the_official_code_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: int
) -> None:
    small_shards(monkeypatch, 64)
    probabilities = distributions(600, 8, sharpness=2)
    probabilities[:8] = np.eye(8)  # confidences of 1
    probabilities[8:16] = 0.29 * np.eye(8, dtype=np.float32) + 0.71 / 8 * (1 - np.eye(8))
    images = np.random.default_rng(0).permutation(5000)[:600]
    store = written_store(tmp_path, probabilities, images)
    thresholds, copies = official(probabilities, images, 0.3, quota, 5)
    rows, summary = chosen(store, tmp_path, 5, min_confidence=0.3, per_class=quota)
    assert rows == np.repeat(np.arange(600), copies).tolist()
    assert [c["threshold"] for c in summary["per_class"]] == thresholds
    labels, taken = probabilities.argmax(1), np.array(copies)
    for label, row in enumerate(summary["per_class"]):
        own = labels == label
        assert row["labeled"] == own.sum()
        assert row["confident"] == (own & (probabilities.max(1) >= 0.3)).sum()
        assert row["unique"] == (taken[own] > 0).sum()
        assert row["selected"] == taken[own].sum()
    assert summary["most_copies"] == max(copies)
    assert summary["selected"] == sum(copies)
    assert summary["unique"] == np.count_nonzero(copies)


@pytest.mark.parametrize("quota", ["paper", "exact"])
def test_the_size_of_shards_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str
) -> None:
    probabilities = distributions(300, 5, sharpness=1)
    found = []
    for size in (1000, 17):
        small_shards(monkeypatch, size)
        store = written_store(tmp_path / str(size), probabilities)
        found.append(chosen(store, tmp_path / str(size), quota=quota, per_class=50)[0])
    assert found[0] == found[1]


def test_paper_quotas_hold_on_average(tmp_path: Path) -> None:
    store = store_of(tmp_path, *[0.955] * 4000, *[0.03] * 3000)
    _, summary = chosen(store, tmp_path, per_class=3700)
    counts = [row["selected"] for row in summary["per_class"]]
    # a binomial of 4000 and 0.925, and 3000 beside one of 3000 and 0.2333
    assert abs(counts[0] - 3700) < 5 * (4000 * 0.925 * 0.075) ** 0.5
    assert abs(counts[1] - 3700) < 5 * (3000 * 0.233 * 0.767) ** 0.5
    assert counts != [3700, 3700]


def test_exact_quotas_hold_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_shards(monkeypatch, 50)
    probabilities = distributions(700, 4, sharpness=1)
    confidence, labels = probabilities.max(1), probabilities.argmax(1)
    store = written_store(tmp_path, probabilities)
    rows, summary = chosen(store, tmp_path, quota="exact", per_class=90)
    copies = np.bincount(rows, minlength=700)
    for label, row in enumerate(summary["per_class"]):
        own = labels == label
        assert copies[own].sum() == row["selected"] == 90
        assert copies[own].max() == 1
        step = round(row["threshold"] * 100)
        assert (copies[own & (confidence >= (step + 1) / 100)] == 1).all()
        assert not copies[own & (confidence < step / 100)].any()
    rows, _ = chosen(store, tmp_path, quota="exact", per_class=1000)
    copies = np.bincount(rows, minlength=700)
    for label in range(4):
        own = copies[labels == label]
        assert own.sum() == 1000
        assert own.max() - own.min() == 1


def test_thinning_takes_every_image_as_often(tmp_path: Path) -> None:
    store = store_of(tmp_path, *[0.955] * 40, 0.03)
    found = [chosen(store, tmp_path, s, quota="exact", per_class=10)[0] for s in range(400)]
    times = np.bincount([row for rows in found for row in rows])[:40]
    assert times.sum() == 4000
    # each count is binomial of 400 and 1/4
    assert abs(times - 100).max() < 5 * 75**0.5


def test_draws_are_uniform_and_follow_seed_and_image() -> None:
    draws = uniform_draws(np.arange(100_000), 0)
    assert (uniform_draws(np.array([70_000, 3]), 0) == draws[[70_000, 3]]).all()
    assert (draws != uniform_draws(np.arange(100_000), 1)).all()
    counts = np.bincount((draws * 100).astype(int), minlength=100)
    assert ((counts - 1000) ** 2 / 1000).sum() < 160  # chi-squared, p = 1e-4
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.02


def test_without_balance_all_confident_images_are_taken_once(tmp_path: Path) -> None:
    store = store_of(tmp_path, 0.9, 0.7, 0.1, 0.5, 0.805, 0.804)
    rows, summary = chosen(store, tmp_path, balance=False, min_confidence=0.805)
    assert rows == [0, 2, 4]
    assert (summary["confident"], summary["unique"], summary["selected"]) == (3, 3, 3)
    assert [row["threshold"] for row in summary["per_class"]] == [0.805, 0.805]


def test_the_quota_is_an_even_share_by_default(tmp_path: Path) -> None:
    rows, summary = chosen(store_of(tmp_path, 0.9, 0.8, 0.7, 0.1), tmp_path, quota="exact")
    assert summary["target"] == 2
    assert rows == [0, 1, 3, 3]


def test_a_choice_made_before_is_kept_only_if_nothing_changed(tmp_path: Path) -> None:
    store = store_of(tmp_path, 0.9, 0.8, 0.7, 0.1)
    chosen(store, tmp_path)
    made = (tmp_path / "selection.npy").stat().st_mtime_ns
    chosen(store, tmp_path)
    assert (tmp_path / "selection.npy").stat().st_mtime_ns == made
    assert chosen(store, tmp_path, balance=False)[0] == [0, 1, 2, 3]
    store.manifest["teacher_weights"] = "other"
    chosen(store, tmp_path, balance=False, per_class=3)
    assert (tmp_path / "selection.npy").stat().st_mtime_ns != made


def test_nothing_left_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match=r"pseudo_labels\.min_confidence = 0\.99"):
        chosen(store_of(tmp_path / "a", 0.6), tmp_path, min_confidence=0.99)
    with pytest.raises(NsbenchError, match="as class 'c1'.*balance = false"):
        chosen(store_of(tmp_path / "b", 0.6, 0.7), tmp_path)
    seed = next(s for s in range(100) if uniform_draws(np.arange(80), s).min() > 0.05)
    flat = store_of(tmp_path / "c", *[0.955] * 40, *[0.04] * 40)
    with pytest.raises(NsbenchError, match="per_class = 1 left no image by chance"):
        chosen(flat, tmp_path, seed, per_class=1)
    assert not (tmp_path / "selection.json").exists()


def test_positions_are_as_small_as_they_can_be() -> None:
    assert position_type(2**32 - 1) == np.uint32
    assert position_type(2**32) == np.int64


def test_kept_labels_are_compared_with_withheld_ones(tmp_path: Path) -> None:
    probabilities = distributions(300, 5)
    store = written_store(tmp_path / "labels", probabilities)
    settings = PseudoLabels(balance=False, min_confidence=0.4)
    classes = tuple("abcde")
    plain = select(store, settings, classes, 0, tmp_path)
    assert plain["agreement"] is None
    withheld = np.random.default_rng(1).integers(-1, 5, 300)
    told = select(store, settings, classes, 0, tmp_path / "told", withheld)
    confident = probabilities.max(1) >= 0.4
    known = confident & (withheld >= 0)
    right = known & (probabilities.argmax(1) == withheld)
    assert told["agreement"] == pytest.approx(right.sum() / known.sum())
    # It decides nothing.
    same = {"agreement", "digest"}
    assert {k: v for k, v in told.items() if k not in same} == {
        k: v for k, v in plain.items() if k not in same
    }
