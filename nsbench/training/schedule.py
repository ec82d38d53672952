"""Optimiser, learning-rate schedule and weight averaging."""

import copy
import math

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import create_scheduler_v2
from timm.scheduler.poly_lr import PolyLRScheduler
from timm.scheduler.scheduler import Scheduler
from timm.scheduler.step_lr import StepLRScheduler
from torch import nn

from nsbench.models.timm_index import check_optimizer
from nsbench.recipes.generation import Generation
from nsbench.util.errors import NsbenchError, first_line

FUSED = ("adam", "adamw", "momentum", "sgd")
"""Optimisers that torch can run as one kernel for all weights, which is faster."""

NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
"""torch's norms, of which _NormBase is the base of batch and instance norm in any dimension."""


def optimizer_for(model: nn.Module, generation: Generation) -> torch.optim.Optimizer:
    """The recipe's optimiser, by timm's name, over the weights that require gradients.

    Raises NsbenchError if timm has none of that name, it does not take the arguments, or it needs
    second derivatives.
    """
    name = generation.optimizer
    check_optimizer(name)
    fused = {"fused": True} if name in FUSED else {}
    try:
        optimizer: torch.optim.Optimizer = create_optimizer_v2(
            _weights(model, generation),
            opt=name,
            lr=generation.lr,
            weight_decay=generation.weight_decay,
            # The recipe's last, so that `fused = false` can switch it off.
            **{**fused, **generation.optimizer_args},
        )
    except (TypeError, ValueError, AssertionError) as error:
        raise NsbenchError(
            f"the key 'optimizer_args' is {generation.optimizer_args}, but timm's {name} does not "
            f"take that: {first_line(error)}"
        ) from error
    if getattr(optimizer, "is_second_order", False):
        raise NsbenchError(
            f"timm's optimizer '{name}' needs second derivatives, which a step does not compute: "
            "choose another"
        )
    return optimizer


def _weights(model: nn.Module, generation: Generation) -> nn.Module | list[dict[str, object]]:
    """What timm is to optimise: the model, or its weights in groups where biases decay too.

    Given a model, timm decays neither biases nor norms; the official code decays all variables
    whose names lack batch_normalization (main.py of google-research/noisystudent).
    """
    if not generation.decay_biases:
        return model
    norms = {id(p) for m in model.modules() if is_norm(m) for p in m.parameters(recurse=False)}
    weights = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, object]] = [
        {"params": [p for p in weights if id(p) not in norms]},
        {"params": [p for p in weights if id(p) in norms], "weight_decay": 0.0},
    ]
    # An architecture without norms has no second group.
    return [group for group in groups if group["params"]]


def follows_scale(generation: Generation) -> bool:
    """Whether the optimiser makes larger steps where all gradients are larger, as SGD does.

    Those that divide by the size of the gradients, such as Adam, RMSProp and Lion, do not.
    """
    # Measured, rather than listed by the names of timm's dozens of optimisers and their arguments.
    # More than 1.5 times is neither rounding nor an epsilon.
    once, fourfold = (_steps_taken(generation, scale) for scale in (1.0, 4.0))
    return any(large > 1.5 * small for small, large in zip(once, fourfold, strict=True))


def _steps_taken(generation: Generation, scale: float) -> list[float]:
    """How far the optimiser moves weights and biases whose gradients are about 100 * `scale`."""
    layer = nn.Linear(8, 8)
    nn.init.ones_(layer.weight)
    nn.init.ones_(layer.bias)
    optimizer = optimizer_for(layer, generation)
    weights = list(layer.parameters())
    before: list[torch.Tensor] = []
    for step in range(20):
        if step == 10:  # not from the first steps, in which RAdam has no variances yet
            before = [weight.detach().clone() for weight in weights]
        for weight in weights:
            # So large that weight decay and epsilons hardly count.
            weight.grad = scale * torch.linspace(50, 150, weight.numel()).view_as(weight)
        optimizer.step()
    return [float((w.detach() - b).norm()) for w, b in zip(weights, before, strict=True)]


