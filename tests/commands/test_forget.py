import shutil
import sys
from pathlib import Path

import pytest
import typer

from nsbench.commands.forget import _ask
from nsbench.util.errors import ExitWith
from tests.conftest import write_suite
from tests.evaluating import evaluate
from tests.test_cli import call

FEW = 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 1\n'


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run of two generations, evaluated on the suites `few` and `other`."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run"
    shutil.copytree(tiny_run, folder, ignore=shutil.ignore_patterns("results"))
    suites = [write_suite(tmp_path / f"{name}.toml", FEW) for name in ("few", "other")]
    evaluate([str(folder)], suites, device="cpu")
    return folder


def left(run: Path) -> list[str]:
    return sorted(str(path.relative_to(run)) for path in run.glob("*/results/[!.]*"))


BOTH = [f"generation-{number}/results/{name}" for number in (0, 1) for name in ("few", "other")]


def test_results_of_a_suite_are_forgotten(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert left(run) == BOTH
    assert call("forget", run, "--suite", "few", "--yes") == 0
    assert left(run) == [BOTH[1], BOTH[3]]
    assert capfd.readouterr().err.count("is deleted") == 2
    assert call("forget", run / "generation-1", "--suite", "other", "-y") == 0
    assert left(run) == [BOTH[1]]
    assert call("forget", "run/generation-0/results", "--suite", "other", "--yes") == 0
    assert left(run) == []


def test_it_asks_first(
    run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call("forget", run, "--suite", "few") == 2  # pytest's standard input is no terminal
    assert "here is no terminal to ask on: add --yes" in capfd.readouterr().err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    answers = iter(["n", "y"])
    monkeypatch.setattr("typer.confirm", lambda *_, **__: next(answers) == "y")
    assert call("forget", run, "--suite", "few") == 2
    assert "nothing was deleted" in capfd.readouterr().err
    assert left(run) == BOTH
    assert call("forget", run, "--suite", "few") == 0
    assert left(run) == [BOTH[1], BOTH[3]]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("run --suite fwe", "there are no results of fwe in"),
        ("run --suite fwe", "; did you mean 'few'?"),
        ("nowhere --suite few", "nowhere is neither a run folder nor a folder of results"),
        ("resnet50 --suite few", "no results of few in results/timm-resnet50.a1_in1k"),
        ("run", "forget needs --suite"),
    ],
)
def test_what_cannot_be_forgotten(
    words: str, sentence: str, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert call("forget", *words.split(), "--yes") == 2
    error = capfd.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert left(run) == BOTH


def test_a_model_of_timms_is_named_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for suite in ("few", "other"):
        folder = tmp_path / "results" / "timm-resnet50.a1_in1k" / suite / "0123"
        folder.mkdir(parents=True)
        (folder / "suite.json").touch()
    assert call("forget", "hf-hub:timm/resnet50.a1_in1k", "--suite", "few", "--yes") == 0
    assert [path.name for path in tmp_path.glob("results/*/[!.]*")] == ["other"]
    assert call("forget", "results", "--suite", "other", "--yes") == 0
    assert not list(tmp_path.glob("results/*/o*"))


def test_ctrl_c_at_the_question_deletes_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise typer.Abort

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", stopped)
    with pytest.raises(ExitWith) as left:
        _ask([])
    assert left.value.exit_code == 130
    assert capfd.readouterr().err == "\nnsbench: nothing was deleted\n"
