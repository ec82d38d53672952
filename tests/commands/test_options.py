"""Options as they are called elsewhere, and models in the place of an option."""

from typing import Any

import pytest
from typer.testing import CliRunner

from nsbench.commands import evaluate, report
from nsbench.commands.app import app


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `nsbench eval` was asked for."""
    found: dict[str, Any] = {}

    class Stop(Exception):
        pass

    def check_evaluation(models: list[str], suites: list[str], about: Any, sort: Any) -> None:
        found.update(models=models, suites=suites, about=about)
        raise Stop

    monkeypatch.setattr("nsbench.commands.checks.check_evaluation", check_evaluation)
    return found


@pytest.mark.parametrize(
    "line",
    [
        "a b --suite x y --image-size 32",
        "--model a b --tasks x y --image_size 32",
        "--model a --model b --task x --task y --img-size 32",
        "-m a b --suites x y --input-size=32",
        "--tasks x y --models=a --model=b --image_size=32",
    ],
)
def test_every_habit_asks_for_the_same(line: str, asked: dict[str, Any]) -> None:
    CliRunner().invoke(app, ["eval", *line.split()])
    assert (asked["models"], asked["suites"]) == (["a", "b"], ["x", "y"])
    assert asked["about"].image_size == 32


def test_report_writes_to_an_output(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("nsbench.write_report", lambda _, out, **__: [out], raising=False)
    shown: list[Any] = []
    monkeypatch.setattr(report, "print_report", lambda tables, _: shown.extend(tables))
    (tmp_path / "digits" / "0").mkdir(parents=True)
    (tmp_path / "digits" / "0" / "suite.json").touch()
    done = CliRunner().invoke(app, ["report", str(tmp_path), "--output", "r.html"])
    assert done.exit_code == 0, done.output
    assert [str(path) for path in shown] == ["r.html"]


def test_the_version() -> None:
    for flag in ("--version", "-V"):
        done = CliRunner().invoke(app, [flag])
        assert done.exit_code == 0
        assert done.output.startswith("nsbench 0.")


def test_shells_can_complete() -> None:
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output


def test_redo_is_an_option_of_eval() -> None:
    assert "redo" in evaluate.evaluate.__annotations__