def is_norm(module: nn.Module) -> bool:
    """Whether a module normalises, as batch norm does."""
    # By name too, as timm's architectures define norms of their own.
    return isinstance(module, NORMS) or "norm" in type(module).__name__.lower()


def steps_of(generation: Generation, labeled_images: int) -> int:
    """How many updates a generation takes; the last one may reach into the next epoch."""
    return generation.steps or math.ceil(generation.epochs * labeled_images / generation.batch_size)


def warmup_of(generation: Generation, steps: int, labeled_images: int) -> float:
    """Steps of the warm-up."""
    if generation.warmup_epochs is None:
        return round(generation.warmup * steps)
    return generation.warmup_epochs * labeled_images / generation.batch_size


def schedule_for(
    optimizer: torch.optim.Optimizer, generation: Generation, steps: int, labeled_images: int
) -> Scheduler:
    """The recipe's schedule over `steps` updates, with a linear warm-up from zero.

    Step n, counted from 0, is made with the rate of `step_update(n)`.
    """
    epoch = labeled_images / generation.batch_size
    warmup = warmup_of(generation, steps, labeled_images)
    if generation.schedule in ("staircase", "constant"):
        staircase = generation.schedule == "staircase"
        return StepLRScheduler(
            optimizer,
            decay_t=generation.decay_epochs * epoch,
            decay_rate=generation.decay_rate if staircase else 1.0,  # 1 is a constant
            warmup_t=warmup,
            warmup_lr_init=0.0,
            warmup_prefix=False,  # the staircase counts from step 0, as in the official code
            t_in_epochs=False,
        )
    if generation.schedule == "linear":
        # From the end of the warm-up to zero; timm's own `poly` is another curve.
        return PolyLRScheduler(
            optimizer,
            t_initial=max(1, steps - round(warmup)),
            power=1.0,
            warmup_t=round(warmup),
            warmup_lr_init=0.0,
            warmup_prefix=True,
            t_in_epochs=False,
        )
    # One update an epoch, so that what timm counts in epochs are steps.
    scheduler, _ = create_scheduler_v2(
        optimizer,
        sched=generation.schedule,
        num_epochs=steps,
        decay_epochs=max(1, steps // 3),  # `step` falls twice: after a third and two thirds
        warmup_epochs=warmup,
        warmup_lr=0.0,
        step_on_epochs=False,
        updates_per_epoch=1,
    )
    assert scheduler is not None
    return scheduler


class WeightAverage:
    """Exponential moving average of the weights and batch-norm statistics.

    After n updates the decay is min(decay, (1 + n) / (10 + n)), TensorFlow's ramp, which the
    official code uses: without it the first, random weights would stay in the average for long.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        # Synchronised batch norm holds its group of processes, which cannot be copied: given as a
        # copy of itself, the average shares it.
        groups = [group for m in model.modules() if (group := getattr(m, "process_group", None))]
        copied = copy.deepcopy(model, {id(group): group for group in groups})
        self.model = copied.eval().requires_grad_(False)
        self.updates = 0
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the model's present weights."""
        self.updates += 1
        decay = min(self._decay, (1 + self.updates) / (10 + self.updates))
        # The state, not the parameters: the official code averages the moving statistics of batch
        # norm too (utils.py).
        averages, values = self.model.state_dict().values(), model.state_dict().values()
        pairs = list(zip(averages, values, strict=True))
        moving = [pair for pair in pairs if pair[0].is_floating_point()]
        # One call for all weights: on a GPU, a launch for each would take longer than the sums.
        torch._foreach_lerp_([a for a, _ in moving], [v for _, v in moving], 1 - decay)
        counters = [pair for pair in pairs if not pair[0].is_floating_point()]
        if counters:  # such as num_batches_tracked
            torch._foreach_copy_([a for a, _ in counters], [v for _, v in counters])
