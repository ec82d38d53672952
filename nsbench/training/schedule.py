"""Optimiser, learning-rate schedule and weight averaging."""

import copy

import torch
from timm.optim import create_optimizer_v2, list_optimizers
from timm.scheduler import create_scheduler_v2
from timm.scheduler.scheduler import Scheduler
from torch import nn

from nsbench.config import nearest
from nsbench.errors import NsbenchError
from nsbench.recipe import Generation

FUSED = ("adam", "adamw", "momentum", "sgd")  # one kernel for all weights, in torch
SCHEDULES = ("cosine", "poly", "tanh", "step")


def optimizer_for(model: nn.Module, generation: Generation) -> torch.optim.Optimizer:
    """The recipe's optimiser, by timm's name. Raises NsbenchError if timm has none of that name."""
    try:
        optimizer: torch.optim.Optimizer = create_optimizer_v2(
            model,
            opt=generation.optimizer,
            lr=generation.lr,
            weight_decay=generation.weight_decay,
            **({"fused": True} if generation.optimizer in FUSED else {}),
        )
        return optimizer
    except (ValueError, AssertionError) as error:
        near = nearest(generation.optimizer, list_optimizers())
        raise NsbenchError(f"timm has no optimizer '{generation.optimizer}'{near}") from error


def schedule_for(optimizer: torch.optim.Optimizer, generation: Generation, steps: int) -> Scheduler:
    """The recipe's schedule over `steps` updates, with a linear warm-up. Raises NsbenchError."""
    if generation.schedule not in SCHEDULES:
        near = nearest(generation.schedule, SCHEDULES)
        raise NsbenchError(f"there is no schedule '{generation.schedule}'{near}")
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched=generation.schedule,
        num_epochs=steps,
        decay_epochs=max(1, steps // 3),
        warmup_epochs=round(generation.warmup * steps),
        warmup_lr=0.0,
        step_on_epochs=False,
        updates_per_epoch=1,
    )
    assert scheduler is not None
    return scheduler


class WeightAverage:
    """Exponential moving average of the weights and batch-norm statistics.

    After n updates the decay is min(decay, (1 + n) / (10 + n)), TensorFlow's ramp, which the
    official code uses.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the model's present weights."""
        self._updates += 1
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        for average, value in zip(
            self.model.state_dict().values(), model.state_dict().values(), strict=True
        ):
            if average.is_floating_point():
                average.lerp_(value, 1 - decay)
            else:
                average.copy_(value)
