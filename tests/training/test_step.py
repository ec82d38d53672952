"""One update of the weights."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from nsbench.augment.keys import image_keys
from nsbench.augment.pipeline import Augmentation
from nsbench.data.preprocessing import Preprocessing
from nsbench.models import build
from nsbench.pseudo_labels.targets import SparseTargets
from nsbench.recipes.generation import Generation
from nsbench.recipes.parts import PseudoLabels
from nsbench.training.batches import TrainingBatch
from nsbench.training.state import TrainingState
from nsbench.training.step import StepSettings, TrainStep
from nsbench.util import distributed

NOTHING = {"crop": "center", "flip": 0.0, "randaugment": "", "dropout": 0.0, "drop_path": 0.0}


def made(
    model: nn.Module, labels: PseudoLabels | None = None, seed: int = 0, **keys: object
) -> tuple[TrainingState, TrainStep]:
    """A state and what makes its steps, without noise unless `keys` say so."""
    generation = Generation.model_validate({"arch": "x", "image_size": 32, **NOTHING, **keys})
    # Pixels come to the model as they are, but for the division by 255.
    preprocessing = Preprocessing(image_size=32, mean=[0.0] * 3, std=[1.0] * 3)
    settings = StepSettings(generation, labels or PseudoLabels(), preprocessing, 10, seed)
    state = TrainingState(model.train(), generation, 100)
    return state, TrainStep(state, settings, Augmentation(generation, preprocessing))


def labeled(images: torch.Tensor) -> TrainingBatch:
    keys = image_keys(0, "labeled", np.arange(len(images)))
    return TrainingBatch(images, keys, torch.arange(len(images)) % 10, None)


@pytest.mark.parametrize("steps", [1, 3])
def test_batch_norm_forgets_by_the_step_and_not_by_its_parts(steps: int) -> None:
    """Where all parts are alike, the statistics are those of steps at once."""
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    means = []
    for parts in (1, 8):
        torch.manual_seed(0)
        model = build("test_resnet", 10)
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean = torch.full_like(norm.bias, 5.0)
        state, step = made(model, accumulate=parts, lr=1e-9)
        for _ in range(steps):
            step(iter([labeled(images)] * parts))
        assert state.step == steps
        means.append({name: v for name, v in model.state_dict().items() if "running_mean" in name})
    for name, mean in means[0].items():
        torch.testing.assert_close(means[1][name], mean, rtol=1e-4, atol=1e-5)


def test_an_average_of_all_batches_is_left_alone() -> None:
    model = build("test_resnet", 10)
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    norms[0].momentum = None
    norms[1].momentum = 0.36
    made(model, accumulate=2)
    assert norms[0].momentum is None
    assert norms[1].momentum == pytest.approx(0.2)  # as 0.8 * 0.8 is 1 - 0.36


def images_of(count: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=draw)


def with_targets(count: int, seed: int = 0) -> TrainingBatch:
    """As many labeled images as pseudo-labeled ones, whose targets are soft."""
    images = images_of(2 * count, seed)
    shares = torch.rand(count, 10, generator=torch.Generator().manual_seed(seed + 1))
    shares /= shares.sum(1, keepdim=True)
    targets = SparseTargets(torch.arange(10).expand(count, 10), shares, torch.zeros(count))
    batch = labeled(images)
    return batch._replace(labels=batch.labels[:count], targets=targets)


def linear(dropped: float = 0.0) -> Any:
    """A model whose outputs depend on no other image, with dropout in front."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Dropout(dropped), nn.Linear(3 * 32 * 32, 10))


KINDS: dict[str, dict[str, Any]] = {
    "soft": {"labels": "soft"},
    "hard": {"labels": "hard"},
    "softened": {"temperature": 3.0},
    "distilled": {"temperature": 3.0, "distill": True},
}


@pytest.mark.parametrize("kind", KINDS)
def test_pseudo_labels_are_trained_as_the_recipe_says(kind: str) -> None:
    batch, model = with_targets(4), linear()
    model[2].weight.data *= 5  # so that it is sure of something
    logits = model(batch.images / 255)
    assert batch.targets
    shares = batch.targets.probabilities
    softened = shares ** (1 / 3) / (shares ** (1 / 3)).sum(1, keepdim=True)
    # Smoothing is for labels, and for hard pseudo-labels.
    wanted = {
        "soft": cross_entropy(logits[4:], shares),
        "hard": cross_entropy(logits[4:], shares.argmax(1), label_smoothing=0.2),
        "softened": cross_entropy(logits[4:], softened),
        # Hinton et al. 2015: the student is softened too, and gradients keep their size.
        "distilled": 9 * cross_entropy(logits[4:] / 3, softened),
    }
    values = sorted(value.item() for value in wanted.values())
    assert min(np.diff(values)) > 0.01
    labels = PseudoLabels.model_validate(KINDS[kind])
    _, step = made(model, labels, optimizer="sgd", label_smoothing=0.2)
    found = step(iter([batch]))
    torch.testing.assert_close(found.unlabeled, wanted[kind].detach())
    known = cross_entropy(logits[:4], batch.labels, label_smoothing=0.2)
    torch.testing.assert_close(found.labeled, known.detach())


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_move_weights_as_the_whole_batch_does(parts: int) -> None:
    """By SGD, which follows the size of gradients; Adam would hide a factor."""
    whole, share = with_targets(4), 4 // parts
    assert whole.targets
    divided = []
    for part in range(parts):
        rows = torch.arange(part * share, (part + 1) * share)
        both = torch.cat([rows, rows + 4])
        divided.append(
            TrainingBatch(
                whole.images[both],
                whole.keys[both.numpy()],
                whole.labels[rows],
                SparseTargets(*(values[rows] for values in whole.targets)),
            )
        )
    moved = []
    for batches in ([whole], divided):
        model = linear()
        _, step = made(
            model, accumulate=len(batches), optimizer="sgd", lr=0.5, schedule="constant", warmup=0.0
        )
        before = copy.deepcopy(model[2].weight.detach())
        loss = step(iter(batches))
        moved.append((model[2].weight.detach() - before, *loss))
    assert moved[0][0].abs().max() > 1e-3
    for one, other in zip(*moved, strict=True):
        torch.testing.assert_close(one, other)


