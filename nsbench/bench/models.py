"""The untrained models that benchmarks work on, and the photographs as a source."""

from pathlib import Path

import numpy as np
import torch

from nsbench.bench.photographs import photographs
from nsbench.data.open import SourceSpec
from nsbench.data.preprocessing import Preprocessing
from nsbench.models import Classifier, build, to_device

CLASSES = 1000
"""ImageNet-1k's, since the size of the head is part of what a pass costs."""


def untrained(
    arch: str,
    image_size: int,
    device: torch.device,
    *,
    results: Path = Path("results"),
    seed: int = 0,
) -> Classifier:
    """A model of timm's with random weights, the same ones for a seed.

    image_size: pixels of its input. results: where its predictions go, if any are written. Raises
    NsbenchError for an unknown architecture.
    """
    # Untrained: the speed does not depend on the weights.
    torch.manual_seed(seed)
    return Classifier(
        name=arch,
        module=to_device(build(arch, CLASSES), device).eval(),
        num_classes=CLASSES,
        classes=None,
        preprocessing=Preprocessing(image_size=image_size),
        weights_hash=f"untrained {seed}",
        results=results,
    )


def photograph_spec(folder: Path, image_size: int, count: int) -> SourceSpec:
    """Write photographs into a folder as arrays, labeled by turns, and name them as a source."""
    np.save(folder / "images.npy", photographs(image_size, count).permute(0, 2, 3, 1).numpy())
    np.save(folder / "labels.npy", np.arange(count) % CLASSES)
    return SourceSpec(source=str(folder / "images.npy"), label_space="indices")
