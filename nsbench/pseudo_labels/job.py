"""The images that a teacher labels for a student, and how they are labeled and chosen."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.spec import Source
from nsbench.recipes.parts import PseudoLabels

Noise = Callable[[Image.Image, int], NDArray[np.uint8]]
"""From an RGB image and a seed to a noised crop, uint8 (3, S, S)."""


@dataclass(frozen=True)
class LabelingJob:
    """The images that a teacher labels for a student, and how they are labeled and chosen.

    source, indices: the images, indices being int64 (N,). settings: the recipe's [pseudo_labels],
    of which labeling itself needs top_k only. classes: names of the recipe's classes. seed: of the
    run, so that all generations choose alike.
    device, batch_size, precision: of the teacher's forward passes; without noise the batch is
    halved where memory is short. noise: replaces the clean crop, for an ablation; then dropout and
    stochastic depth are on too. noise_keys: what decides that noise but the seed, JSON-like; labels
    by another are others. run_folder, base: the run, and another run whose labels are read
    instead of making the same ones again.
    """

    source: Source
    indices: NDArray[np.int64]
    device: torch.device
    settings: PseudoLabels = field(default_factory=PseudoLabels)
    classes: tuple[str, ...] = ()
    seed: int = 0
    batch_size: int = 256
    precision: str = "float32"
    noise: Noise | None = None
    noise_keys: dict[str, Any] = field(default_factory=dict)
    run_folder: Path | None = None
    base: Path | None = None

    @property
    def noise_seed(self) -> int | None:
        """Seed of the teacher's noise, None for a teacher without."""
        # Labels made without noise do not depend on the seed: another seed must not disown them.
        return self.seed if self.noise else None
