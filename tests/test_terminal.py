"""Every command that prints a table, at 80 and at 140 columns: lines fit, and nothing is broken."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from nsbench.reporting import tables
from nsbench.reporting.layout import print_sentence
from nsbench.reporting.tables import Table
from nsbench.training.generations import train
from tests.conftest import TINY_RECIPE, write_suite
from tests.evaluating import evaluate
from tests.test_cli import call

WIDTHS = (80, 140)
WIDE = 2000
RECIPE = (
    TINY_RECIPE.replace(
        'labeled = { source = "digits", split = "labeled" }\n'
        'unlabeled = { source = "digits", split = "unlabeled" }\n',
        'labeled = { source = "digits", split = "train" }\nlabels_per_class = 20\n',
    )
    + '[[controls]]\nkind = "labeled-only"\n'
    + '[[variants]]\nname = "quiet"\nset = ["generations.1.dropout=0.1"]\n'
)
SUITES = {
    "plain": 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 5\n',
    "a-suite-of-a-long-name": 'kind = "attack"\nsource = "digits"\nimages_per_class = 2\n'
    "epsilons = [0, 0.5, 1, 2, 4, 8, 16]\nheadline = 8\n",
    "foggy": 'kind = "corruption"\nsource = "digits"\nimages_per_class = 2\nimage_size = 32\n'
    'corruptions = ["fog", "elastic_transform"]\nseverities = [3]\njpeg_quality = 0\n',
    "moving": 'kind = "perturbation"\nsource = "digits"\nimages_per_class = 1\nimage_size = 32\n'
    'perturbations = ["gaussian_noise"]\n',
}
Shown = Callable[..., list[Table]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of a recipe with a control and a variant, evaluated on suites of four kinds."""
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "tiny.toml").write_text(RECIPE)
    for name, text in SUITES.items():
        write_suite(folder / f"{name}.toml", text)
    train(
        str(folder / "tiny.toml"),
        folder / "many",
        settings=["defaults.epochs=0.25", "generations.0.epochs=0.25"],
        device="cpu",
        seeds=2,
        controls=["all"],
        variants=["all"],
    )
    paths = [str(folder / f"{name}.toml") for name in SUITES]
    evaluate([str(folder / "many")], paths, device="cpu")
    return folder / "many"


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Shown:
    """Runs a command, and checks what it prints in each width; returns its tables."""
    print_tables = tables.print_tables

    def lines(printed: list[Table], width: int) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        capfd.readouterr()
        print_tables(printed)
        return capfd.readouterr().out.splitlines()

    def run(*arguments: object) -> list[Table]:
        printed: list[Table] = []
        # The same tables in each width, as times differ from run to run.
        monkeypatch.setattr(tables, "print_tables", lambda found, *_: printed.extend(found))
        assert call(*arguments) == 0
        assert printed
        wide = set(" ".join(lines(printed, WIDE)).split())
        for width in WIDTHS:
            check(lines(printed, width), width, wide, printed)
        return printed

    return run


def check(lines: list[str], width: int, wide: set[str], printed: list[Table]) -> None:
    """Lines fit, intervals are whole, and all words are those of a terminal of any width."""
    commands = {command for table in printed for command in table.commands}
    for line in lines:
        assert cell_len(line) <= width or line in commands, line
        assert line.count("[") == line.count("]"), line
    noted = "Not shown here: a wider terminal shows all."
    heads = {word for table in printed for head in table.columns for word in head.split()}
    known = {*wide, *noted.split(), "writes", "all.", *heads}
    known |= {f"{head}{mark}" for head in heads for mark in ",.;"}
    paths = " ".join(f"/{word.strip('/')}/" for word in wide if "/" in word)
    for word in " ".join(lines).split():
        whole = word in known or re.fullmatch("─+", word)
        assert whole or f"/{word.strip('/')}/" in paths, word


def test_models_on_suites(home: Path, shown: Shown, tmp_path: Path) -> None:
    suites = ["--suite", *(home.parent / f"{name}.toml" for name in SUITES), "--device", "cpu"]
    run = home / "seed-0"
    shown("eval", home, *suites, "--dry-run")
    shown("eval", home, *suites)
    found = shown("eval", run, *suites)
    # Models are rows and metrics columns, whatever the kind of the suite.
    assert all(table.columns[0] == "model" for table in found)
    assert all(len(table.rows) == 4 for table in found)
    for across in (home, run):
        (first, *_) = shown("report", across, "--out", tmp_path / "r.html")
        assert first.columns[0] == "model"
        assert not any("top-1" in cell for row in first.rows for cell in row)
    shown("leaderboard", home, "--out", tmp_path / "l.html")
    shown("show", "labels", run)
    for name, made in (("a-report-of-a-long-name", home), ("one", run)):
        assert call("reports", "add", made, "--name", name, "--home", tmp_path) == 0
    shown("reports", "verify", "--home", tmp_path)
    for suite in SUITES:
        shown("show", "mistakes", run / "generation-1", "--suite", suite, "--count", 3)
        shown("show", "mistakes", *(run / f"generation-{n}" for n in (0, 1)), "--suite", suite)
    shown("train", "--resume", run, "--device", "cpu")
    recipe = home.parent / "tiny.toml"
    shown("train", recipe, "--dry-run", "--controls", "--variants", "--device", "cpu")


