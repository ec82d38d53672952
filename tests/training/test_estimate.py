"""What a recipe would take."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from nsbench.commands.app import app
from nsbench.models import build
from nsbench.recipes.generation import Generation
from nsbench.training import estimate as measured
from nsbench.training.cost import flops_of, memory_of
from nsbench.training.estimate import estimate
from nsbench.training.generations import train
from nsbench.util.errors import NsbenchError


def found(recipe: Path, *settings: str) -> list[dict[str, Any]]:
    return estimate(str(recipe), list(settings), device="cpu")


def test_every_generation_and_fine_tuning_has_a_row(tiny_recipe: Path) -> None:
    tuned = "generations.1.fine_tune={image_size=64, epochs=2, lr=0.1}"
    rows = found(tiny_recipe, tuned)
    assert [row["generation"] for row in rows] == ["0", "1", "1 fine-tuned"]
    # 200 labeled images in batches of 50: 8, 1 and 2 passes; 3,800 to label
    assert [row["steps"] for row in rows] == [32, 4, 8]
    assert [row["images"] for row in rows] == [32 * 50, 4 * 100 + 3800, 8 * 50]
    assert rows[2]["gflops"] == pytest.approx(4 * rows[1]["gflops"], rel=0.1)
    assert all(row["seconds"] > 0 for row in rows)
    # labels of 10 classes: 14 bytes and 4 a class
    assert [row["label_bytes"] for row in rows] == [0, 3800 * (14 + 40), 0]


def test_devices_divide_time_and_memory(tiny_recipe: Path) -> None:
    one, two = (estimate(str(tiny_recipe), devices=n, device="cpu")[1] for n in (1, 2))
    assert two["memory_bytes"] < one["memory_bytes"]
    parts = found(tiny_recipe, "defaults.accumulate=2")[1]
    assert parts["memory_bytes"] == two["memory_bytes"]
    half = found(tiny_recipe, "defaults.precision=bfloat16")[1]
    assert half["memory_bytes"] < one["memory_bytes"]


def test_memory_is_weights_state_and_what_backward_needs(tiny_recipe: Path) -> None:
    # Adam: weights, gradients, average and two moments
    few, more = (found(tiny_recipe, f"defaults.batch_size={n}")[0] for n in (10, 20))
    an_image = (more["memory_bytes"] - few["memory_bytes"]) / 10
    weights = sum(
        v.numel() * v.element_size() for v in build("test_efficientnet", 10).state_dict().values()
    )
    assert few["memory_bytes"] == pytest.approx(5 * weights + 10 * an_image, rel=1e-3)


def test_operations_are_those_of_the_papers() -> None:
    with torch.device("meta"):
        one = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 16, 5))
        b0 = build("tf_efficientnet_b0", 1000)
    assert flops_of(one, 4) == 2 * (16 * 8 * 27 + 8 * 16 * 5)
    assert flops_of(b0, 224) / 2e9 == pytest.approx(0.39, abs=0.01)  # Tan and Le 2019, table 2


def test_the_command_writes_nothing_but_its_table(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["train", str(tiny_recipe), "--dry-run", "--devices", "2", "--device", "cpu"]
    done = CliRunner().invoke(app, [*arguments, "--json", "found.json"])
    assert done.exit_code == 0, done.output
    assert "dry run for 2 devices" in done.output
    assert [row["generation"] for row in json.loads(Path("found.json").read_text())] == ["0", "1"]
    assert not Path("runs").exists()


def test_variants_are_reckoned_without_the_teacher_that_they_share(tiny_recipe: Path) -> None:
    text = '\n[[variants]]\nname = "a"\nset = ["generations.1.flip=0.5"]\n'
    text += '[[variants]]\nname = "b"\nset = ["seed=1", "generations.1.steps=7"]\n'
    tiny_recipe.write_text(tiny_recipe.read_text() + text)
    rows = estimate(str(tiny_recipe), device="cpu", variants=["all"])
    assert [row["generation"] for row in rows] == ["0", "1", "a 1", "b 0", "b 1"]
    assert [row["steps"] for row in rows] == [32, 4, 4, 32, 7]
    assert len(estimate(str(tiny_recipe), device="cpu")) == 2


def test_a_batch_beyond_all_memory_is_refused_before_training(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    settings = ["generations.1.batch_size=100000", "generations.1.image_size=1024"]
    with pytest.raises(NsbenchError, match=r"200,000 images of 1024 px .* GB.*raise accumulate"):
        train(str(tiny_recipe), tmp_path / "run", settings=settings, device="cpu")
    tuned = "generations.1.fine_tune={image_size=1024, epochs=1, batch_size=100000, lr=1}"
    with pytest.raises(NsbenchError, match=r"100,000 images of 1024 px.*lower fine_tune.batch_siz"):
        train(str(tiny_recipe), tmp_path / "run", settings=[tuned], device="cpu")
    assert not (tmp_path / "run").exists()


def test_too_little_memory_for_the_measurement_is_one_sentence(
    tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: Any) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(measured, "timed", short)
    with pytest.raises(NsbenchError, match=r"what the dry run measures of test_eff.*: free some"):
        estimate(str(tiny_recipe), device="cpu")


def test_only_precisions_of_16_bits_keep_half_for_the_backward_pass() -> None:
    generation = Generation(arch="test_resnet", image_size=32)
    kept = [
        memory_of(generation.model_copy(update={"precision": name}), 10, 10**6)
        for name in ("float32", "tf32", "bfloat16")
    ]
    assert kept[0] == kept[1] == pytest.approx(2 * kept[2], rel=1e-3)
