"""How far outputs and gradients differ by precision, batch, device and run."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from nsbench.bench.attack import bench_attack
from nsbench.bench.doctor_steps.machine import Machine, attempt
from nsbench.bench.models import CLASSES, untrained
from nsbench.bench.photographs import photographs
from nsbench.evaluation.fgsm import fgsm_images
from nsbench.models import Classifier
from nsbench.util.device import autocast

FEW = 16
"""Images that go through the CPU as well, which is slow."""

ROUNDS = 2
"""Measurements of each side of the attack, which is timed here beside what it is checked for."""


def numerics(machine: Machine) -> dict[str, Any]:
    """Answers of ResNet-50 in float32 beside other ways to them, and how signs of gradients vary.

    Each way has `largest`, the largest difference as a share of the largest output, and
    `top_classes_moved`, the share of images. Then `nsbench bench attack` on the same device.
    """
    count, size = machine.pick(128, 4), machine.pick(224, 32)
    arch = machine.pick("resnet50", "test_resnet")
    model = untrained(arch, size, machine.device)
    images = photographs(size, count).to(machine.device) / 255
    return {
        **_answers(machine, model, images),
        "gradient_signs_that_differ": _signs(machine, model, images),
        "attack": attempt(lambda: _attack(machine, arch, size)),
    }


@torch.inference_mode()
def _answers(machine: Machine, model: Classifier, images: torch.Tensor) -> dict[str, Any]:
    base = model.logits(images)

    def beside(other: torch.Tensor) -> dict[str, float]:
        some, other = base[: len(other)], other.float().to(base.device)
        return {
            "largest": float((some - other).abs().max() / base.abs().max()),
            "top_classes_moved": float((some.argmax(1) != other.argmax(1)).double().mean()),
        }

    with _cudnn(allow_tf32=False):
        figures = {"without_tf32": beside(model.logits(images))}
    with autocast(machine.device, "bfloat16"):
        figures["bfloat16"] = beside(model.logits(images))
    halves = [model.logits(half) for half in images.chunk(2)]
    figures["half_the_batch"] = beside(torch.cat(halves))
    on_cpu = replace(model, module=copy.deepcopy(model.module).cpu())
    figures["cpu"] = beside(on_cpu.logits(images[:FEW].cpu()))
    return figures


def _signs(machine: Machine, model: Classifier, images: torch.Tensor) -> dict[str, float]:
    """Shares of the signs of FGSM that are others in a second run."""
    labels = torch.arange(len(images), device=machine.device) % CLASSES
    middle = 0.25 + images / 2  # far from black and white, where clipping would hide a sign

    def two_runs() -> float:
        one, two = (next(fgsm_images(model.logits, middle, labels, [1 / 255])) for _ in range(2))
        return float((one != two).double().mean())

    with _cudnn(deterministic=True):
        deterministic = two_runs()
    return {"between_two_runs": two_runs(), "with_deterministic_cudnn": deterministic}


def _attack(machine: Machine, arch: str, size: int) -> dict[str, float]:
    measured = bench_attack(arch, size, machine.pick(64, 4), ROUNDS, device=str(machine.device))
    return {name: value for name, value in measured.items() if isinstance(value, float)}


@contextmanager
def _cudnn(**flags: bool) -> Iterator[None]:
    """Some switches of torch.backends.cudnn, the others as they are, unlike torch's own context."""
    before = {name: getattr(torch.backends.cudnn, name) for name in flags}
    try:
        for name, value in flags.items():
            setattr(torch.backends.cudnn, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(torch.backends.cudnn, name, value)
