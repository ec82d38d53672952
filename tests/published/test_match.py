"""Published values beside ours: only the same weights, and by what else was measured alike."""

from collections.abc import Iterable
from typing import Any

import pytest

from nsbench.published.match import TOLERANCE, Beside, beside, published_name
from nsbench.suites.base import SuiteScores
from nsbench.suites.load import load_suite
from tests.published.results import INPUT, TV, result


def same(found: Iterable[Beside]) -> list[tuple[str, float, str]]:
    return [(one.row.origin.short, one.row.value, one.status) for one in found if one.same_protocol]


def test_a_value_within_the_tolerance_repeats() -> None:
    for ours, status in [(80.382, "repeats"), (80.6, "repeats"), (80.63, "repeats"),
                         (81.08, "misses by +0.7"), (80.1, "misses by -0.3")]:  # fmt: skip
        found = beside(result("imagenet-1k", {"top1": ours}, 50_000))
        assert same(found) == [("timm", 80.382, status)]
        assert found[0].difference == pytest.approx(ours - 80.382)
    # The row of the same weights at 288 px is of another input.
    (other,) = found[1:]
    assert other.status == (
        "another protocol: at 288 px, ours at 224 px; a crop of 1, bicubic; ours of 0.95, bicubic"
    )
    assert other.repeats is None


def test_at_the_size_of_another_row_that_one_is_the_same() -> None:
    larger = {**INPUT, "image_size": 288, "crop_pct": 1.0}
    replaced = {"image_size": 288, "crop_pct": 1.0}
    found = beside(
        result("imagenet-1k", {"top1": 81.2}, 50_000, model=replaced, preprocessing=larger)
    )
    assert same(found) == [("timm", 81.24, "repeats")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"chosen": "--quick"}, "ours is of a part of the images (--quick)"),
        ({"images": 49_000}, "ours is of 49,000 images, not of 50,000"),
        ({"unreadable": {"a": "broken"}}, "1 image of ours cannot be read"),
        ({"model": {"mean": [0.5, 0.5, 0.5]}}, "ours has another mean or standard deviation"),
        ({"preprocessing": {**INPUT, "crop_pct": 0.875}},
         "a crop of 0.95, bicubic; ours of 0.875, bicubic"),
        ({"preprocessing": {**INPUT, "interpolation": "bilinear"}},
         "a crop of 0.95, bicubic; ours of 0.95, bilinear"),
    ],
)  # fmt: skip
def test_all_else_is_another_protocol(changes: dict[str, Any], reason: str) -> None:
    found = beside(result("imagenet-1k", {"top1": 80.4}, **{"images": 50_000, **changes}))
    assert same(found) == []
    (smaller,) = [one for one in found if one.row.resolution == 224]
    assert reason in smaller.reasons


def test_another_suite_of_the_same_name_is_another_protocol() -> None:
    scores = result("imagenet-a", {"top1": 10.0}, 7_500)
    assert same(beside(scores)) == [("timm", 9.973, "repeats")]
    unmasked = scores.suite.model_copy(update={"mask": False})
    other = SuiteScores(**{**vars(scores), "suite": unmasked})
    assert same(beside(other)) == []
    # Clean images beside it change nothing of the suite itself.
    alone = SuiteScores(**{**vars(scores), "suite": scores.suite.without_clean()})
    assert len(same(beside(alone))) == 1


@pytest.mark.parametrize(
    "model",
    [
        {"entry": None},  # --weights FILE, or a checkpoint with --arch
        {"entry": "state_dict_ema"},
        {"generation": 1},  # a student that began with this architecture
        {"arch": "resnet50"},  # a module of a program
        {"arch": "hf-hub:somebody/resnet50.a1_in1k"},
    ],
)
def test_other_weights_have_nothing_beside_them(model: dict[str, Any]) -> None:
    assert beside(result("imagenet-1k", {"top1": 80.4}, 50_000, model=model)) == []


def test_another_name_changes_nothing() -> None:
    assert published_name({"name": "mine", "arch": "resnet50.a1_in1k"}) == "resnet50.a1_in1k"
    assert published_name({"name": "resnet50.a1_in1k"}) is None


def corrupted(**manifest: Any) -> list[Beside]:
    tables = {"error": {"fog": [50.0, 60.0]}, "ce": {"fog": [66.5]}}
    metrics = {"mce": 76.9, "relative_mce": 105.0, "error": 60.83}
    about = {"arch": "resnet50.tv_in1k"}
    scores = result(
        "imagenet-c", metrics, 50_000, model=about, preprocessing=TV, tables=tables, **manifest
    )
    return beside(scores)


def test_corruption_errors_stand_beside_those_of_the_authors() -> None:
    found = {
        (one.row.origin.short, one.row.metric): one for one in corrupted() if one.same_protocol
    }
    mce = found["Hendrycks", "mCE_pct"]
    assert (mce.ours, mce.row.value, mce.repeats) == (76.9, 76.7, None)
    assert mce.status == "+0.2, no tolerance is known"
    fog = found["game-of-noise", "fog_CE_pct"]
    assert fog.ours == 66.5
    # Accuracies are told as the errors that nsbench has, the mean over severities.
    accuracy = found["game-of-noise", "fog_acc_pct"]
    assert accuracy.ours == 55.0
    assert accuracy.row.comparable == pytest.approx(100 - 45.83, abs=0.005)
    assert accuracy.difference == pytest.approx(55.0 - 54.17, abs=0.005)
    others = {one.row.protocol for one in corrupted() if not one.same_protocol}
    assert "released files, the model's own transform" in others
    assert "transform not known" in others


@pytest.mark.parametrize("released", [False, None])
def test_images_made_on_the_fly_or_by_ourselves_are_not_the_released_ones(
    released: bool | None,
) -> None:
    found = corrupted(released_files=released)
    assert same(found) == []
    assert all("ours is not known to be on the released files" in one.reasons for one in found)


def test_errors_normalised_by_other_constants_are_another_protocol() -> None:
    assert same(corrupted(reference=None)) == []


def test_the_paper_of_noisy_student_is_told_by_its_protocol() -> None:
    about = {"arch": "tf_efficientnet_l2.ns_jft_in1k"}
    own = {**INPUT, "image_size": 800, "crop_pct": 0.96}
    scores = result("imagenet-1k", {"top1": 88.3}, 50_000, model=about, preprocessing=own)
    found = beside(scores)
    assert same(found) == [("timm", 88.36, "repeats")]
    paper = next(one for one in found if one.row.origin.short == "paper")
    assert paper.row.value == 88.4
    assert paper.status.startswith("another protocol: the paper's; an unknown crop")


def test_tolerances_are_of_shipped_suites() -> None:
    assert all(load_suite(name).kind == "accuracy" for name in TOLERANCE)
