"""A student to time: as a recipe trains it, from photographs and an untrained teacher's labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from nsbench.augment.pipeline import Augmentation
from nsbench.bench.models import CLASSES
from nsbench.data.open import Source
from nsbench.data.preprocessing import Preprocessing
from nsbench.models import build, to_device
from nsbench.pseudo_labels.pipeline import PseudoLabeledSet
from nsbench.recipes.generation import Generation
from nsbench.recipes.parts import PseudoLabels
from nsbench.training.batches import (
    BatchPlan,
    Labeled,
    ShuffledSampler,
    TrainingBatch,
    training_batches,
)
from nsbench.training.cost import memory_of
from nsbench.training.state import TrainingState
from nsbench.training.step import StepSettings, TrainStep
from nsbench.util.config import parse
from nsbench.util.device import autocast

NOISE: dict[str, Any] = {
    "crop": "pad",
    "randaugment": "paper",
    "optimizer": "rmsproptf",
    "lr": 1e-4,  # small, so that no step diverges; the speed does not depend on it
}
"""What a timed student has in common with the official ones."""


@dataclass(frozen=True)
class Student:
    """A model in training: its state, what makes a step of it, and the images of the steps."""

    state: TrainingState
    step: TrainStep
    batches: Iterator[TrainingBatch]

    def train(self, steps: int) -> None:
        """Make this many steps."""
        for _ in range(steps):
            self.step(self.batches)


def student_generation(where: str, **settings: Any) -> Generation:
    """The settings of a timed student. Raises NsbenchError, which begins with `where`."""
    return parse(Generation, {**NOISE, **settings}, where)


def student(
    generation: Generation, source: Source, pseudo: PseudoLabeledSet, device: torch.device
) -> Student:
    """A student that has the images of a source both labeled and pseudo-labeled."""
    rows = np.arange(len(source))
    preprocessing = Preprocessing(image_size=generation.image_size)
    state = new_state(generation, len(source), device)
    augmentation = Augmentation(generation, preprocessing)
    settings = StepSettings(generation, PseudoLabels(), preprocessing, CLASSES, seed=0)
    train_step = TrainStep(state, settings, augmentation)
    plan = BatchPlan(
        ShuffledSampler("labeled", source, Labeled(rows, rows % CLASSES), generation.batch_size),
        ShuffledSampler("unlabeled", source, pseudo, generation.unlabeled_batch),
        seed=0,
    )
    step_bytes = memory_of(generation, CLASSES, plan.images_at_once)
    batches = training_batches(plan, augmentation, range(state.steps), 0, device, step_bytes)
    return Student(state, train_step, batches)


def new_state(generation: Generation, labeled_images: int, device: torch.device) -> TrainingState:
    """A generation's model, untrained, with its optimiser and schedule."""
    model = to_device(build(generation.arch, CLASSES), device).train()
    return TrainingState(model, generation, labeled_images)


def bare_batch(count: int, size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Random images (count, 3, size, size), as if normalised, and labels, on the device."""
    images = torch.randn(count, 3, size, size, device=device)
    # In channels-last order, as a full step has its images: the faster one for convolutions.
    images = images.contiguous(memory_format=torch.channels_last)
    return images, torch.randint(0, CLASSES, (count,), device=device)


def bare_step(
    state: TrainingState,
    batch: tuple[torch.Tensor, torch.Tensor],
    precision: str,
    *,
    update: bool = True,
) -> None:
    """What no step can do without: forward and backward pass, and with `update` the optimiser."""
    images, labels = batch
    with autocast(images.device, precision):
        logits = state.model(images)
    # As in a full step: no memory is filled with zeros.
    state.optimizer.zero_grad(set_to_none=True)
    cross_entropy(logits.float(), labels).backward()
    if update:
        state.optimizer.step()
