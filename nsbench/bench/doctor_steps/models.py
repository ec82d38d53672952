"""The untrained models that steps work on."""

from pathlib import Path

import torch

from nsbench.bench.doctor_steps.machine import Machine
from nsbench.data.preprocessing import Preprocessing
from nsbench.models import Classifier, build, to_device

CLASSES = 1000
"""Outputs of the untrained models, as many as ImageNet's."""


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
