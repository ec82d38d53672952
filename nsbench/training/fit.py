"""The inner loop: one generation's steps."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from timm.scheduler.scheduler import Scheduler
from torch import nn

from nsbench.data.loaders import Stream, TrainingBatch, TrainingBatches, training_batches
from nsbench.data.transforms import Preprocessing, normalize
from nsbench.errors import NsbenchError
from nsbench.models import place
from nsbench.progress import stage
from nsbench.randomness import stable_hash
from nsbench.recipe import Generation
from nsbench.training.objective import Loss, noisy_student_loss
from nsbench.training.schedule import WeightAverage, optimizer_for, schedule_for

LOG_LINES = 100
Log = Callable[[dict[str, Any]], None]


def fit(
    model: nn.Module,
    labeled: Stream,
    unlabeled: Stream | None,
    generation: Generation,
    size: Preprocessing,
    *,
    name: str,
    seed: int,
    hard: bool,
    workers: int,
    device: torch.device,
    log: Log,
    validate: Callable[[nn.Module], float] | None,
) -> nn.Module:
    """Train `model` in place and return its averaged weights as a model in evaluation mode.

    log receives about 100 rows of step, loss parts, learning rate and images a second. validate
    gives the accuracy of the averaged weights and is asked ten times.
    Raises NsbenchError if the loss stops being a number.
    """
    steps = math.ceil(generation.epochs * len(labeled.indices) / generation.batch_size)
    transform = generation.transform(size)
    batches = TrainingBatches(labeled, unlabeled, transform, stable_hash(seed, name), steps)
    torch.manual_seed(stable_hash(seed, name, "model noise") % 2**63)
    place(model, device).train()
    optimizer = optimizer_for(model, generation)
    scheduler = schedule_for(optimizer, generation, steps)
    average = WeightAverage(model, generation.ema_decay)
    every, start, seen = max(1, steps // LOG_LINES), time.monotonic(), 0
    per_step = labeled.batch_size + (unlabeled.batch_size if unlabeled else 0)
    with stage(name, steps * per_step) as advance:
        for step, batch in enumerate(training_batches(batches, workers), start=1):
            loss = _step(model, batch, generation, size, hard, optimizer, scheduler, step, device)
            average.update(model)
            seen += len(batch.images)
            row = {}
            if step % every == 0 or step == steps:
                row = _row(step, loss, optimizer, seen / (time.monotonic() - start), name)
            if validate and (step % max(1, steps // 10) == 0 or step == steps):
                row |= {"step": step, "validation_accuracy": validate(average.model)}
            if row:
                log(row)
            advance(len(batch.images), f"loss {row['loss']:.3f}" if "loss" in row else "")
    return average.model


def _step(
    model: nn.Module,
    batch: TrainingBatch,
    generation: Generation,
    size: Preprocessing,
    hard: bool,
    optimizer: torch.optim.Optimizer,
    scheduler: Scheduler,
    step: int,
    device: torch.device,
) -> Loss:
    images = batch.images.to(device, non_blocking=True) / 255
    images = normalize(images, size.mean, size.std).contiguous(memory_format=torch.channels_last)
    logits = model(images)
    loss = noisy_student_loss(
        logits,
        batch.labels.to(device),
        batch.targets.to(device),
        weighting=generation.loss,
        label_smoothing=generation.label_smoothing,
        hard=hard,
    )
    scheduler.step_update(step)
    optimizer.zero_grad(set_to_none=True)
    loss.total.backward()
    if generation.clip_norm:
        nn.utils.clip_grad_norm_(model.parameters(), generation.clip_norm)
    optimizer.step()
    return loss


def _row(
    step: int, loss: Loss, optimizer: torch.optim.Optimizer, rate: float, name: str
) -> dict[str, Any]:
    lr = optimizer.param_groups[0]["lr"]
    total = loss.total.item()
    if not math.isfinite(total):
        raise NsbenchError(
            f"the loss of {name} is {total} at step {step} with learning rate {lr:.4g}: lower lr"
        )
    unlabeled = loss.unlabeled.item()
    return {
        "step": step,
        "loss": round(total, 6),
        "labeled_loss": round(loss.labeled.item(), 6),
        "unlabeled_loss": None if math.isnan(unlabeled) else round(unlabeled, 6),
        "lr": lr,
        "images_per_second": round(rate, 1),
    }
