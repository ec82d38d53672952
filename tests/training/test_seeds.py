"""Runs of several seeds: each by itself, resumed together, and none that diverges left out."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nsbench.cli import main
from nsbench.commands.app import app
from nsbench.models import load_model, load_models
from nsbench.recipes.recipe import load_recipe
from nsbench.run_folder import divergence, generation_folders, read_seeds, seed_runs
from nsbench.training import generations
from nsbench.training.fit import Diverged
from nsbench.training.generations import train
from nsbench.training.run import Run
from nsbench.util.device import resolve_device
from nsbench.util.errors import NsbenchError
from nsbench.util.locks import LOCK
from tests.conftest import TINY_RECIPE

RECIPE = (
    TINY_RECIPE.replace(
        'labeled = { source = "digits", split = "labeled" }\n'
        'unlabeled = { source = "digits", split = "unlabeled" }\n',
        'labeled = { source = "digits", split = "train" }\nlabels_per_class = 5\n',
    ).replace("epochs = 8", "epochs = 1")
    + """
[[controls]]
kind = "labeled-only"

[[variants]]
name = "other-seed"
set = ["seed=7"]

[[variants]]
name = "hard"
set = ["pseudo_labels.labels='hard'"]
"""
)
LARGE = ["defaults.lr=1e30", "defaults.optimizer=sgd", "defaults.steps=3"]
"""Settings with which every training diverges."""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE)
    return str(path)


@pytest.fixture(scope="module")
def home(recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds with a control; tests only read it."""
    out = tmp_path_factory.mktemp("seeds") / "out"
    return train(recipe, out, settings=["seed=3"], device="cpu", seeds=2, controls=["labeled-only"])


def info(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "model.json").read_text())
    return content


def times(home: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in home.rglob("*.safetensors")}


def breaking(
    monkeypatch: pytest.MonkeyPatch, names: set[str], error: type[NsbenchError] = Diverged
) -> list[str]:
    """Have the trainings in folders of these names fail; returns all that are begun."""
    begun, whole = [], generations._train

    def broken(run: Run) -> None:
        begun.append(run.folder.name)
        if run.folder.name in names:
            if error is Diverged:
                raise Diverged(f"the loss of {run.folder.name} is nan at step 2", ": lower lr")
            raise error(f"{run.folder.name} is broken")
        whole(run)

    monkeypatch.setattr(generations, "_train", broken)
    return begun


def test_each_seed_is_a_run_of_its_own(home: Path, recipe: str) -> None:
    assert [run.name for run in seed_runs(home)] == ["seed-3", "seed-4"]
    record = read_seeds(home)
    assert (record["seeds"], record["name"]) == ([3, 4], "tiny")
    assert "seed" not in record["recipe"]
    weights = []
    for seed, run in zip((3, 4), seed_runs(home), strict=True):
        assert load_recipe(str(run / "recipe.toml")).seed == seed
        assert len(generation_folders(run)) == 2
        assert info(run / "controls" / "labeled-only" / "generation-0")["identity"]["seed"] == seed
        weights.append(info(run / "generation-1")["weights"])
    assert weights[0] != weights[1]
    # The same as a run of that seed alone.
    alone = train(recipe, home.parent / "alone", settings=["seed=4"], device="cpu")
    assert info(alone / "generation-1")["weights"] == weights[1]


def test_a_folder_of_seeds_stands_for_all_their_models(home: Path) -> None:
    names = [model.name for model in load_models([str(home)], resolve_device("cpu"))]
    of_one = ["generation-0", "generation-1", "labeled-only/generation-0"]
    assert names == [f"out/seed-{seed}/{name}" for seed in (3, 4) for name in of_one]
    with pytest.raises(NsbenchError, match="several seeds: name the run of one"):
        load_model(str(home))


def test_repeated_it_keeps_what_is_finished_and_adds_seeds(
    home: Path, recipe: str, tmp_path: Path
) -> None:
    copy, settings = tmp_path / "out", ["seed=3"]
    shutil.copytree(home, copy)
    before = times(copy)
    train(recipe, copy, settings=settings, device="cpu", seeds=2)
    train(resume=copy, device="cpu", controls=["all"])
    assert times(copy) == before
    train(recipe, copy, settings=settings, device="cpu", seeds=3)
    assert read_seeds(copy)["seeds"] == [3, 4, 5]
    assert times(copy).items() > before.items()
    # Fewer seeds than there are leave the others among them.
    train(recipe, copy, settings=settings, device="cpu", seeds=1)
    assert read_seeds(copy)["seeds"] == [3, 4, 5]
    shutil.rmtree(copy / "seed-4" / "generation-1")
    train(resume=copy, device="cpu")
    assert times(copy).keys() > before.keys()
    for name in ("generation-0", "generation-1"):
        assert info(copy / "seed-4" / name)["weights"] == info(home / "seed-4" / name)["weights"]


