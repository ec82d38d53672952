"""Fine-tuning at a larger size (Touvron et al. 2019, "FixRes"; section 3.1 of the paper)."""

from typing import Any

import torch
from timm.models import group_parameters
from torch import nn

from nsbench.recipes.generation import Generation
from nsbench.training.schedule import schedule_for, steps_of
from nsbench.util.errors import NsbenchError

LEAST_SHARE = 1e-3
"""A schedule that ends below this share of its peak leaves no learning rate to continue with, as a
cosine does, which ends near zero."""


def fine_tuning(generation: Generation, labeled_images: int) -> Generation:
    """How a generation is fine-tuned: labeled images only, their centre, no noise on them.

    Dropout and stochastic depth stay, but in frozen blocks, as in the official code. The average of
    the weights starts again, with its ramp, as there: train_last_step_num of main.py moves the
    schedule on, while the count of steps, by which the decay of the average grows, starts at 0.
    Raises NsbenchError where the schedule ends near zero and `fine_tune.lr` is not set.
    """
    wanted = generation.fine_tune
    assert wanted
    return generation.model_copy(
        update={
            "image_size": wanted.image_size,
            # 1: without random-resized crops there are no enlarged objects to make up for.
            "crop_pct": wanted.crop_pct or generation.crop_pct or 1.0,
            "epochs": wanted.epochs,
            "steps": None,  # which would take precedence over the epochs
            "batch_size": wanted.batch_size or generation.batch_size,
            "lr": wanted.lr or _last_rate(generation, labeled_images),
            # The official code goes on at the end of the schedule (train_last_step_num of main.py).
            "schedule": "constant",
            "warmup": 0.0,
            "warmup_epochs": None,
            "unlabeled_ratio": 0.0,
            # No augmentation from here on: the flag remove_aug of the official code.
            "crop": "center",
            "flip": 0.0,
            "randaugment": "",
            "cutout": 0,
            "random_erasing": 0.0,
            "unlabeled_noise": None,
            "warm_start": False,
            "fine_tune": None,
        }
    )


def _last_rate(generation: Generation, labeled_images: int) -> float:
    # A schedule sets the rate of an optimiser: any one will do to read the rate from.
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=generation.lr)
    steps = steps_of(generation, labeled_images)
    # Steps count from 0.
    schedule_for(optimizer, generation, steps, labeled_images).step_update(steps - 1)
    rate = float(optimizer.param_groups[0]["lr"])
    if rate < LEAST_SHARE * generation.lr:
        raise NsbenchError(
            f"the schedule '{generation.schedule}' ends at a learning rate of {rate:.2g}, with "
            "which fine-tuning would change nothing: set fine_tune.lr"
        )
    return rate


def freeze(model: nn.Module, blocks: int) -> None:
    """Freeze the stem and the first `blocks` blocks; nothing, not even the stem, if that is 0.

    Their weights get no gradients, and they are put into evaluation mode: batch norm keeps and uses
    its statistics, and nothing is dropped, by dropout or by stochastic depth, as by fix_layer_num
    of the official code (efficientnet_model.py). To be called before the optimiser is made, and
    again after `model.train()`.
    Raises NsbenchError if timm cannot tell the blocks of the model, or it has no more than these.
    """
    if not blocks:
        return
    weights = [model.get_parameter(name) for name in _shallow(model, blocks)]
    for weight in weights:
        weight.requires_grad_(False)
    _rest(model, {id(weight) for weight in weights})


def _rest(model: nn.Module, frozen: set[int]) -> None:
    """Put the frozen parts of a partly frozen model into evaluation mode."""
    # The mode and not the rates: blocks that keep a rate as a number, or hand it to a function,
    # look at the mode too.
    in_front = True
    for part in model.children():
        stays = [id(weight) in frozen for weight in part.parameters()]
        if any(stays) and not all(stays):
            _rest(part, frozen)
        # What has no weights, such as the dropout of a stem, is frozen in front of what is trained.
        elif all(stays) and (stays or in_front):
            part.eval()
        in_front = in_front and all(stays)


def _shallow(model: Any, blocks: int) -> list[str]:
    """Names of the weights of the stem and the first blocks, by timm's order of layers."""
    if not hasattr(model, "group_matcher"):
        raise NsbenchError("timm cannot tell the blocks of this model: set frozen_blocks = 0")
    # Not coarse, which would group by stages. Layer 0 is the stem.
    layers = group_parameters(model, model.group_matcher(coarse=False))
    if blocks > len(layers) - 2:  # a stem before them, a head behind them
        raise NsbenchError(
            f"the key 'fine_tune.frozen_blocks' is {blocks}, but the model has {len(layers) - 2} "
            "blocks: lower it"
        )
    return [name for layer in range(blocks + 1) for name in layers[layer]]
