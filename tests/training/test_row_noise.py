"""Other rates of dropout and stochastic depth for pseudo-labeled images."""

import copy
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from timm.layers import DropPath
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nsbench.models import build, load_model
from nsbench.recipes.generation import Generation
from nsbench.recipes.recipe import load_recipe
from nsbench.training.checks import check
from nsbench.training.generations import train
from nsbench.training.row_noise import DropByRow, RowNoise, build_student
from nsbench.training.schedule import WeightAverage
from nsbench.util.errors import NsbenchError

# the first two call a function, the others have layers
ARCHS = ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"]


def generation(arch: str, rates: dict[str, float], unlabeled: dict[str, float]) -> Generation:
    model_args = {"img_size": 32} if arch == "test_vit" else {}
    keys = {"dropout": 0.0, "drop_path": 0.0, **rates, "unlabeled_noise": unlabeled}
    return Generation.model_validate({"arch": arch, "model_args": model_args, **keys})


def in_training(model: nn.Module) -> nn.Module:
    """In training mode but for batch norm, through which images would see each other.

    With weights that let all branches count, which some architectures begin with at 0.
    """
    for weight in model.parameters():
        if weight.ndim == 1:
            nn.init.ones_(weight)
    for part in model.train().modules():
        if isinstance(part, _BatchNorm):
            part.eval()
    return model


def logits(model: nn.Module, of: Generation, seed: int) -> torch.Tensor:
    """Of 40 images, of which 20 are labeled."""
    torch.manual_seed(1)
    images = torch.rand(40, 3, 32, 32)
    torch.manual_seed(seed)
    with RowNoise(model, of).rows(20, 40):
        out: torch.Tensor = model(images)
    return out.detach()


@pytest.mark.parametrize(
    ("arch", "key"),
    [(arch, "dropout") for arch in ARCHS]
    # the small EfficientNet has no block with a way around it
    + [
        (a, "drop_path") for a in ("test_resnet", "tf_efficientnet_b0", "test_convnext", "test_vit")
    ],
)
def test_rows_have_their_rates(arch: str, key: str) -> None:
    for rate, other in ((0.0, 0.8), (0.8, 0.0)):
        of = generation(arch, {key: rate}, {key: other})
        model = in_training(build_student(of, 10))
        one, two = logits(model, of, 1), logits(model, of, 2)
        clean = logits(copy.deepcopy(model).eval(), of, 1)
        still, dropped = (slice(20), slice(20, 40))[:: 1 if rate == 0 else -1]
        torch.testing.assert_close(one[still], clean[still])
        torch.testing.assert_close(two[still], clean[still])
        assert not torch.equal(one[dropped], two[dropped])


@pytest.mark.parametrize("arch", ARCHS)
def test_weights_and_their_names_are_those_of_any_model(arch: str) -> None:
    of = generation(arch, {"dropout": 0.1}, {"dropout": 0.3, "drop_path": 0.2})
    models = []
    for make in (lambda: build_student(of, 10), lambda: build(arch, 10, of.model_args)):
        torch.manual_seed(0)
        models.append(make().state_dict())
    assert list(models[0]) == list(models[1])
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[1])


def test_stochastic_depth_has_the_slope_of_each_rate() -> None:
    of = generation("test_convnext", {"drop_path": 0.1}, {"drop_path": 0.4})
    slopes = [
        [
            part.drop_prob
            for part in build("test_convnext", 10, drop_path=rate).modules()
            if isinstance(part, DropPath)
        ]
        for rate in (0.1, 0.4)
    ]
    found = [
        (part.labeled.drop_prob, part.unlabeled.drop_prob)
        for part in build_student(of, 10).modules()
        if isinstance(part, DropByRow)
    ]
    assert found == [pair for pair in zip(*slopes, strict=True) if pair[0] != pair[1]]
    assert found[-1] == pytest.approx((0.1, 0.4))


def test_what_is_kept_is_scaled_by_its_own_rate() -> None:
    drop = DropByRow(nn.Dropout(), "p", (0.25, 0.5)).train()
    drop.rows = 1, 2
    one, other = drop(torch.ones(2, 100_000))
    assert sorted(one.unique().tolist()) == [0.0, pytest.approx(4 / 3)]
    assert sorted(other.unique().tolist()) == [0.0, 2.0]
    assert one.mean().item() == pytest.approx(1, abs=0.01)
    assert (other == 0).float().mean().item() == pytest.approx(0.5, abs=0.01)
    assert torch.equal(drop.eval()(torch.ones(2, 5)), torch.ones(2, 5))


def test_equal_rates_are_one_rate() -> None:
    of = generation("test_convnext", {"dropout": 0.2}, {"dropout": 0.2, "flip": 0.0})
    assert not any(isinstance(part, DropByRow) for part in build_student(of, 10).modules())


def test_activations_that_are_computed_twice_drop_the_same() -> None:
    of = generation("test_vit", {"drop_path": 0.1}, {"drop_path": 0.6})
    torch.manual_seed(0)
    model: Any = build_student(of, 10).train()
    WeightAverage(model, 0.9).update(model)  # which is a copy of its own
    gradients = []
    for twice in (False, True):
        model.set_grad_checkpointing(twice)
        torch.manual_seed(3)
        images = torch.rand(8, 3, 32, 32)
        with RowNoise(model, of).rows(2, 8):
            loss = model(images).square().sum()
        loss.backward()
        gradients.append(model.blocks[0].attn.qkv.weight.grad.clone())
        model.zero_grad()
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["generations.1.arch=mobilevit_s", "defaults.image_size=64"], "8 rows for 2 images"),
        (["generations.1.arch=rdnet_tiny"], "keeps a rate as dense_stages.*leave dropout and dr"),
        (["defaults.compile=true"], "'compile' is true, but a compiled model cannot drop by"),
        (["generations.1={arch='vgg11', drop_path=0.0}"], "timm cannot build 'vgg11' with"),
    ],
)
def test_what_cannot_drop_by_row_is_refused(
    settings: list[str], sentence: str, tiny_recipe: Path
) -> None:
    settings = [*settings, "generations.1.unlabeled_noise.drop_path=0.3"]
    with pytest.raises(NsbenchError, match=sentence) as caught:
        check(load_recipe(str(tiny_recipe), settings), 10, 200, torch.device("cpu"), 1)
    assert "\n" not in str(caught.value)


def test_a_student_trains_with_noise_by_stream(tiny_recipe: Path, tmp_path: Path) -> None:
    steps = ["generations.0.steps=1", "defaults.steps=2", "defaults.accumulate=2"]
    noise: dict[str, list[str]] = {
        "plain": [],
        "same": ["defaults.unlabeled_noise={dropout=0.2, crop='pad'}"],
        "other": ["defaults.unlabeled_noise={dropout=0.0, drop_path=0.5, crop='center'}"],
    }
    weights = {}
    for name, settings in noise.items():
        run = train(str(tiny_recipe), tmp_path / name, settings=[*steps, *settings], device="cpu")
        weights[name] = [
            safetensors.torch.load_file(run / f"generation-{index}" / "model.safetensors")
            for index in range(2)
        ]
        assert load_model(str(run), "cpu").num_classes == 10

    def equal(one: str, other: str, index: int) -> bool:
        pairs = weights[one][index], weights[other][index]
        return all(torch.equal(pairs[0][name], pairs[1][name]) for name in pairs[0])

    assert all(equal("plain", "same", index) for index in range(2))
    assert equal("plain", "other", 0)
    assert not equal("plain", "other", 1)
