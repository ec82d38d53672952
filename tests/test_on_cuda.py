"""Tests that need a GPU say so where there is none, and their own code is proved on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.conftest import DEVICE, ROOT

FILES = sorted(
    path for path in Path(ROOT / "tests").rglob("test_on_cuda.py") if path != Path(__file__)
)


def outcome(**environment: str) -> str:
    options = ["-q", "-rs", "-p", "no:cacheprovider", "-m", "cuda"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "tests/util/test_on_cuda.py"],
        cwd=ROOT, env={**os.environ, DEVICE: "cuda", **environment}, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_they_are_skipped_with_a_reason() -> None:
    skipped = outcome()
    assert "passed" not in skipped
    assert f"no CUDA device; {DEVICE}=cpu runs this test on the CPU" in skipped
    proved = outcome(**{DEVICE: "cpu"})
    assert "a CPU has nothing of the kind" in proved
    assert "no CUDA device" not in proved


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_each_file_is_marked_and_lies_beside_what_it_tests(path: Path) -> None:
    assert "\npytestmark = pytest.mark.cuda\n" in path.read_text()
    assert (ROOT / "nsbench" / path.parent.name).is_dir()
