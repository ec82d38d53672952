"""Every command that prints a table, on narrow and on wide terminals."""

import re
import shutil
from pathlib import Path

import pytest
from rich.cells import cell_len
from typer.testing import CliRunner

import nsbench
from nsbench.commands.app import app
from tests.conftest import write_suite

ACCURACY = 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 5\n'
CORRUPTION = (
    'kind = "corruption"\nsource = "digits"\nimages_per_class = 3\nimage_size = 32\n'
    'corruptions = ["fog", "contrast", "elastic_transform"]\nseverities = [1]\n'
)
ATTACK = (
    'kind = "attack"\nsource = "digits"\nimages_per_class = 3\n'
    "epsilons = [0, 1, 2, 4, 8, 16]\nheadline = 4\n"
)
LONG = "a-run-with-quite-a-long-name-that-says-what-it-is"


@pytest.fixture(scope="module")
def place(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with results on three kinds of suites, and the suites' files."""
    folder = tmp_path_factory.mktemp("place")
    without = shutil.ignore_patterns("results")
    shutil.copytree(tiny_run, folder / "runs" / LONG, ignore=without)
    suites = {"plain": ACCURACY, "corrupted": CORRUPTION, "attacked": ATTACK}
    files = [write_suite(folder / f"{name}.toml", text) for name, text in suites.items()]
    nsbench.evaluate(folder / "runs" / LONG, files, device="cpu")
    return folder


COMMANDS = (
    "eval runs/LONG --suite plain.toml corrupted.toml attacked.toml --device cpu",
    "eval runs/LONG --suite plain.toml --device cpu --dry-run",
    "report runs/LONG --out r.html",
    "compare runs/LONG/generation-0 runs/LONG/generation-1",
    "train quickstart --dry-run --device cpu",
    "recipes",
    "recipes --keys",
    "suites",
    "suites imagenet-c",
    "suites --keys",
    "data",
    "data imagenet-c",
    "ls",
    "ls models resnet5*",
    "show labels runs/LONG",
)


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_is_broken_or_too_long(
    command: str, width: int, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.delenv("NSBENCH_DATA", raising=False)
    done = CliRunner().invoke(app, command.replace("LONG", LONG).split())
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    # A path or an address is one piece, and cannot be broken.
    long = [line for line in lines if cell_len(line) > width and len(line.split()) > 1]
    assert long == []
    text = done.stdout
    assert all(line.count("[") == line.count("]") for line in lines), text
    # A line does not begin with what ends a number or a word.
    assert not [line for line in lines if re.match(r"\s*[,.;:%\])]", line)]


def test_compare_is_one_line_a_row(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "80")
    one, other = (f"runs/{LONG}/generation-{number}" for number in (0, 1))
    lines = CliRunner().invoke(app, ["compare", one, other]).stdout.splitlines()
    rows = [line for line in lines if re.match(r"(plain|corrupted|attacked) ", line)]
    assert len(rows) == 3
    assert all(row.split()[-1] in ("better", "worse", "undecided") or "[" in row for row in rows)


def test_models_are_rows_for_every_kind_of_suite(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "140")
    suites = ["plain.toml", "corrupted.toml", "attacked.toml"]
    done = CliRunner().invoke(app, ["eval", f"runs/{LONG}", "--suite", *suites, "--device", "cpu"])
    rows = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("generation-")]
    assert rows == ["generation-0", "generation-1"] * 3
    heads = [line for line in done.stdout.splitlines() if line.startswith("model")]
    assert [head.split()[1] for head in heads] == ["top-1", "mean", "FGSM"]
    assert "top-1" not in " ".join(
        line for line in done.stdout.splitlines() if "generation-" in line
    )
