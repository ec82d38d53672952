"""Speed against a reference: both sides in one run, on the user's own machine."""

from collections.abc import Callable
from typing import Any

import torch

from nsbench.bench.rates import rates
from nsbench.data.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from nsbench.data.transforms import normalize
from nsbench.evaluation.fgsm import fgsm_logits, load_foolbox
from nsbench.models import build, resolve_device
from nsbench.util.provenance import environment

EPSILONS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""In units of 1/255: those of the suite imagenet-fgsm, so that the curve timed is the one users
run."""


def bench_attack(
    arch: str, image_size: int, batch_size: int, rounds: int, *, device: str | None = None
) -> dict[str, Any]:
    """Time an FGSM curve of 8 epsilons by nsbench and by foolbox, taking turns.

    Both get the same randomly initialised model, images and labels, and foolbox is called as its
    guide shows. Returns images a second of each side (the median round), `speedup`, and how close
    nsbench is to the bare forward passes that a curve cannot do without (`fraction_of_peak`).
    """
    target = resolve_device(device)
    # Untrained: the speed does not depend on the weights.
    torch.manual_seed(0)
    model = build(arch, 1000).to(target).eval()
    images = torch.rand(batch_size, 3, image_size, image_size, device=target)
    labels = torch.randint(0, 1000, (batch_size,), device=target)
    sides = {
        "nsbench": _nsbench_side(model, images, labels),
        "foolbox": _foolbox_side(model, images, labels, target),
        "forward": _forward_side(model, images),
    }
    measured = rates(
        "bench attack", {name: (run, batch_size) for name, run in sides.items()}, rounds, target
    )
    return {
        "arch": arch,
        "image_size": image_size,
        "batch_size": batch_size,
        "epsilons": list(EPSILONS),
        "rounds": rounds,
        "nsbench_images_per_second": measured["nsbench"],
        "foolbox_images_per_second": measured["foolbox"],
        "speedup": measured["nsbench"] / measured["foolbox"],
        "fraction_of_peak": measured["nsbench"] / measured["forward"],
        "environment": environment(str(target)),
    }


def _nsbench_side(
    model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor
) -> Callable[[], object]:
    scaled = [epsilon / 255 for epsilon in EPSILONS]

    def logits(batch: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = model(normalize(batch, IMAGENET_MEAN, IMAGENET_STD))
        return outputs

    return lambda: [x.argmax(1) == labels for x in fgsm_logits(logits, images, labels, scaled)]


def _foolbox_side(
    model: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, device: torch.device
) -> Callable[[], object]:
    foolbox = load_foolbox()
    preprocessing = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "axis": -3}
    wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=device, preprocessing=preprocessing)
    attack = foolbox.attacks.LinfFastGradientAttack()
    scaled = [epsilon / 255 for epsilon in EPSILONS]
    return lambda: attack(wrapped, images, labels, epsilons=scaled)


def _forward_side(model: torch.nn.Module, images: torch.Tensor) -> Callable[[], object]:
    """One forward pass an epsilon: what the predictions alone cost."""

    def run() -> None:
        with torch.inference_mode():
            for _ in EPSILONS:
                model(normalize(images, IMAGENET_MEAN, IMAGENET_STD))

    return run
