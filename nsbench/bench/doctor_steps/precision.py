"""How far outputs and gradients differ by precision, batch, device and run."""

import copy
from dataclasses import replace

import torch

from nsbench.bench.doctor_steps.machine import Finding, Machine
from nsbench.bench.models import CLASSES, untrained
from nsbench.bench.photographs import photographs
from nsbench.evaluation.deterministic import deterministic
from nsbench.evaluation.fgsm import fgsm_images
from nsbench.models import Classifier
from nsbench.util.device import autocast, float32_products

FEW = 16
"""Images that go through the CPU as well, which is slow."""

LIMITS = {
    "cpu": 2e-4,  # float32 has 24 bits, sums in another order cost some; TF32 would be at 1e-3
    "half": 2e-4,
    "tf32": 1e-2,  # 11 bits
    "float16": 2e-2,  # 11 bits, and its sums too
    "bfloat16": 1e-1,  # 8 bits
}
"""The largest difference from float32 on the device, as a share of the largest output, that each
way to the outputs may have."""

SHORT = {"bfloat16": "bf16", "float16": "fp16"}
"""Names that leave room for the others in one line."""


def precision(machine: Machine) -> Finding:
    """Outputs of ResNet-50 in float32 beside other ways to them, and signs of gradients twice.

    Each way has `largest`, which LIMITS holds, and `top_classes_moved`, the share of images. Two
    runs of FGSM must give the same images where torch is asked for deterministic kernels.
    """
    arch, size = machine.pick(("resnet50", 224), ("resnet18", 112), ("test_resnet", 32))
    model = untrained(arch, size, machine.device)
    images = photographs(size, machine.pick(128, 8, 4)).to(machine.device) / 255
    ways = _ways(machine, model, images)
    signs = _signs(machine, model, images)
    figures = {"limits": LIMITS, **ways, "gradient_signs_that_differ": signs}
    far = [name for name, way in ways.items() if not way["largest"] <= LIMITS[name]]
    told = ", ".join(f"{SHORT.get(name, name)} {way['largest']:.0e}" for name, way in ways.items())
    if far:
        return Finding("wrong", f"{', '.join(far)} too far from float32: {told}", figures)
    if signs["deterministic"]:
        return Finding("wrong", "two deterministic runs of FGSM differ", figures)
    return Finding("right", told, figures)


@torch.inference_mode()
def _ways(machine: Machine, model: Classifier, images: torch.Tensor) -> dict[str, dict[str, float]]:
    with float32_products("float32"):
        base = model.logits(images)
        halves = torch.cat([model.logits(half) for half in images.chunk(2)])
        on_cpu = replace(model, module=copy.deepcopy(model.module).cpu())
        cpu = on_cpu.logits(images[:FEW].cpu())
    others = {"cpu": cpu, "half": halves}
    for name in ("tf32", "bfloat16", "float16"):
        with float32_products(name), autocast(machine.device, name):
            others[name] = model.logits(images)

    def beside(other: torch.Tensor) -> dict[str, float]:
        some, other = base[: len(other)], other.float().to(base.device)
        return {
            "largest": float((some - other).abs().max() / base.abs().max()),
            "top_classes_moved": float((some.argmax(1) != other.argmax(1)).double().mean()),
        }

    return {name: beside(other) for name, other in others.items()}


def _signs(machine: Machine, model: Classifier, images: torch.Tensor) -> dict[str, float]:
    """Shares of the values of FGSM's images that are others in a second run."""
    labels = torch.arange(len(images), device=machine.device) % CLASSES
    middle = 0.25 + images / 2  # far from black and white, where clipping would hide a sign

    def two_runs() -> float:
        one, two = (next(fgsm_images(model.logits, middle, labels, [1 / 255])) for _ in range(2))
        return float((one != two).double().mean())

    with float32_products("float32"):
        as_it_is = two_runs()
        with deterministic():
            again = two_runs()
    return {"as_it_is": as_it_is, "deterministic": again}
