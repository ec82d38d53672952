"""Speed of a student's steps and of what they are made of, and of RandAugment."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from nsbench.augment.keys import image_keys
from nsbench.augment.pipeline import Augmentation
from nsbench.augment.randaugment import parse_randaugment
from nsbench.bench.doctor_steps.difference import difference
from nsbench.bench.doctor_steps.machine import Machine
from nsbench.bench.doctor_steps.models import CLASSES, untrained
from nsbench.bench.photographs import photographs
from nsbench.data.open import Source, SourceSpec, open_source
from nsbench.data.preprocessing import Preprocessing
from nsbench.models import build, to_device
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.pipeline import PseudoLabeledSet
from nsbench.pseudo_labels.predict import predict
from nsbench.recipes.recipe import Generation, PseudoLabels
from nsbench.training.batches import (
    BatchPlan,
    Labeled,
    ShuffledSampler,
    TrainingBatch,
    training_batches,
)
from nsbench.training.state import TrainingState
from nsbench.training.step import StepSettings, TrainStep
from nsbench.util.config import parse
from nsbench.util.device import autocast

STEPS = 40
"""Steps that a student has images for: more than are made of any."""

LOSSES = 3
"""Losses that are reported, of the first steps: enough to see them fall or become nan."""

COMPARED = 64
"""Images that the CPU augments too: it is slow."""


@dataclass(frozen=True)
class Student:
    """A model in training: its state, what makes a step of it, and the images of the steps."""

    state: TrainingState
    step: TrainStep
    batches: Iterator[TrainingBatch]


def student(machine: Machine, arch: str, size: int, *, batch_size: int, precision: str) -> Student:
    """A student as `nsbench bench train` has it, one pseudo-labeled image for each labeled one.

    An untrained teacher of the same architecture labels the images. size: pixels. batch_size:
    labeled images a step. Raises NsbenchError for an unknown architecture or precision.
    """
    settings = {
        "arch": arch,
        "image_size": size,
        "batch_size": batch_size,
        "unlabeled_ratio": 1.0,
        "crop": "pad",
        "randaugment": "paper",
        "optimizer": "rmsproptf",
        "lr": 1e-4,
        "precision": precision,
        "steps": STEPS,
    }
    generation = parse(Generation, settings, "doctor")
    preprocessing = Preprocessing(image_size=size)
    augmentation = Augmentation(generation, preprocessing)
    plan = _plan(machine, generation)
    model = to_device(build(arch, CLASSES), machine.device).train()
    state = TrainingState(model, generation, len(plan.labeled.examples))
    step_settings = StepSettings(generation, PseudoLabels(), preprocessing, CLASSES, seed=0)
    step = TrainStep(state, step_settings, augmentation)
    batches = training_batches(plan, augmentation, range(state.steps), 0, machine.device)
    return Student(state, step, batches)


def _plan(machine: Machine, generation: Generation) -> BatchPlan:
    """Which images a step sees: the same ones are labeled and, by the teacher, pseudo-labeled."""
    folder = Path(tempfile.mkdtemp())
    source = _source(folder, generation.image_size, machine.pick(512, 16))
    rows = np.arange(len(source))
    teacher = untrained(machine, generation.arch, generation.image_size)
    job = LabelingJob(source, rows, machine.device, PseudoLabels(top_k=20))
    pseudo_labeled = PseudoLabeledSet(source, predict(job, teacher, folder / "labels"), rows)
    labeled = Labeled(rows, rows % CLASSES)
    return BatchPlan(
        ShuffledSampler("labeled", source, labeled, generation.batch_size),
        ShuffledSampler("unlabeled", source, pseudo_labeled, generation.unlabeled_batch),
        seed=0,
    )


def _source(folder: Path, size: int, count: int) -> Source:
    np.save(folder / "images.npy", photographs(size, count).permute(0, 2, 3, 1).numpy())
    np.save(folder / "labels.npy", np.arange(count) % CLASSES)
    return open_source(SourceSpec(source=str(folder / "images.npy"), label_space="indices"))


def training_speed(machine: Machine) -> dict[str, Any]:
    """Time steps of EfficientNet-B0 at 224 px beside bare ones on a batch that is ready.

    In bfloat16 and float16, with the first losses; and RandAugment, beside the CPU's pixels.
    """
    precisions = machine.pick(("bfloat16", "float16"), ("bfloat16",))
    steps = {precision: _step_speed(machine, precision) for precision in precisions}
    return {**steps, "randaugment": _randaugment(machine)}


def _step_speed(machine: Machine, precision: str) -> dict[str, Any]:
    arch = machine.pick("tf_efficientnet_b0", "test_efficientnet")
    size, batch_size = machine.pick(224, 32), machine.pick(128, 4)
    learner = student(machine, arch, size, batch_size=batch_size, precision=precision)
    state, total = learner.state, 2 * batch_size
    images = torch.randn(total, 3, size, size, device=machine.device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (total,), device=machine.device)
    steps, repeats = machine.pick(5, 1), machine.pick(2, 1)

    def bare(optimizer_steps: bool) -> None:
        for _ in range(steps):
            with autocast(machine.device, precision):
                logits = state.model(images)
            state.optimizer.zero_grad(set_to_none=True)
            cross_entropy(logits.float(), labels).backward()
            if optimizer_steps:
                state.optimizer.step()

    losses = [float(learner.step(learner.batches).total) for _ in range(machine.pick(LOSSES, 1))]
    seconds = {
        "steps": machine.seconds(
            lambda: [learner.step(learner.batches) for _ in range(steps)], repeats
        ),
        "bare_steps": machine.seconds(lambda: bare(True), repeats),
        "bare_passes": machine.seconds(lambda: bare(False), repeats),
    }
    return {
        "images_a_step": total,
        "losses": losses,
        **{f"{name}_images_per_second": total * steps / took for name, took in seconds.items()},
        "optimizer_milliseconds": 1e3 * machine.seconds(state.optimizer.step),
        "average_milliseconds": 1e3 * machine.seconds(lambda: state.average.update(state.model)),
    }


def _randaugment(machine: Machine) -> dict[str, Any]:
    size = machine.pick(224, 32)
    images = photographs(size, machine.pick(1024, 8)).to(machine.device)
    augment, keys = (
        parse_randaugment("paper-m9-n2", size),
        image_keys(0, "x", np.arange(len(images))),
    )
    seconds = machine.seconds(lambda: augment(images, keys))
    here = augment(images[:COMPARED].cpu(), keys[:COMPARED])
    return {
        "images_per_second": len(images) / seconds,
        "beside_the_cpu": difference(here, augment(images, keys)[:COMPARED]),
    }
