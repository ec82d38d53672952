"""Fine-tuning at a larger size."""

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from nsbench.models import build, load_model, load_models
from nsbench.recipes.generation import Generation
from nsbench.recipes.parts import FineTune
from nsbench.training.fine_tune import fine_tuning, freeze
from nsbench.training.generations import train
from nsbench.util.errors import NsbenchError

SETTINGS = ["generations.0.epochs=1", "defaults.epochs=0.5", "defaults.optimizer=sgd"]
SETTINGS += ["generations.1.fine_tune={image_size=48, epochs=1.5, frozen_blocks=2, lr=0.05}"]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.conftest import TINY_RECIPE

    folder = tmp_path_factory.mktemp("tuned")
    (folder / "tiny.toml").write_text(TINY_RECIPE)
    return train(str(folder / "tiny.toml"), folder / "run", settings=SETTINGS, device="cpu")


def test_it_is_a_model_of_its_own_beside_its_generation(tuned: Path) -> None:
    info = json.loads((tuned / "generation-1-fine-tuned" / "model.json").read_text())
    before = json.loads((tuned / "generation-1" / "model.json").read_text())
    assert info["preprocessing"]["image_size"] == 48
    assert before["preprocessing"]["image_size"] == 32
    assert info["teacher_weights"] == before["weights"] != info["weights"]
    assert info["steps"] == 6  # 1.5 passes over 200 images in batches of 50
    assert info["unlabeled_images"] == 0
    names = [model.name for model in load_models([str(tuned)], torch.device("cpu"))]
    assert names == ["run/generation-0", "run/generation-1", "run/generation-1-fine-tuned"]
    assert load_model(str(tuned), "cpu").preprocessing.image_size == 48


def test_shallow_layers_and_their_statistics_stay(tuned: Path) -> None:
    one, other = (
        safetensors.torch.load_file(tuned / name / "model.safetensors")
        for name in ("generation-1", "generation-1-fine-tuned")
    )
    shallow = ("conv_stem", "bn1.", "blocks.0", "blocks.1")
    for name, value in one.items():
        if "num_batches_tracked" in name:
            continue
        if name.startswith(shallow):
            assert torch.equal(value, other[name]), name
        elif name.endswith("weight"):
            assert not torch.equal(value, other[name]), name


def test_its_settings() -> None:
    generation = Generation(
        arch="x",
        schedule="staircase",
        lr=0.128,
        batch_size=2048,
        epochs=350,
        warmup_epochs=5.0,
        fine_tune=FineTune(image_size=800),
    )
    tuned = fine_tuning(generation, 1281167)
    # 145 steps of the staircase: about 0.00155
    assert (
        tuned.lr == pytest.approx(0.128 * 0.97**145, rel=1e-6) == pytest.approx(0.00155, rel=0.01)
    )
    assert (tuned.image_size, tuned.epochs, tuned.batch_size) == (800, 1.5, 2048)
    assert (tuned.crop, tuned.flip, tuned.randaugment) == ("center", 0.0, "")
    assert tuned.dropout == generation.dropout
    cosine = generation.model_copy(update={"schedule": "cosine"})
    with pytest.raises(NsbenchError, match=r"'cosine' ends at a learning rate of .*fine_tune\.lr"):
        fine_tuning(cosine, 1281167)


def test_no_noise_is_left_on_images() -> None:
    noise = {"crop": "random-resized", "flip": 0.5, "randaugment": "rand-m9-n2", "cutout": 8}
    noise |= {"random_erasing": 0.25, "unlabeled_noise": {"cutout": 4}}
    tune = {"image_size": 64, "lr": 0.1}
    generation = Generation.model_validate({"arch": "x", **noise, "fine_tune": tune})
    tuned = fine_tuning(generation, 1000)
    assert (tuned.crop, tuned.flip, tuned.randaugment) == ("center", 0, "")
    assert (tuned.cutout, tuned.random_erasing, tuned.unlabeled_noise) == (0, 0, None)
    assert (tuned.unlabeled_ratio, tuned.warm_start, tuned.fine_tune) == (0, False, None)
    assert (tuned.warmup, tuned.warmup_epochs, tuned.steps) == (0, None, None)


