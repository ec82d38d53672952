"""Training on a GPU, in every precision, compiled, and interrupted."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nsbench.training.generations import train
from nsbench.training.step import TrainStep
from tests.training.test_fit import RECIPE, losses

pytestmark = pytest.mark.cuda

FEW = ["defaults.steps=6", "checkpoint_steps=2"]


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "walk.toml"
    path.write_text(RECIPE)
    return str(path)


def test_losses_are_the_cpu_s(recipe: str, tmp_path: Path, device: torch.device) -> None:
    here = train(recipe, tmp_path / "here", settings=FEW, device="cpu")
    there = train(recipe, tmp_path / "there", settings=FEW, device=str(device))
    np.testing.assert_allclose(losses(there)[:3], losses(here)[:3], rtol=1e-3)
    environment = json.loads((there / "generation-0" / "model.json").read_text())["environment"]
    assert environment["device"].startswith(device.type)


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_a_precision_trains_alike(
    precision: str, recipe: str, tmp_path: Path, device: torch.device
) -> None:
    check_precision(precision, recipe, tmp_path, device)


def test_float16_trains_with_a_scaled_loss(recipe: str, tmp_path: Path, gpu: torch.device) -> None:
    check_precision("float16", recipe, tmp_path, gpu)


def check_precision(precision: str, recipe: str, folder: Path, device: torch.device) -> None:
    whole = train(recipe, folder / "whole", settings=FEW, device=str(device))
    settings = [*FEW, f"defaults.precision={precision}"]
    found = losses(train(recipe, folder / "run", settings=settings, device=str(device)))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:3], losses(whole)[:3], rtol=2e-2)


def test_a_compiled_model_trains_alike(recipe: str, tmp_path: Path, device: torch.device) -> None:
    settings = [*FEW, "defaults.steps=3", "defaults.model_args.depth=1"]
    plain = train(recipe, tmp_path / "plain", settings=settings, device=str(device))
    settings.append("defaults.compile=true")
    compiled = train(recipe, tmp_path / "compiled", settings=settings, device=str(device))
    np.testing.assert_allclose(losses(compiled), losses(plain), rtol=1e-2)


@pytest.mark.parametrize(
    "more",
    [
        ["defaults.dropout=0.1", "defaults.drop_path=0.1"],
        ["defaults.arch=test_resnet", "defaults.model_args={}", "defaults.optimizer=rmsproptf",
         "defaults.lr=1e-4"],
    ],
)  # fmt: skip
def test_an_interrupted_run_ends_as_an_undisturbed_one(
    more: list[str],
    recipe: str,
    tmp_path: Path,
    device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = [*FEW, *more]
    whole = train(recipe, tmp_path / "whole", settings=settings, device=str(device))
    update = TrainStep.__call__

    def stops(self: TrainStep, passes: Any) -> Any:
        if self._state.step == 3:
            raise KeyboardInterrupt
        return update(self, passes)

    with monkeypatch.context() as patch:
        patch.setattr(TrainStep, "__call__", stops)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "again", settings=settings, device=str(device))
    again = train(resume=tmp_path / "again", device=str(device))
    # Not to the bit on a GPU, whose kernels add in any order; but another state of its generator
    # would drop other units, which moves a loss by far more.
    exact = device.type == "cpu"
    np.testing.assert_allclose(losses(again), losses(whole), rtol=0 if exact else 2e-3)
