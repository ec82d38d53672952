"""One update of the weights."""

import numpy as np
import pytest
import torch
from torch import nn

from nsbench.augment.keys import image_keys
from nsbench.augment.pipeline import Augmentation
from nsbench.data.preprocessing import Preprocessing
from nsbench.models import build
from nsbench.recipes.generation import Generation
from nsbench.recipes.parts import PseudoLabels
from nsbench.training.batches import TrainingBatch
from nsbench.training.state import TrainingState
from nsbench.training.step import StepSettings, TrainStep

NOTHING = {"crop": "center", "flip": 0.0, "randaugment": "", "dropout": 0.0, "drop_path": 0.0}


def made(model: nn.Module, **keys: object) -> tuple[TrainingState, TrainStep]:
    """A state and what makes its steps, without noise unless `keys` say so."""
    generation = Generation.model_validate({"arch": "x", "image_size": 32, **NOTHING, **keys})
    preprocessing = Preprocessing(image_size=32)
    settings = StepSettings(generation, PseudoLabels(), preprocessing, 10, seed=0)
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