def test_a_damaged_record_is_moved_aside_and_written_again(
    home: Path, recipe: str, tmp_path: Path
) -> None:
    shutil.copytree(home, tmp_path / "out")
    record = tmp_path / "out" / "seeds.json"
    record.write_text(record.read_text().replace("tiny", "teny"))
    with pytest.raises(NsbenchError, match="not as it was written.*repeat the nsbench train --see"):
        train(resume=tmp_path / "out", device="cpu")
    train(recipe, tmp_path / "out", settings=["seed=3"], device="cpu", seeds=1)
    assert read_seeds(tmp_path / "out")["seeds"] == [3, 4]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"controls": ["no-such"]}, "has no control 'no-such'"),
        ({"variants": ["other-seed"]}, "the variant 'other-seed' sets the seed, which --seeds"),
        ({"settings": ["defaults.arch=no-such"]}, "no-such"),
        ({"seeds": 0}, "seeds is 0, but must be at least 1"),
    ],
)
def test_mistakes_are_told_before_anything_is_there(
    recipe: str, tmp_path: Path, more: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(NsbenchError, match=sentence):
        train(recipe, tmp_path / "out", device="cpu", **{"seeds": 2, **more})
    assert not (tmp_path / "out").exists()


def test_other_folders_are_refused(home: Path, recipe: str, tmp_path: Path) -> None:
    before = times(home)
    with pytest.raises(NsbenchError, match=r"holds seeds of another recipe \(.*lr is"):
        train(recipe, home, settings=["defaults.lr=0.1", "seed=3"], device="cpu", seeds=2)
    with pytest.raises(NsbenchError, match="holds the runs of several seeds: add --seeds"):
        train(recipe, home, device="cpu")
    with pytest.raises(NsbenchError, match="the run of one seed: choose another folder"):
        train(recipe, home / "seed-3", device="cpu", seeds=2)
    with pytest.raises(NsbenchError, match="to add some, name the recipe"):
        train(resume=home, device="cpu", seeds=3)
    with pytest.raises(NsbenchError, match="the run of one seed: name a recipe"):
        train(resume=home / "seed-3", device="cpu", seeds=3)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    with pytest.raises(NsbenchError, match="exists and is not a folder of seeds"):
        train(recipe, tmp_path / "notes", device="cpu", seeds=2)
    assert times(home) == before
    assert not any(home.glob("*set-aside*"))


def test_what_a_command_leaves_that_was_killed_at_once_is_no_obstacle(
    recipe: str, tmp_path: Path
) -> None:
    (tmp_path / "out" / "seed-0").mkdir(parents=True)
    for folder in (tmp_path / "out", tmp_path / "out" / "seed-0"):
        (folder / LOCK).touch()
    train(recipe, tmp_path / "out", settings=["defaults.steps=1"], device="cpu", seeds=1)


def test_a_seed_that_diverges_is_told_and_stops_no_other(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    wanted: dict[str, Any] = {"device": "cpu", "seeds": 3, "controls": ["all"]}
    told = r"the loss of seed-1 is nan at step 2: 1 training div"
    with monkeypatch.context() as patch:
        breaking(patch, {"seed-1"})
        with pytest.raises(NsbenchError, match=told):
            train(recipe, out, **wanted)
    assert "the loss of seed-1 is nan at step 2 : lower lr; it is rec" in capfd.readouterr().err
    assert divergence(out / "seed-1") == "the loss of seed-1 is nan at step 2"
    for seed in (0, 2):
        assert len(generation_folders(out / f"seed-{seed}" / "controls" / "labeled-only")) == 1
    # It is an outcome, and is neither tried again nor forgotten.
    begun = breaking(monkeypatch, set())
    with pytest.raises(NsbenchError, match=told):
        train(resume=out, device="cpu")
    assert begun == ["seed-0", "seed-2"]
    with pytest.raises(NsbenchError, match=r"diverged\.json says: move .*seed-1 away"):
        train(resume=out / "seed-1", device="cpu")
    shutil.move(out / "seed-1", tmp_path / "kept")
    train(recipe, out, **wanted)
    assert begun[2:] == [name for n in range(3) for name in (f"seed-{n}", "labeled-only")]


def test_a_control_that_diverges_leaves_its_run_and_other_controls(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = breaking(monkeypatch, {"labeled-only"})
    with pytest.raises(NsbenchError, match="2 trainings diverged"):
        train(recipe, tmp_path / "out", device="cpu", seeds=2, controls=["all"], variants=["hard"])
    assert begun == ["seed-0", "labeled-only", "hard", "seed-1", "labeled-only", "hard"]
    train(resume=tmp_path / "out" / "seed-0", device="cpu", variants=["hard"])
    with pytest.raises(NsbenchError, match="move .*seed-0/controls/labeled-only away to train"):
        train(resume=tmp_path / "out" / "seed-0", device="cpu", controls=["all"])
    assert len(generation_folders(tmp_path / "out" / "seed-1" / "variants" / "hard")) == 1


def test_other_errors_stop_at_once(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = breaking(monkeypatch, {"seed-0"}, NsbenchError)
    with pytest.raises(NsbenchError, match="seed-0 is broken"):
        train(recipe, tmp_path / "out", device="cpu", seeds=2)
    assert begun == ["seed-0"]
    assert divergence(tmp_path / "out" / "seed-0") is None


def test_the_guard_names_the_seed(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", recipe, "--seeds", "2", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--device", "cpu", "--set", *LARGE])
    assert left.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("the loss of seed 1, generation 0 is") == 2
    assert "2 trainings diverged, the others are in" in said
    assert "Traceback" not in said


def test_processes_of_torchrun_go_on_after_a_seed_that_diverges(
    recipe: str, tmp_path: Path
) -> None:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launch, "-m", "nsbench", "train", recipe, "--device", "cpu"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out"), "--seeds", "2", "--set", *LARGE],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode != 0
    assert done.stderr.count("2 trainings diverged") == 1, done.stderr
    for seed in (0, 1):
        assert f"seed {seed}, generation 0" in str(divergence(tmp_path / "out" / f"seed-{seed}"))


def test_the_command_shows_every_seed(recipe: str, tmp_path: Path) -> None:
    arguments = ["train", recipe, "--seeds", "2", "--device", "cpu", "--out", str(tmp_path / "out")]
    dry = CliRunner().invoke(app, [*arguments[:-2], "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "seed-1 1: test_efficientnet" in dry.output
    assert not (tmp_path / "out").exists()
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "seed-0/generation-0" in done.output
    assert "seed-1/generation-1" in done.output
