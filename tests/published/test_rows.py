"""The published results: what the files hold, and values checked by hand against their sources."""

import math
import re
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from nsbench.data.catalog import data_set
from nsbench.names import CORRUPTIONS, EXTRA_CORRUPTIONS, PERTURBATIONS
from nsbench.published.metrics import meaning_of
from nsbench.published.rows import Row, models, models_called, rows, rows_on, sources
from nsbench.suites.load import shipped
from nsbench.util.errors import NsbenchError


def values(model: str, suite: str, metric: str, short: str) -> list[tuple[float, int | None, str]]:
    """Value, resolution and protocol of the rows of a source."""
    return [
        (row.value, row.resolution, row.protocol)
        for row in rows()
        if (row.model, row.suite, row.metric) == (model, suite, metric)
        and row.origin.short == short
    ]


def test_all_rows_are_read_once() -> None:
    assert len(rows()) == 2738
    assert len(models()) == 236
    assert rows() is rows()
    # A table of one README has ResNet-50 in two places; nothing else is repeated.
    twice = [row for row, count in Counter(rows()).items() if count > 1]
    assert {(row.model, row.metric, row.origin.short) for row in twice} == {
        ("resnet50.tv_in1k", "mCE_pct", "robusta")
    }


def test_every_source_has_a_licence_or_a_citation_and_its_protocol() -> None:
    assert {source.licence for source in sources()} == {"Apache-2.0", "MIT", "cited"}
    assert all(source.cite and source.why and source.protocol for source in sources())
    assert {row.origin.begins for row in rows()} == {source.begins for source in sources()}
    for source in sources():
        assert set(source.same) <= shipped().keys()
    own = {"timm", "testbed", "RobustBench", "easyrobust"}
    assert {source.short for source in sources() if source.licence != "cited"} == own


def test_every_value_is_in_range() -> None:
    for row in rows():
        assert math.isfinite(row.value)
        # Errors relative to AlexNet's may be above 100.
        relative = re.search("CE|mFR|T5D|_FR", row.metric)
        assert 0 <= row.value <= (120 if relative else 100), row
        assert row.metric.endswith("_pct")
        assert row.unit == "%"
        assert row.resolution is None or 32 <= row.resolution <= 1024
        assert row.crop_pct is None or 0.5 < row.crop_pct <= 1
        assert not row.suite.endswith("]")


@pytest.mark.parametrize(
    ("model", "suite", "metric", "short", "expected"),
    [
        ("tf_efficientnet_l2.ns_jft_in1k", "imagenet-1k", "top1_acc_pct", "timm",
         [(88.36, 800, "")]),
        ("tf_efficientnet_l2.ns_jft_in1k_475", "imagenet-sketch", "top1_acc_pct", "timm",
         [(51.412, 475, "")]),
        ("tf_efficientnet_b7.ns_jft_in1k", "imagenet-a", "top1_acc_pct", "timm",
         [(67.187, 600, "")]),
        ("resnet50.tv_in1k", "imagenet-c", "mCE_pct", "Hendrycks", [(76.7, 224, "")]),
        ("resnet50.tv_in1k", "imagenet-p", "mFR_pct", "Hendrycks", [(58.0, 224, "")]),
        ("resnet18.tv_in1k", "imagenet-c", "mCE_pct", "Hendrycks", [(84.7, 224, "")]),
        ("tf_efficientnet_l2.ns_jft_in1k", "imagenet-c", "mCE_pct", "paper",
         [(28.3, 299, "the paper's")]),
        ("tf_efficientnet_l2.ns_jft_in1k", "imagenet-p", "mFR_pct", "paper",
         [(12.2, 299, "the paper's")]),
        ("robustbench:Standard_R50", "imagenet-c", "mCE_pct", "RobustBench",
         [(76.38, 224, "RobustBench 5000")]),
        ("resnext101_32x48d.fb_wsl_ig1b_ft_in1k", "imagenet-p", "mFR_pct", "WSL-Images",
         [(27.83, 224, "transform not known")]),
    ],
)  # fmt: skip
def test_values_are_those_of_the_sources(
    model: str, suite: str, metric: str, short: str, expected: list[tuple[float, int, str]]
) -> None:
    found = values(model, suite, metric, short)
    assert [(round(value, 3), size, how) for value, size, how in found] == expected


