"""torch.compile for real, where there is a C++ compiler: the same answers, and runs that go on."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nsbench.predictions import read_cell
from nsbench.training.generations import train
from nsbench.training.step import TrainStep
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.evaluating import evaluate

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler"
)

# little to compile, and no dropout, which compiled code draws in another way
SETTINGS = [
    "defaults.arch=test_vit", "defaults.model_args={img_size=32, depth=1}", "defaults.dropout=0.0",
    "defaults.drop_path=0.0", "generations.0.steps=3", "generations.1.steps=3",
    "generations.1.batch_size=25",  # and as many without labels: one shape to compile
]  # fmt: skip


def losses(run: Path) -> list[float]:
    logs = sorted(run.glob("generation-*/training.jsonl"))
    return [json.loads(line)["loss"] for log in logs for line in log.read_text().splitlines()]


def weights(run: Path) -> list[str]:
    return [json.loads(p.read_text())["weights"] for p in sorted(run.glob("*/model.json"))]


def test_compiled_models(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(str(tiny_recipe), tmp_path / "plain", settings=SETTINGS, device="cpu")
    compiled = [*SETTINGS, "defaults.compile=true", "checkpoint_steps=1"]
    whole = train(str(tiny_recipe), tmp_path / "whole", settings=compiled, device="cpu")
    np.testing.assert_allclose(losses(whole), losses(plain), rtol=1e-3)
    update = TrainStep.__call__

    def stops(self: TrainStep, passes: Any) -> Any:
        if self._state.step == 2:
            raise KeyboardInterrupt
        return update(self, passes)

    with monkeypatch.context() as patch:
        patch.setattr(TrainStep, "__call__", stops)
        with pytest.raises(KeyboardInterrupt):
            train(str(tiny_recipe), tmp_path / "again", settings=compiled, device="cpu")
    again = train(resume=tmp_path / "again", device="cpu")
    assert weights(again) == weights(whole)
    suite = write_suite(
        tmp_path / "s.toml", 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 2\n'
    )
    model = str(plain / "generation-0")
    (folder,) = evaluate([model], [suite], device="cpu")
    expected = read_cell(folder, "images")
    shutil.rmtree(plain / "generation-0" / "results")
    (folder,) = evaluate([model], [suite], device="cpu", compile=True)
    found = read_cell(folder, "images")
    assert (found.top[:, 0] == expected.top[:, 0]).all()
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)


def test_without_a_compiler(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    settings = [*SETTINGS, "defaults.compile=true", "defaults.model_args.embed_dim=32"]
    with pytest.raises(NsbenchError, match="torch.compile fails here .*C") as caught:
        train(str(tiny_recipe), tmp_path / "run", settings=settings, device="cpu")
    assert "\n" not in str(caught.value)
