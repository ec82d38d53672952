"""Rows of a training, in files and for other programs."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nsbench.recipes.recipe import Recipe, load_recipe
from nsbench.training.generations import train
from nsbench.training.logs import TrainingLog, check_writers
from nsbench.util.errors import NsbenchError


@pytest.fixture
def recipe(tiny_recipe: Path) -> Recipe:
    return load_recipe(str(tiny_recipe))


def test_going_on_drops_what_came_after_the_checkpoint(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "training.jsonl"
    log = TrainingLog(path, 1, recipe)
    log.begin(0)
    for step in (1, 2, 3):
        log.add({"step": step, "loss": 1.0 / step})
    with path.open("a") as file:
        file.write('{"generation": 1, "st')  # a killed process was writing
    again = TrainingLog(path, 1, recipe)
    again.begin(2)
    again.add({"step": 3, "loss": 9.0})
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(row["generation"], row["step"], row["loss"]) for row in rows] == [
        (1, 1, 1.0), (1, 2, 0.5), (1, 3, 9.0),
    ]  # fmt: skip
    assert again.rows == [{key: row[key] for key in ("step", "loss")} for row in rows]


def test_tensorboard_gets_the_figures(tiny_recipe: Path, tmp_path: Path) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = ["tensorboard=true", "defaults.epochs=0.5", "generations.0.epochs=0.5"]
    run = train(str(tiny_recipe), tmp_path / "run", settings=settings, device="cpu")
    events = loader.EventAccumulator(str(run / "generation-1" / "tensorboard"))
    events.Reload()
    lines = (run / "generation-1" / "training.jsonl").read_text().splitlines()
    losses = [(row["step"], row["loss"]) for row in map(json.loads, lines)]
    shown = [(event.step, pytest.approx(event.value)) for event in events.Scalars("loss")]
    assert losses == shown


def test_weights_and_biases_get_the_figures(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    run = SimpleNamespace(
        log=lambda row, step: told.append((step, row)), finish=lambda: told.append("finished")
    )

    def init(**about: Any) -> SimpleNamespace:
        told.append(about)
        return run

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    log = TrainingLog(tmp_path / "log.jsonl", 1, recipe.model_copy(update={"wandb": True}))
    log.begin(0)
    log.add({"step": 5, "loss": 0.5, "unlabeled_loss": None})
    log.close()
    assert told[0]["group"] == "tiny"
    assert told[1:] == [(5, {"loss": 0.5}), "finished"]


def test_a_package_that_is_missing_is_named(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NsbenchError, match=r"'wandb' is true, but .* pip install wandb"):
        check_writers(recipe.model_copy(update={"wandb": True}))
