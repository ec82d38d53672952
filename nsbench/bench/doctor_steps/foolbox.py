"""FGSM beside foolbox's, image by image, and the time of a curve."""

from typing import Any

import torch

from nsbench.bench.attack import EPSILONS, bench_attack
from nsbench.bench.doctor_steps.limits import beside_parts
from nsbench.bench.doctor_steps.machine import Finding, Machine
from nsbench.bench.models import CLASSES, untrained
from nsbench.bench.photographs import photographs
from nsbench.evaluation.deterministic import deterministic
from nsbench.evaluation.fgsm import fgsm_images, load_foolbox
from nsbench.reporting.doctor_result import Goal, Outcome
from nsbench.util.device import float32_products

TIMES = 3.0
"""How much faster than foolbox a curve should be on a GPU."""

ROUNDS = 2
"""Measurements of each side."""


class _Model(torch.nn.Module):
    """What both attack: a function of images in [0, 1], as a module."""

    def __init__(self, logits: Any) -> None:
        super().__init__()
        self._logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self._logits(images)
        return logits


def foolbox(machine: Machine) -> Finding:
    """Attack the same images by nsbench and by foolbox: not a value may differ; and time both."""
    arch = machine.pick("resnet50", "resnet18", "test_resnet")
    size, count = machine.pick((224, 64), (224, 8), (32, 4))
    differing = _differing(machine, arch, size, count)
    with float32_products("float32"):
        timed = bench_attack(arch, size, count, ROUNDS, device=str(machine.device))
    figures = {name: value for name, value in timed.items() if name != "environment"}
    rate, bare = timed["nsbench_images_per_second"], timed["foolbox_images_per_second"]
    figures = {"values_that_differ": differing, **figures}
    forward = rate / timed["fraction_of_peak"]
    speeds = {f"FGSM curve of {arch}": beside_parts(rate, {"model": forward})}
    goals = [Goal(name="FGSM curve", figure=rate / bare, wanted=TIMES, unit="times foolbox")]
    verdict = f"FGSM's images are foolbox's, {rate / bare:.2f} times as fast"
    if differing:
        verdict = f"{differing} values of FGSM's images are not foolbox's"
    outcome: Outcome = "wrong" if differing else "right"
    return Finding(outcome, verdict, figures, speeds, goals if machine.on_gpu else [])


def _differing(machine: Machine, arch: str, size: int, count: int) -> int:
    """How many values differ, over all epsilons."""
    module = _Model(untrained(arch, size, machine.device).logits).eval()
    images = photographs(size, count).to(machine.device) / 255
    labels = torch.arange(count, device=machine.device) % CLASSES
    scaled = [epsilon / 255 for epsilon in EPSILONS]
    reference = load_foolbox()
    model = reference.PyTorchModel(module, bounds=(0, 1), device=machine.device)
    # Kernels that add in another order each time give signs of their own where a gradient is small.
    with deterministic(), float32_products("float32"):
        ours = list(fgsm_images(module, images, labels, scaled))
        attack = reference.attacks.LinfFastGradientAttack()
        _, theirs, _ = attack(model, images, labels, epsilons=scaled)
    return sum(int((a != b).sum()) for a, b in zip(ours, theirs, strict=True))
