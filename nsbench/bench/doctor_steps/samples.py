"""What steps work on: pictures, untrained models, and how far two batches of images are apart."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from nsbench.bench.doctor_steps.machine import Machine
from nsbench.data.preprocessing import Preprocessing
from nsbench.evaluation.model_run import ModelRun
from nsbench.models import Classifier, build, to_device
from nsbench.predictions import Store

CLASSES = 1000
"""Outputs of the untrained models, as many as ImageNet's."""

FAR = 2
"""Levels of 255 that a pixel may be away from the CPU's: sums in another order round differently,
and some changes round twice."""

DISTINCT = 20
"""Different pictures that are made at most: as many as foolbox has photographs."""


def pictures(size: int, count: int) -> torch.Tensor:
    """Photographs of foolbox, or smooth pictures with noise where it is missing.

    Returns uint8 (count, 3, size, size) on the CPU.
    """
    try:
        from nsbench.bench.photographs import photographs
    except ImportError:
        return _painted(size, count)
    return photographs(size, count)


def _painted(size: int, count: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    down, across = np.mgrid[:size, :size] * (255 / size)
    smooth = np.stack([across, down, (across + down) / 2])
    noise = rng.integers(0, 256, (min(count, DISTINCT), 3, size, size))
    painted = (0.8 * smooth + 0.2 * noise).astype(np.uint8)
    return torch.from_numpy(painted[np.arange(count) % len(painted)])


def ids_of(images: torch.Tensor) -> list[str]:
    """An id for each image of a batch."""
    return [f"image {index}" for index in range(len(images))]


def difference(one: torch.Tensor, other: torch.Tensor) -> dict[str, float]:
    """How far two uint8 tensors are apart, in levels of 255, and the share of values that differ.

    They may lie on different devices. `largest` and `mean` are of the absolute differences.
    """
    apart = (one.cpu().int() - other.cpu().int()).abs()
    return {
        "largest": int(apart.max()),
        "mean": float(apart.double().mean()),
        "share": float((apart > 0).double().mean()),
    }


def untrained(machine: Machine, arch: str, size: int) -> Classifier:
    """A model of timm's with random weights, always the same ones, on the machine's device.

    size: pixels of its input. Raises NsbenchError for an unknown architecture.
    """
    torch.manual_seed(0)
    return Classifier(
        name=arch,
        module=to_device(build(arch, CLASSES), machine.device).eval(),
        num_classes=CLASSES,
        classes=None,
        preprocessing=Preprocessing(image_size=size),
        weights_hash="untrained",
        results=Path("results"),  # named only: no step writes predictions
    )


def run_of(model: Classifier) -> ModelRun:
    """A model on a suite that has no cells, as `logits_of` wants it."""
    identity: dict[str, Any] = {}
    return ModelRun(model, Store(model.results, "doctor", identity), np.arange(CLASSES), None, [])
