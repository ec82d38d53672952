"""Where the host waits for the device, which then has nothing to do."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch

from nsbench.bench.doctor_steps.difference import ids_of
from nsbench.bench.doctor_steps.machine import Finding, Machine, Skipped
from nsbench.bench.doctor_steps.out_of_memory import run_of
from nsbench.bench.doctor_steps.training_speed import student_of
from nsbench.bench.models import untrained
from nsbench.bench.photographs import photographs
from nsbench.corruptions import corrupt, jpeg
from nsbench.evaluation.fgsm import fgsm_logits
from nsbench.evaluation.forward import logits_of
from nsbench.evaluation.options import Options
from nsbench.names import CORRUPTIONS, EXTRA_CORRUPTIONS
from nsbench.util.timing import synchronize

EPSILONS = (0.0, 2 / 255)
"""Strengths of the attack: one that needs no pass of its own, and one that does."""

LINES = 12
"""Lines of code reported for a piece of work: those that wait most often."""


def synchronisations(machine: Machine) -> Finding:
    """Count the waits in a batch each of corruptions, JPEG, a forward pass, FGSM and a step.

    Torch warns of them, on CUDA only. Finds for each piece of work that waits the lines of code
    that do, and how often; elsewhere the works are only done.
    """
    waits: dict[str, dict[str, int]] = {}
    works = _works(machine)
    for name, work in works.items():
        work()  # the first call may fill caches, which waits once
        synchronize(machine.device)
        with _warned(machine) as caught:
            work()
        lines = Counter(
            f"{Path(warning.filename).name}:{warning.lineno}"
            for warning in caught
            if "synchroniz" in str(warning.message)
        )
        if lines:
            waits[name] = dict(lines.most_common(LINES))
    figures = {"pieces_of_work": len(works), "waits": waits}
    if not machine.on_gpu:
        raise Skipped("torch tells of waits on a GPU only")
    return Finding("measured", f"the host waits in {len(waits)} of {len(works)} works", figures)


def _works(machine: Machine) -> dict[str, Callable[[], object]]:
    images = photographs(224, machine.pick(64, 2, 2)).to(machine.device)
    run = run_of(
        untrained(machine.pick("resnet18", "test_resnet", "test_resnet"), 224, machine.device)
    )
    options = Options(machine.device, len(images), "bfloat16")
    labels = torch.zeros(len(images), dtype=torch.int64, device=machine.device)
    learner = student_of(machine, "test_efficientnet", 32, batch_size=16, precision="bfloat16")

    def attack() -> list[torch.Tensor]:
        return list(fgsm_logits(run.model.logits, images / 255, labels, EPSILONS))

    corruptions: dict[str, Callable[[], object]] = {
        f"{name}/3": partial(corrupt, images, name, 3, ids=ids_of(images))
        for name in CORRUPTIONS + EXTRA_CORRUPTIONS
    }
    return corruptions | {
        "JPEG": lambda: jpeg(images, 85),
        "forward pass": lambda: run.add("cell", logits_of(run, images, options)),
        "FGSM": attack,
        "training step": lambda: learner.step(learner.batches),
    }


@contextmanager
def _warned(machine: Machine) -> Iterator[list[warnings.WarningMessage]]:
    """All warnings of what runs within it, on CUDA those of waits among them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if machine.on_gpu:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            yield caught
        finally:
            if machine.on_gpu:
                torch.cuda.set_sync_debug_mode("default")
