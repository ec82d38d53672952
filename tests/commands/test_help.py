"""The help of every command fits a terminal of 80 columns, and has an example."""

from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from nsbench.commands.app import app


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    inside = getattr(command, "commands", {})
    if not inside:
        yield path
    for name, one in inside.items():
        yield from commands(one, (*path, name))


@pytest.mark.parametrize("path", [*commands(get_command(app))], ids=" ".join)
def test_help_fits_and_has_an_example(path: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert "Example" in done.output
    assert any(line.strip().startswith(f"nsbench {path[0]}") for line in lines)
