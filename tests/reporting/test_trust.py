"""What is told of choices, evaluations and trainings: once where all models have the same."""

from pathlib import Path
from typing import Any

from nsbench.reporting.results import Entry
from nsbench.reporting.trust import NAMED, trained_on, trainings_table

GPU = {"device": "cuda:1", "gpu": "NVIDIA H100 80GB HBM3", "threads": 8}


def entries(*environments: dict[str, Any] | None) -> list[Entry]:
    infos = ({"environment": e} if e is not None else {} for e in environments)
    return [Entry(f"m{k}", Path(), info, {}) for k, info in enumerate(infos)]


def devices(*environments: dict[str, Any] | None) -> list[str]:
    return trainings_table(entries(*environments)).rows[0]


def test_a_gpu_is_told_by_its_name() -> None:
    assert trained_on({"environment": GPU}) == "NVIDIA H100 80GB HBM3"
    assert trained_on({"environment": {"device": "cpu", "gpu": None}}) == "CPU"
    assert trained_on({"environment": {"device": "mps"}}) == "mps"
    assert trained_on({"environment": {}}) == trained_on({}) == ""


def test_models_with_the_same_stand_together() -> None:
    assert devices(GPU, GPU) == ["device", "NVIDIA H100 80GB HBM3"]
    cpu = {"device": "cpu", "threads": 2}
    assert devices(GPU, cpu, GPU) == ["device", "m0, m2: NVIDIA H100 80GB HBM3\nm1: CPU"]
    # What is not known of some is left out, and of many the number is told.
    assert devices(*[cpu] * (NAMED + 1), {}, GPU)[1].split("\n") == [
        f"{NAMED + 1} models: CPU",
        f"m{NAMED + 2}: NVIDIA H100 80GB HBM3",
    ]
    threads = trainings_table(entries(GPU, cpu)).rows[1]
    assert threads == ["threads", "m0: 8\nm1: 2"]


def test_a_changed_checkout_is_told() -> None:
    commit = "0123456789abcdef"
    made = [{"device": "cpu", "git_commit": text} for text in (commit, f"{commit}-dirty")]
    (row,) = (row for row in trainings_table(entries(*made)).rows if row[0] == "commit")
    assert row[1] == "m0: 0123456789ab\nm1: 0123456789ab-dirty"


def test_models_of_no_known_training_have_no_table() -> None:
    assert trainings_table(entries(None, None)).rows == []
    assert devices(None, GPU) == ["device", "NVIDIA H100 80GB HBM3"]
