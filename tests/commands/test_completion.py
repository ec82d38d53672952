"""What a shell offers after the Tab key, and readers that have enough."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nsbench.commands.completion import (
    complete_arch,
    complete_data_set,
    complete_model,
    complete_recipe,
    complete_suite,
)
from nsbench.models.timm_index import kept_index, timm_index


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a run, runs of seeds, and results."""
    monkeypatch.chdir(tmp_path)
    for path in (
        "runs/quick/recipe.toml",
        "runs/quick/controls/labeled-only/recipe.toml",
        "runs/many/seeds.json",
        "runs/many/seed-0/recipe.toml",
        "mine/recipe.toml",
        "results/timm-resnet50.a1_in1k/digits/0123/suite.json",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path


def test_a_reader_that_has_enough_is_no_interruption(tmp_path: Path) -> None:
    timm_index()
    code = f"{sys.executable} -m nsbench ls models | head -1"
    done = subprocess.run(code, shell=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_completion(here: Path) -> None:
    timm_index()
    assert complete_suite("digits-") == ["digits-a", "digits-c", "digits-fgsm", "digits-p"]
    assert complete_recipe("quick") == ["quickstart"]
    assert complete_data_set("stl") == ["stl10"]
    assert complete_arch("test_resn") == ["test_resnet"]
    assert complete_model("test_resnet") == ["test_resnet", "test_resnet.r160_in1k"]
    assert complete_model("timm:test_resnet.") == ["timm:test_resnet.r160_in1k"]
    assert complete_model("runs/") == ["runs/many/", "runs/quick/"]
    assert complete_model("runs/q") == ["runs/quick/"]
    (here / "best.pth").touch()
    (here / "notes.txt").touch()
    assert [name for name in complete_model("") if "." in name] == ["best.pth"]


def test_completion_does_not_wait_for_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NSBENCH_CACHE", str(tmp_path))
    assert kept_index() is None
    assert complete_arch("resnet") == []


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("nsbench ev", "eval"),
        ("nsbench eval --suite digits-f", "digits-fgsm"),
        ("nsbench train quick", "quickstart"),
        ("nsbench data fetch stl", "stl10"),
        ("nsbench ls sui", "suites"),
    ],
)
def test_the_shell_is_answered(words: str, offered: str) -> None:
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    done = subprocess.run(
        [sys.executable, "-m", "nsbench"],
        capture_output=True,
        text=True,
        env={**os.environ, "_NSBENCH_COMPLETE": "complete_bash", **asked},
    )
    assert done.stdout.split() == [offered]
