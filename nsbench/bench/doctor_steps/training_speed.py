"""Speed of a student's steps and of what they are made of, and of RandAugment."""

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from nsbench.augment.keys import image_keys
from nsbench.augment.randaugment import parse_randaugment
from nsbench.bench.doctor_steps.difference import SHARE, difference
from nsbench.bench.doctor_steps.limits import beside_parts
from nsbench.bench.doctor_steps.machine import Finding, Machine
from nsbench.bench.models import photograph_spec, untrained
from nsbench.bench.photographs import photographs
from nsbench.bench.rates import Side, rates
from nsbench.bench.student import Student, bare_batch, bare_step, student, student_generation
from nsbench.data.open import open_source
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.pipeline import PseudoLabeledSet
from nsbench.pseudo_labels.predict import predict
from nsbench.recipes.parts import PseudoLabels
from nsbench.reporting.doctor_result import Goal, Outcome, Speed

STEPS = 40
"""Steps that a student has images for: more than are made of any."""

LOSSES = 3
"""Losses that are reported, of the first steps: enough to see them fall or become nan."""

COMPARED = 64
"""Images that the CPU augments too: it is slow."""

BARE = 0.85
"""Of the speed of bare steps that EfficientNet-B0's at 224 px should reach on a GPU."""


def student_of(
    machine: Machine, arch: str, size: int, *, batch_size: int, precision: str
) -> Student:
    """A student as `nsbench bench train` has it, one pseudo-labeled image for each labeled one.

    An untrained teacher of the same architecture labels the images. size: pixels. batch_size:
    labeled images a step. Raises NsbenchError for an unknown architecture or precision.
    """
    generation = student_generation(
        "doctor",
        arch=arch,
        image_size=size,
        batch_size=batch_size,
        unlabeled_ratio=1.0,
        precision=precision,
        steps=STEPS,
    )
    folder = Path(tempfile.mkdtemp())
    source = open_source(photograph_spec(folder, size, machine.pick(512, 64, 16)))
    rows = np.arange(len(source))
    job = LabelingJob(source, rows, machine.device, PseudoLabels(top_k=20))
    store = predict(job, untrained(arch, size, machine.device), folder / "labels")
    return student(generation, source, PseudoLabeledSet(source, store, rows), machine.device)


def training_speed(machine: Machine) -> Finding:
    """Time steps of EfficientNet-B0 at 224 px beside bare ones on a batch that is ready.

    In bfloat16 and float16, with the first losses; and RandAugment, whose pixels must be the CPU's
    in all but SHARE of the values. Of those it may change any by many levels: where one is at the
    threshold of an operation, the smallest difference decides.
    """
    noise = _randaugment(machine)
    precisions = machine.pick(("bfloat16", "float16"), ("float32",), ("bfloat16",))
    steps = {precision: _step_speed(machine, precision) for precision in precisions}
    speeds = {
        f"step of {found['arch']}, {precision}": _speed(found, noise)
        for precision, found in steps.items()
    }
    goals = [
        Goal(name=name, figure=speed.share, wanted=BARE, unit="of bare steps")
        for name, speed in speeds.items()
    ]
    first = next(iter(speeds.values()))
    verdict = (
        f"{first.images_per_second:,.0f} images/s, {first.share:.0%} of bare steps, "
        f"{first.binds} binds"
    )
    broken = [name for name, found in steps.items() if not all(map(math.isfinite, found["losses"]))]
    outcome: Outcome = "right"
    if broken:
        outcome, verdict = "wrong", f"losses in {', '.join(broken)} are not finite"
    elif noise["beside_the_cpu"]["share"] > SHARE:
        outcome, verdict = "wrong", "the pixels of RandAugment are not the CPU's"
    figures = {**steps, "randaugment": noise}
    return Finding(outcome, verdict, figures, speeds, goals if machine.on_gpu else [])


def _speed(found: dict[str, Any], noise: dict[str, Any]) -> Speed:
    return beside_parts(
        found["steps_images_per_second"],
        {"model": found["bare_steps_images_per_second"], "noise": noise["images_per_second"]},
    )


def _step_speed(machine: Machine, precision: str) -> dict[str, Any]:
    arch = machine.pick("tf_efficientnet_b0", "tf_efficientnet_b0", "test_efficientnet")
    size, batch_size = machine.pick((224, 128), (64, 16), (32, 4))
    learner = student_of(machine, arch, size, batch_size=batch_size, precision=precision)
    state, total = learner.state, 2 * batch_size
    batch = bare_batch(total, size, machine.device)
    steps, rounds = machine.pick((5, 2), (2, 3), (1, 1))

    def bare(update: bool) -> None:
        for _ in range(steps):
            bare_step(state, batch, precision, update=update)

    losses = [
        float(learner.step(learner.batches).total) for _ in range(machine.pick(LOSSES, LOSSES, 1))
    ]
    images = total * steps
    sides: dict[str, Side] = {
        "steps": (lambda: learner.train(steps), images),
        "bare_steps": (lambda: bare(True), images),
        "bare_passes": (lambda: bare(False), images),
    }
    measured = rates("training", sides, rounds, machine.device)
    return {
        "arch": arch,
        "image_size": size,
        "images_a_step": total,
        "losses": losses,
        **{f"{name}_images_per_second": rate for name, rate in measured.items()},
        "optimizer_milliseconds": 1e3 * machine.seconds(state.optimizer.step),
        "average_milliseconds": 1e3 * machine.seconds(lambda: state.average.update(state.model)),
    }


def _randaugment(machine: Machine) -> dict[str, Any]:
    size = machine.pick(224, 224, 32)
    images = photographs(size, machine.pick(1024, 64, 8)).to(machine.device)
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
