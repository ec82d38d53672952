from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import nn

from nsbench.models import build
from nsbench.recipes.generation import Generation
from nsbench.training.schedule import (
    WeightAverage,
    follows_scale,
    optimizer_for,
    schedule_for,
    steps_of,
)
from nsbench.util.config import parse
from nsbench.util.errors import NsbenchError


def test_the_average_follows_tensorflows_ramp() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = WeightAverage(model, 0.5)
    with torch.no_grad():
        model.weight.fill_(1.0)
    kept = average.model.get_parameter("weight")
    expected = 0.0
    for update in range(1, 20):
        average.update(model)
        decay = min(0.5, (1 + update) / (10 + update))  # 2/11, 3/12, 4/13, … up to 0.5
        expected = decay * expected + (1 - decay)
        assert kept.item() == pytest.approx(expected, rel=1e-5)


def test_the_average_covers_batch_norm_and_counts() -> None:
    model = nn.BatchNorm1d(2)
    average = WeightAverage(model, 0.0)
    model.train()(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    average.update(model)
    for name, value in model.state_dict().items():
        assert torch.equal(average.model.state_dict()[name], value)
    assert not average.model.training


def test_the_average_of_a_model_whose_batch_norm_is_synchronised(tmp_path: Path) -> None:
    """Its layers hold a group of processes, which cannot be copied."""
    file = f"file://{tmp_path / 'store'}"
    dist.init_process_group("gloo", init_method=file, rank=0, world_size=1)
    try:
        group = dist.new_group(backend="gloo")
        model = convert_sync_batchnorm(build("test_efficientnet", 4), group)
        average = WeightAverage(model, 0.0)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(1.0)
        average.update(model)
        for name, value in model.state_dict().items():
            assert torch.equal(average.model.state_dict()[name], value)
        held = [vars(m).get("process_group") for m in average.model.modules()]
        assert {id(one) for one in held if one} == {id(group)}
    finally:
        dist.destroy_process_group()


def test_cosine_with_warm_up() -> None:
    generation = Generation(arch="x", lr=1.0, warmup=0.1)
    optimizer = optimizer_for(nn.Linear(1, 1), generation)
    scheduler = schedule_for(optimizer, generation, 100, 100)
    rates = []
    for step in range(1, 101):
        scheduler.step_update(step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert max(rates) == pytest.approx(1.0, abs=0.03)
    assert rates[49] == pytest.approx(0.5, abs=0.01)  # cos(pi / 2) at half way
    assert rates[-1] == pytest.approx(0.0, abs=1e-9)


def test_unknown_names_offer_the_nearest() -> None:
    with pytest.raises(NsbenchError, match="no optimizer 'adamv'; did you mean 'adam"):
        optimizer_for(nn.Linear(1, 1), Generation(arch="x", optimizer="adamv"))
    with pytest.raises(NsbenchError, match="'schedule' is 'cosin'; did you mean 'cosine'"):
        parse(Generation, {"arch": "x", "schedule": "cosin"}, "here")


def rates(generation: Generation, steps: int, labeled_images: int, *at: int) -> list[float]:
    optimizer = optimizer_for(nn.Linear(1, 1), generation)
    scheduler = schedule_for(optimizer, generation, steps, labeled_images)
    found = []
    for step in at:
        scheduler.step_update(step)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def test_staircase_is_the_official_imagenet_schedule() -> None:
    # batch 2048 of 1,281,167 images: 625.5698 steps an epoch; warm-up over 5 epochs, 3127.849
    # steps; 0.97 every 2.4 epochs, 1501.3676 steps, counted from step 0
    generation = Generation(
        arch="x", lr=0.128, batch_size=2048, schedule="staircase", warmup_epochs=5.0
    )
    found = rates(generation, 218950, 1281167, 0, 1, 1502, 3127, 3128, 4504, 4505, 218949)
    decay = [0.97 ** (step // 1501.3675781) for step in (3128, 4504, 4505, 218949)]
    assert pytest.approx(decay) == [0.97**2, 0.97**2, 0.97**3, 0.97**145]
    expected = [0, 0.128 / 3127.8491, 1502 * 0.128 / 3127.8491, 3127 * 0.128 / 3127.8491]
    assert found == pytest.approx(expected + [0.128 * value for value in decay], rel=1e-6)


def test_the_staircase_of_svhn_ends_at_its_final_rate() -> None:
    # 69,257 images in batches of 128; 0.016 * 128 / 256 = 0.008 to about 0.0002 * 128 / 256
    generation = Generation(
        arch="x",
        lr=0.008,
        batch_size=128,
        schedule="staircase",
        decay_epochs=1.372,
        warmup_epochs=5.0,
        steps=109474,
    )
    assert steps_of(generation, 69257) == 109474
    assert rates(generation, 109474, 69257, 109473)[0] == pytest.approx(1e-4, rel=0.15)


def test_epochs_are_of_labeled_images() -> None:
    assert steps_of(Generation(arch="x", epochs=350, batch_size=2048), 1281167) == 218950
    assert steps_of(Generation(arch="x", epochs=0.5, batch_size=50), 200) == 2


@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_linear_falls_to_zero_from_the_end_of_the_warm_up(warmup: float) -> None:
    generation = Generation(arch="x", lr=0.4, schedule="linear", warmup=warmup)
    found = rates(generation, 50, 100, *range(50))
    first = round(warmup * 50)
    rising = [0.4 * step / first for step in range(first)]
    falling = [0.4 * (1 - step / (50 - first)) for step in range(50 - first)]
    assert found == pytest.approx(rising + falling)


def test_constant_stays() -> None:
    generation = Generation(arch="x", lr=0.3, schedule="constant", warmup=0.0)
    assert rates(generation, 10, 100, 0, 5, 9) == [0.3, 0.3, 0.3]


def test_rmsprop_is_tensorflows() -> None:
    # ms <- 0.9 ms + 0.1 g^2 from 1; mom <- 0.9 mom + lr g / sqrt(ms + eps); w <- w - mom
    generation = Generation(
        arch="x",
        optimizer="rmsproptf",
        optimizer_args={"alpha": 0.9, "momentum": 0.9, "eps": 1e-3},
        lr=0.1,
        weight_decay=0.0,
    )
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 2.0)
    optimizer = optimizer_for(model, generation)
    expected, square, moment = 2.0, 1.0, 0.0
    for gradient in (0.5, -1.0, 3.0):
        model.weight.grad = torch.full((1, 1), gradient)
        optimizer.step()
        square = 0.9 * square + 0.1 * gradient**2
        moment = 0.9 * moment + 0.1 * gradient / (square + 1e-3) ** 0.5
        expected -= moment
        assert model.weight.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("decay_biases", [False, True])
def test_weight_decay_is_coupled_and_spares_norms(decay_biases: bool) -> None:
    model: Any = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1.0)
        parameter.grad = torch.zeros_like(parameter)
    generation = Generation(
        arch="x", optimizer="momentum", lr=0.1, weight_decay=0.5, decay_biases=decay_biases
    )
    optimizer_for(model, generation).step()
    moved = [bool((p < 1).all()) for p in model.parameters()]
    assert moved == [True, decay_biases, False, False]
    assert model[0].weight.detach()[0, 0].item() == pytest.approx(0.95)  # 1 - 0.1 * 0.5 * 1


def test_wrong_optimizer_arguments_are_named() -> None:
    with pytest.raises(NsbenchError, match=r"'optimizer_args' is \{'wings': 2\}, but timm's sgd"):
        optimizer_for(nn.Linear(1, 1), Generation(arch="x", optimizer_args={"wings": 2}))


def test_stochastic_depth_grows_with_the_block_as_in_the_official_code() -> None:
    # B0: 16 blocks, 0.2 * index / 16, only where a block has an identity path
    model: Any = build("tf_efficientnet_b0", 10, {"bn_momentum": 0.01}, drop_path=0.2)
    blocks = [block for stage in model.blocks for block in stage]
    found = [getattr(block.drop_path, "drop_prob", 0.0) for block in blocks]
    expected = [0.2 * index / 16 if block.has_skip else 0.0 for index, block in enumerate(blocks)]
    assert len(blocks) == 16
    shown = [block.has_skip for block in blocks]
    assert np.array(found)[shown] == pytest.approx(np.array(expected)[shown])
    assert max(expected) <= 0.1875
    assert model.bn1.momentum == pytest.approx(0.01)  # TensorFlow's 0.99
    assert model.bn1.eps == 1e-3


@pytest.mark.parametrize(
    ("optimizer", "follows"),
    [(name, True) for name in ("sgd", "momentum", "nesterov", "lars", "lookahead_sgd", "madgrad")]
    + [(name, False) for name in ("adamw", "rmsproptf", "lamb", "adan", "lion", "radam", "adopt")],
)
def test_which_optimizers_make_larger_steps_for_larger_gradients(
    optimizer: str, follows: bool
) -> None:
    assert follows_scale(Generation(arch="x", optimizer=optimizer, lr=0.1)) == follows


def test_an_optimizer_of_second_order_is_refused() -> None:
    with pytest.raises(NsbenchError, match="'adahessian' needs second derivatives"):
        optimizer_for(nn.Linear(1, 1), Generation(arch="x", optimizer="adahessian"))
