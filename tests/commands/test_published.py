"""`nsbench published` as a user meets it."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nsbench.commands.completion import complete_published, complete_published_suite
from tests.test_cli import call


def test_all_is_written_to_files(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = ["--json", tmp_path / "p.json", "--csv", tmp_path / "p.csv"]
    assert call("published", *files) == 0
    assert "nsbench published MODEL" in " ".join(capfd.readouterr().out.split())
    assert len(json.loads((tmp_path / "p.json").read_text())) == 2738
    with (tmp_path / "p.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2738


def test_a_model_on_a_suite(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    model = ["published", "timm/tf_efficientnet_l2.ns_jft_in1k", "--suite", "imagenet-c"]
    assert call(*model, "--json", file) == 0
    (row,) = json.loads(file.read_text())
    assert (row["value"], row["metric"], row["protocol"]) == (28.3, "mCE_pct", "the paper's")
    assert call("published", "tf_efficientnet_l2", "--suite", "imagenet-a", "--json", file) == 0
    assert {row["suite"] for row in json.loads(file.read_text())} == {"imagenet-a"}


def test_mistakes_are_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert call("published", "resnet50.a1_in1g") == 2
    assert "did you mean 'resnet50.a1_in1k'?" in capfd.readouterr().err
    assert call("published", "--suite", "imagnet-a") == 2
    assert "did you mean 'imagenet-a'?" in capfd.readouterr().err
    assert call("published", "resnet50.a1_in1k", "--suite", "laion-c") == 2
    assert "no published result of resnet50.a1_in1k on laion-c" in capfd.readouterr().err


def test_a_slip_is_told_without_torch() -> None:
    code = (
        "import sys; from nsbench import cli\n"
        "try: cli.main(['published', 'resnet50.a1_in1g'])\n"
        "except SystemExit as left: sys.exit(left.code + 10 * ('torch' in sys.modules))"
    )
    start = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 2
    # Under a second by itself; torch alone takes several where other tests use the cores too.
    assert time.monotonic() - start < 5


def test_names_complete() -> None:
    assert complete_published("tf_efficientnet_l2") == [
        "tf_efficientnet_l2.ns_jft_in1k", "tf_efficientnet_l2.ns_jft_in1k_475",
    ]  # fmt: skip
    assert complete_published_suite("objec") == ["objectnet"]