def test_comparisons_are_one_line_a_row(
    home: Path, shown: Shown, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for folder in (home, home / "seed-0"):
        models = [folder / "generation-0", folder / "generation-1"]
        shown("compare", *models)
        monkeypatch.undo()
        monkeypatch.setenv("COLUMNS", "80")
        capfd.readouterr()
        assert call("compare", *models) == 0
        lines = capfd.readouterr().out.splitlines()
        for suite in SUITES:
            (row,) = [line for line in lines if line.startswith(f"{suite} ")]
            assert re.search(r" (better|worse|undecided)$", row)


def test_one_model_has_one_name(home: Path, shown: Shown, tmp_path: Path) -> None:
    run, suite = home / "seed-0", home.parent / "plain.toml"
    own = [f"many/seed-0/generation-{number}" for number in (0, 1)]
    beside = ["many/seed-0/labeled-only/generation-0", "many/seed-0/quiet/generation-1"]
    (evaluated,) = shown("eval", run, "--suite", suite, "--device", "cpu")
    assert [row[0] for row in evaluated.rows if row[0] in {*own, *beside}] == [*own, *beside]
    summary, control, variant = shown("report", run, "--out", tmp_path / "r.html")
    assert [row[0] for row in summary.rows] == own
    assert [row[0] for row in control.rows] == [own[1], beside[0]]
    assert [row[0] for row in variant.rows] == [own[1], beside[1]]
    (compared, *_) = shown("compare", run / "generation-0", run / "generation-1")
    assert compared.title.split("\n")[:2] == [f"B: {own[1]}", f"A: {own[0]}"]
    trained = shown("train", "--resume", run, "--device", "cpu")[0]
    assert {*own, *beside} <= {row[0] for row in trained.rows}


@pytest.mark.parametrize(
    "command",
    [
        ["suites"],
        *(["suites", name] for name in ("imagenet-c", "imagenet-a", "digits-p", "imagenet-pgd")),
        ["recipes"],
        ["recipes", "--keys"],
        ["suites", "--keys"],
        ["published"],
        *(["published", name] for name in ("resnet50.tv_in1k", "tf_efficientnet_l2", "easyrobust")),
        *(["published", "--suite", name] for name in ("imagenet-1k", "imagenet-c", "imagenet-pgd")),
        ["data"],
        *(["data", name] for name in ("imagenet-1k", "imagenet-c", "cifar10-p")),
        ["bench", "corruptions", "--corruption", "fog", "elastic_transform", "--image-size", "32",
         "--batch-size", "2", "--rounds", "1", "--device", "cpu"],
        ["bench", "attack", "--arch", "test_resnet", "--image-size", "32", "--batch-size", "2",
         "--rounds", "1", "--device", "cpu"],
    ],
)  # fmt: skip
def test_what_is_known_and_what_it_takes(command: list[str], shown: Shown, tmp_path: Path) -> None:
    shown(*command, *(["--data", tmp_path] if command[0] in ("data", "suites") else []))


def test_what_is_made(shown: Shown, home: Path, small_folder: Path, tmp_path: Path) -> None:
    names = ["--corruption", "fog", "--layout", "folder", "--workers", 0]
    shown("make", "imagenet-c", small_folder, tmp_path / ("c" * 40), *names)
    shown("reference", home.parent / "foggy.toml", "--out", tmp_path / "r.json", "--device", "cpu")


def test_data_sets_are_one_line_each(
    shown: Shown, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (table,) = shown("data")
    monkeypatch.undo()
    monkeypatch.setenv("COLUMNS", "80")
    capfd.readouterr()
    assert call("data") == 0
    lines = capfd.readouterr().out.splitlines()
    for name, *_ in table.rows:
        assert sum(line.startswith(f"{name} ") for line in lines) == 1
    assert len(lines) < len(table.rows) + 10


def test_commands_to_copy_are_whole(shown: Shown, tmp_path: Path) -> None:
    long = tmp_path / ("deep" * 20)
    (table,) = shown("data", "imagenet-c", "--data", long)
    assert table.commands == (
        "nsbench data fetch imagenet-c",
        f"nsbench make imagenet-c data:imagenet-1k {long}/imagenet-c",
    )


def test_a_wrong_data_set_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert call("data", "imagenet-aa") == 2
    assert "there is no data set imagenet-aa; did you mean 'imagenet-a'?" in capfd.readouterr().err


def test_who_stops_reading_is_told_nothing() -> None:
    command = f"{sys.executable} -m nsbench suites --keys | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout == "keys of every suite\n"
    assert "stopped" not in done.stderr


def test_sentences_are_broken_at_words(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "fog: wrong, 3 of 75 cells differ [0.1, 0.2] from what the processor gives " * 3
    for width in WIDTHS:
        monkeypatch.setenv("COLUMNS", str(width))
        print_sentence(text)
        lines = capfd.readouterr().out.splitlines()
        check(lines, width, set(text.split()), [])
