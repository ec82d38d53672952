"""Fine-tuning at a larger size (Touvron et al. 2019, "FixRes"; section 3.1 of the paper)."""

from typing import Any

import torch
from timm.models import group_parameters
from torch import nn

from nsbench.recipes.recipe import Generation
from nsbench.training.schedule import is_norm, schedule_for, steps_of
from nsbench.util.errors import NsbenchError

LEAST_SHARE = 1e-3
"""A schedule that ends below this share of its peak leaves no learning rate to continue with, as a
cosine does, which ends near zero."""


def fine_tuning(generation: Generation, labeled_images: int) -> Generation:
    """How a generation is fine-tuned: labeled images only, their centre, no noise on them.

    Dropout and stochastic depth stay, as in the official code. The average of the weights starts
    again, with its ramp; in the official code, whose count of steps goes on, a decay of 0.9999
    would leave 1.5 epochs hardly any weight. Raises NsbenchError where the schedule ends near zero
    and `fine_tune.lr` is not set.
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

    Their weights get no gradients, and their batch norm keeps and uses its statistics, as by
    fix_layer_num of the official code (efficientnet_model.py). To be called before the optimiser is
    made, and again after `model.train()`.
    Raises NsbenchError if timm cannot tell the blocks of the model, or it has no more than these.
    """
    if not blocks:
        return
    for name in _shallow(model, blocks):
        model.get_parameter(name).requires_grad_(False)
        owner = model.get_submodule(name.rpartition(".")[0])
        if is_norm(owner):
            owner.eval()  # its statistics belong to the frozen layers too


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