@pytest.mark.parametrize(
    ("own", "before", "wanted"), [(0.9, 0.8, 0.9), (None, 0.8, 0.8), (None, None, 1.0)]
)
def test_the_crop_is_its_own_then_that_of_the_generation_then_all(
    own: float | None, before: float | None, wanted: float
) -> None:
    tune = {"image_size": 64, "lr": 0.1, "crop_pct": own, "batch_size": 8}
    keys = {"arch": "x", "crop_pct": before, "batch_size": 16, "fine_tune": tune}
    tuned = fine_tuning(Generation.model_validate(keys), 1000)
    assert (tuned.crop_pct, tuned.lr, tuned.batch_size) == (wanted, 0.1, 8)


def test_freezing_counts_blocks_after_the_stem() -> None:
    model: Any = build("tf_efficientnet_b0", 10).train()
    freeze(model, 3)
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    free = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert all(n.startswith(("conv_stem", "bn1.", "blocks.0", "blocks.1")) for n in frozen)
    assert not any(n.startswith(("conv_stem", "bn1.", "blocks.0", "blocks.1")) for n in free)
    assert not model.bn1.training
    assert not model.blocks[1][1].bn2.training
    assert model.blocks[2][0].bn1.training
    with pytest.raises(NsbenchError, match=r"'fine_tune\.frozen_blocks' is 17, .* has 16 blocks"):
        freeze(build("tf_efficientnet_b0", 10), 17)
    freeze(build("tf_efficientnet_b0", 10), 16)  # all blocks, and the head is trained


@pytest.mark.parametrize(
    ("arch", "blocks", "last", "free", "model_args"),
    [
        ("tf_efficientnet_b0", 3, "blocks.1.1", "blocks.2.0", {}),
        ("test_convnext", 3, "stages.1.blocks.1", "stages.2.blocks.0", {}),
        # a dropout behind the stem, and attention that hands its rate to a function
        ("test_vit", 2, "blocks.1", "blocks.2", {"pos_drop_rate": 0.5, "attn_drop_rate": 0.5}),
        # keeps the rate of its layers as a number
        (
            "densenet121",
            2,
            *(f"features.denseblock1.denselayer{number}" for number in (2, 3)),
            {"proj_drop_rate": 0.5},
        ),
    ],
)
def test_nothing_is_dropped_in_frozen_blocks(
    arch: str, blocks: int, last: str, free: str, model_args: dict[str, Any]
) -> None:
    has_paths = arch != "densenet121"
    model: Any = build(arch, 10, model_args, dropout=0.5, drop_path=0.5 if has_paths else 0.0)
    side = 160 if arch == "test_vit" else 64
    images = torch.rand(4, 3, side, side)
    seen: list[torch.Tensor] = []
    model.get_submodule(last).register_forward_hook(lambda _, __, output: seen.append(output))
    for _ in range(2):  # also once the mode was set anew
        freeze(model.train(), blocks)
        outputs = [model(images) for _ in range(2)]
        assert torch.equal(seen[-1], seen[-2])
        assert not torch.equal(*outputs)
        assert model.training
        assert all(part.training for part in model.get_submodule(free).modules())
    model.train()(images)
    assert model.get_submodule(last).training


def test_too_many_frozen_blocks_are_found_before_training(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    setting = "generations.1.fine_tune={image_size=48, frozen_blocks=99, lr=0.1}"
    with pytest.raises(NsbenchError, match="frozen_blocks"):
        train(str(tiny_recipe), tmp_path / "run", settings=[setting], device="cpu")
    assert not (tmp_path / "run").exists()
