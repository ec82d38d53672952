"""What there is, and what is here."""

import json
from pathlib import Path

import pytest

from nsbench.recipes.files import shipped as recipes
from nsbench.suites.load import shipped as suites
from tests.test_cli import call


def listed(tmp_path: Path, *arguments: str) -> dict[str, list[str]]:
    assert call("ls", *arguments, "--json", tmp_path / "ls.json") == 0
    found: dict[str, list[str]] = {}
    for entry in json.loads((tmp_path / "ls.json").read_text()):
        for row in entry:
            found.setdefault(row["kind"], []).append(row["name"])
    return found


def test_all_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_run: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(tiny_run)
    found = listed(tmp_path)
    assert found["suites"] == list(suites())
    assert found["recipes"] == list(recipes())
    assert "imagenet-1k" in found["data"]
    assert found["runs"] == ["runs/mine"]


def test_names_are_filtered(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = listed(tmp_path, "models", "resnet1?.*")
    assert "resnet18.a1_in1k" in found["models"]
    assert all(name.partition(".")[0] in ("resnet18", "resnet14") for name in found["models"])
    assert set(listed(tmp_path, "suites", "imagenet-v2")["suites"]) == {
        name for name in suites() if "imagenet-v2" in name
    }
    assert call("ls", "models", "resnt50") == 2
    assert "nothing like 'resnt50' to list; did you mean 'resnet50" in capfd.readouterr().err
    assert call("ls", "models", "no-such-model") == 2
