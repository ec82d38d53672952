"""A teacher that labels images, and the bare forward passes that it cannot do without, to time."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from nsbench.bench.photographs import photographs
from nsbench.data.open import Source
from nsbench.data.transforms import normalize
from nsbench.models import Classifier
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.predict import predict
from nsbench.recipes.parts import PseudoLabels
from nsbench.util.device import autocast

BATCH = 256
"""Images of a forward pass, as a labeling takes them."""


def labeling_side(
    teacher: Classifier,
    source: Source,
    count: int,
    store: Path,
    precision: str,
    device: torch.device,
) -> Callable[[], object]:
    """A call that labels `count` images: those of the source, again and again, into `store`."""
    rows = np.arange(count) % len(source)
    job = LabelingJob(
        source, rows, device, PseudoLabels(top_k=20), batch_size=BATCH, precision=precision
    )

    def run() -> None:
        # A finished store would be read instead of made again.
        shutil.rmtree(store, ignore_errors=True)
        predict(job, teacher, store)

    return run


def forward_side(
    teacher: Classifier, count: int, precision: str, device: torch.device
) -> Callable[[], object]:
    """A call that takes `count` images, normalised and on the device, through the teacher."""
    preprocessing = teacher.preprocessing
    pixels = photographs(preprocessing.image_size, min(BATCH, count)).to(device) / 255
    images = normalize(pixels, preprocessing.mean, preprocessing.std).contiguous(
        memory_format=torch.channels_last
    )

    def run() -> None:
        with torch.inference_mode(), autocast(device, precision):
            for _ in range(count // len(images)):
                teacher.module(images)

    return run