def test_only_what_is_known_to_be_alike_has_the_protocol_of_nsbench() -> None:
    alike = Counter(row.origin.short for row in rows() if not row.protocol)
    assert alike == {"timm": 725, "game-of-noise": 192, "Hendrycks": 53}
    assert all(row.suite in shipped() for row in rows() if not row.protocol)
    # Whoever is to compare clean images has to know the crop.
    clean = [r for r in rows() if not r.protocol and r.suite not in ("imagenet-c", "imagenet-p")]
    assert all(row.resolution and row.crop_pct and row.interpolation for row in clean)
    inside = {row.protocol for row in rows_on("imagenet-v2-matched-frequency")}
    assert inside == {"", "own transform", "format-val, own transform", "transform not known"}


def test_metrics_are_told_in_the_terms_of_nsbench() -> None:
    assert meaning_of("imagenet-a", "top1_acc_pct").key == "top1"
    ce = meaning_of("imagenet-c", "fog_CE_pct")
    assert (ce.name, ce.key, ce.part, ce.higher_is_better) == ("CE fog", "ce", "fog", False)
    flips = meaning_of("imagenet-p", "tilt_flip_probability_pct")
    assert (flips.key, flips.part) == ("flip_probability", "tilt")
    assert meaning_of("imagenet-p", "tilt_FR_pct").key == ""
    assert meaning_of("objectnet", "top1_acc_pct").key == ""
    assert meaning_of("imagenet-pgd", "pgd100_l2_0.1_acc_pct").name == "pgd100 l2 0.1"
    parts = {row.means.part for row in rows_on("imagenet-c")} - {""}
    assert parts == {*CORRUPTIONS, *EXTRA_CORRUPTIONS}
    assert {row.means.part for row in rows_on("imagenet-p")} - {""} == set(PERTURBATIONS)


def test_accuracies_under_corruption_are_compared_as_errors() -> None:
    (fog,) = [
        row
        for row in rows_on("imagenet-c")
        if row.model == "resnet50.tv_in1k" and row.metric == "fog_acc_pct"
    ]
    assert fog.means.key == "error"
    assert fog.comparable == pytest.approx(100 - 45.83, abs=0.005)
    mce = next(row for row in rows_on("imagenet-c") if row.metric == "mCE_pct")
    assert mce.comparable == mce.value


@pytest.mark.parametrize(
    "name",
    ["resnet50.a1_in1k", "timm:resnet50.a1_in1k", "timm/resnet50.a1_in1k",
     "hf-hub:timm/resnet50.a1_in1k", "ResNet50.A1_in1k"],
)  # fmt: skip
def test_a_model_has_several_spellings(name: str) -> None:
    assert models_called(name) == ["resnet50.a1_in1k"]


def test_a_beginning_stands_for_all_that_begin_so() -> None:
    assert models_called("tf_efficientnet_l2") == [
        "tf_efficientnet_l2.ns_jft_in1k", "tf_efficientnet_l2.ns_jft_in1k_475",
    ]  # fmt: skip
    # The whole name is meant although another begins with it.
    assert len(models_called("tf_efficientnet_l2.ns_jft_in1k")) == 1


def test_a_slip_leads_to_the_nearest_name() -> None:
    with pytest.raises(NsbenchError, match=r"did you mean 'resnet50\.a1_in1k'"):
        models_called("resnet50.a1_in1l")
    with pytest.raises(NsbenchError, match="did you mean 'imagenet-sketch'"):
        rows_on("imagenet-sketsh")
    with pytest.raises(NsbenchError, match="no published result of a model 'timm:'"):
        models_called("timm:")


def test_no_torch_is_needed() -> None:
    code = (
        "import sys; from nsbench.published import effective, match, rows; rows.rows(); "
        "from nsbench.reporting import published_tables; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_rows_can_be_put_into_sets() -> None:
    assert isinstance(rows()[0], Row)
    assert len(set(rows())) == 2736


@pytest.mark.parametrize(
    "suite",
    ["imagenet-1k", "imagenet-real", "imagenet-v2-matched-frequency", "imagenet-sketch",
     "imagenet-a", "imagenet-r"],
)  # fmt: skip
def test_accuracies_are_shares_of_the_images_that_the_catalog_counts(suite: str) -> None:
    # Of another number of images only half of them would be, as three decimals round that finely.
    count = data_set(suite).images
    values = [row.value for row in rows_on(suite) if row.origin.short == "timm"]
    shares = [100 * round(value * count / 100) / count for value in values]
    fits = [abs(s - v) < 0.00051 for s, v in zip(shares, values, strict=True)]
    assert np.mean(fits) > 0.9