def masks(steps: int, parts: int = 1, seed: int = 0, first: int = 0) -> list[tuple[bool, ...]]:
    """What dropout leaves of a row of ones, pass by pass."""
    model = linear(0.5)
    seen: list[tuple[bool, ...]] = []
    model[1].register_forward_hook(
        lambda _, __, output: seen.append(tuple((output[0, :64] > 0).tolist()))
    )
    state, step = made(model, seed=seed, accumulate=parts)
    state.step = first
    white = torch.full((2, 3, 32, 32), 255, dtype=torch.uint8)
    for _ in range(steps):
        step(iter([labeled(white)] * parts))
    return seen


def test_dropout_is_drawn_anew_in_each_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    own = masks(4, parts=2)
    assert len(set(own)) == 8
    assert masks(4, parts=2) == own
    assert masks(1, parts=2, first=3) == own[6:]  # a resumed run draws the same
    assert not set(own) & set(masks(4, parts=2, seed=1))
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    assert not set(own) & set(masks(4, parts=2))  # nor does another process


def test_pixels_reach_the_model_as_255ths() -> None:
    model, seen = linear(), list[torch.Tensor]()
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    _, step = made(model)
    images = images_of(2)
    step(iter([labeled(images)]))
    assert torch.equal(seen[0], images / torch.tensor(255.0))


def test_the_loss_is_computed_in_float32() -> None:
    model = linear()
    seen: list[torch.Tensor] = []
    model.register_forward_hook(lambda _, __, output: seen.append(output.detach()))
    batch = with_targets(4)
    _, step = made(model, precision="bfloat16")
    found = step(iter([batch]))
    assert seen[0].dtype == torch.bfloat16
    assert found.total.dtype == torch.float32
    assert batch.targets
    wanted = cross_entropy(seen[0][4:].float(), batch.targets.probabilities)
    torch.testing.assert_close(found.unlabeled, wanted)


def test_the_scale_of_float16_gradients_is_resumed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    state, _ = made(linear(), precision="float16")
    assert state.scaler.is_enabled()
    state.scaler.scale(torch.ones(1))  # which makes the scale
    state.scaler.update(new_scale=128.0)
    state.save(path, {})
    other, _ = made(linear(), precision="float16")
    other.load(path, {})
    assert other.scaler.get_scale() == 128.0
    assert not made(linear(), precision="bfloat16")[0].scaler.is_enabled()


def test_all_that_changes_is_resumed_in_the_layout_of_the_weights(tmp_path: Path) -> None:
    """Fused optimisers read their moments as the weights lie in memory."""

    def built(seed: int) -> Any:
        torch.manual_seed(seed)
        layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 900, 10)
        return nn.Sequential(*layers).to(memory_format=torch.channels_last)

    path, batch = tmp_path / "checkpoint.safetensors", labeled(images_of(4))
    state, step = made(built(0), optimizer="adamw", lr=0.01, channels_last=True)
    for _ in range(3):
        step(iter([batch]))
    state.seconds = 5.0
    state.save(path, {"a": 1})
    other, again = made(built(1), optimizer="adamw", lr=0.01, channels_last=True)
    other.load(path, {"a": 1})
    assert (other.step, other.seconds, other.average.updates) == (3, 5.0, 3)
    for one, two in ((state.model, other.model), (state.average.model, other.average.model)):
        for name, value in one.state_dict().items():
            assert torch.equal(two.state_dict()[name], value), name
    first, mean = (of.get_parameter("0.weight") for of in (state.model, state.average.model))
    assert not torch.equal(first, mean)
    resumed = other.model.get_parameter("0.weight")
    moments = other.optimizer.state[resumed]["exp_avg"]
    assert moments.stride() == resumed.stride() != moments.contiguous().stride()
    assert torch.equal(step(iter([batch])).total, again(iter([batch])).total)
    assert torch.equal(first, resumed)
