"""Results are deleted after asking, made again by --redo, and never by mistake."""

import shutil
from pathlib import Path

import pytest

import nsbench
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.test_cli import call

FEW = 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 1\n'


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A run with results on two suites."""
    copy = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    for results in copy.rglob("results"):
        shutil.rmtree(results)
    suites = [write_suite(tmp_path / f"{name}.toml", FEW) for name in ("one", "two")]
    nsbench.evaluate(copy, suites, device="cpu")
    return copy


def test_results_of_a_suite_are_deleted(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("forget", run, "--suite", "one", "--yes") == 0
    assert "2 folders of results deleted" in capfd.readouterr().err
    assert nsbench.load_results(run).suites == ["two"]
    assert not list(run.rglob("results/one"))


def test_nothing_is_deleted_unasked(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert call("forget", run, "--suite", "one") == 2
    assert "add --yes to delete these results" in capfd.readouterr().err
    assert call("forget", run, "--suite", "one", "none", "--yes") == 2
    assert "has no results on none: nothing is deleted" in capfd.readouterr().err
    assert nsbench.load_results(run).suites == ["one", "two"]


def test_redo_evaluates_again(run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    suite = ["--suite", tmp_path / "one.toml", "--device", "cpu"]
    files = sorted(run.rglob("results/one/*/*.parquet"))
    before = [path.stat().st_mtime_ns for path in files]
    assert call("eval", run, *suite) == 0
    assert "nothing left to do" in capfd.readouterr().err
    assert call("eval", run, *suite, "--overwrite") == 0
    assert "one, 2 of 2 models" in capfd.readouterr().err
    after = [path.stat().st_mtime_ns for path in files]
    assert all(new > old for new, old in zip(after, before, strict=True))
    assert sorted(run.rglob("results/one/*/*.parquet")) == files


def test_a_folder_of_images_is_a_suite(tiny_run: Path, image_folder: Path) -> None:
    suite = nsbench.load_suite(image_folder)
    assert (suite.kind, suite.name, suite.source.source) == (
        "accuracy",
        image_folder.name,
        str(image_folder),
    )
    with pytest.raises(NsbenchError, match="there is no suite .*; models are named before --suite"):
        nsbench.load_suite(tiny_run)
