"""Speed of training beside what it cannot avoid, of RandAugment beside timm's, and of labeling."""

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from nsbench.augment.keys import image_keys
from nsbench.augment.randaugment import parse_randaugment
from nsbench.augment.timm_transforms import training_transform
from nsbench.bench.labeling import forward_side, labeling_side
from nsbench.bench.models import photograph_spec, untrained
from nsbench.bench.photographs import photographs
from nsbench.bench.rates import Side, rates
from nsbench.bench.student import bare_batch, bare_step, new_state, student, student_generation
from nsbench.data.open import open_source
from nsbench.data.preprocessing import Preprocessing
from nsbench.models import resolve_device
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.pipeline import PseudoLabeledSet
from nsbench.pseudo_labels.predict import predict
from nsbench.recipes.generation import Generation
from nsbench.recipes.parts import PseudoLabels
from nsbench.util.device import environment, float32_products

TIMM = "rand-m9-n2-p1.0"
"""timm's setting for two operations an image, always applied (p1.0), as the paper has them."""

PAPER = "paper-m9-n2"
"""The same number of operations and the same magnitude as TIMM, so that the ratio is of the
two implementations only."""
IMAGES = 1024
"""Different images that are gone through again and again."""

LABELED = 4 * IMAGES
"""Images that a teacher labels in one measurement: enough that its start hardly counts."""


def bench_train(
    arch: str = "resnet18",
    *,
    image_size: int = 32,
    batch_size: int = 64,
    unlabeled_ratio: float = 3.0,
    precision: str = "float32",
    steps: int = 5,
    rounds: int = 5,
    device: str | None = None,
) -> dict[str, Any]:
    """Time a student's steps and a teacher's labeling beside bare passes, and RandAugment.

    A full step has both streams from resident images, RandAugment, the loss, the optimiser and the
    average. A bare one has a forward pass on a batch of as many images that lies on the device,
    normalised, a backward pass and the optimiser. RandAugment in batches is timed beside timm's on
    Pillow images, of the same magnitude, in as many processes as there are cores. The sides take
    turns. The images are the photographs that foolbox carries.

    Returns images a second of each side (the median round), and the ratios: bare over full step as
    `fraction_of_peak`, bare forward over labeling as `labeling_fraction_of_peak`, and
    `randaugment_speedup`. Raises NsbenchError for an unknown architecture.
    """
    target = resolve_device(device)
    generation = student_generation(
        "bench train",
        arch=arch,
        image_size=image_size,
        batch_size=batch_size,
        unlabeled_ratio=unlabeled_ratio,
        precision=precision,
        steps=steps * (rounds + 1),  # one round more than is counted, the one that warms up
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        _pool(image_size) as pool,
        float32_products(precision),
    ):
        sides = {
            **_model_sides(generation, Path(folder), steps, target),
            "randaugment": (_batched_side(image_size, target), IMAGES),
            "timm_randaugment": (_timm_side(pool), IMAGES),
        }
        measured = rates("bench train", sides, rounds, target)
    return {
        "arch": arch,
        "image_size": image_size,
        "images_a_step": _images_a_step(generation),
        "precision": precision,
        **{f"{name}_images_per_second": rate for name, rate in measured.items()},
        "fraction_of_peak": measured["train"] / measured["bare"],
        "labeling_fraction_of_peak": measured["labeling"] / measured["forward"],
        "randaugment_speedup": measured["randaugment"] / measured["timm_randaugment"],
        "environment": environment(target),
    }


def _images_a_step(generation: Generation) -> int:
    return generation.batch_size + generation.unlabeled_batch


def _model_sides(
    generation: Generation, folder: Path, steps: int, device: torch.device
) -> dict[str, Side]:
    """A student's steps and a teacher's labeling, each with the bare passes beside it."""
    source = open_source(photograph_spec(folder, generation.image_size, IMAGES))
    teacher = untrained(generation.arch, generation.image_size, device, results=folder / "labels")
    labels = predict(
        LabelingJob(source, _rows(), device, PseudoLabels(top_k=20)), teacher, folder / "labels"
    )
    pseudo = PseudoLabeledSet(source, labels, _rows())
    learner = student(generation, source, pseudo, device)
    images, precision = steps * _images_a_step(generation), generation.precision
    labeling = labeling_side(teacher, source, LABELED, folder / "timed", precision, device)
    return {
        "train": (lambda: learner.train(steps), images),
        "bare": (_bare_side(generation, steps, device), images),
        "labeling": (labeling, LABELED),
        "forward": (forward_side(teacher, LABELED, precision, device), LABELED),
    }


def _rows() -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.arange(IMAGES)


def _bare_side(generation: Generation, steps: int, device: torch.device) -> Callable[[], object]:
    state = new_state(generation, IMAGES, device)
    batch = bare_batch(_images_a_step(generation), generation.image_size, device)

    def run() -> None:
        for _ in range(steps):
            bare_step(state, batch, generation.precision)

    return run


def _batched_side(size: int, device: torch.device) -> Callable[[], object]:
    images = photographs(size, IMAGES).to(device)
    augment = parse_randaugment(PAPER, size)
    keys = image_keys(0, "bench", _rows())
    return lambda: augment(images, keys)


@contextmanager
def _pool(size: int) -> Iterator[Any]:
    """Processes that hold the photographs as Pillow images, one a core."""
    cores = len(os.sched_getaffinity(0))
    # spawn and not fork: a process with CUDA or running threads cannot be forked safely.
    context = multiprocessing.get_context("spawn")
    with context.Pool(cores, initializer=_hold, initargs=(size,)) as pool:
        yield pool


# Of a worker process: sending images to it would be timed too.
_held: list[Image.Image] = []
_transform: Any = None


def _hold(size: int) -> None:
    global _held, _transform
    # A process a core is all the cores: more threads would compete for them.
    torch.set_num_threads(1)
    pixels = photographs(size, IMAGES).permute(0, 2, 3, 1).numpy()
    _held = [Image.fromarray(picture) for picture in pixels]
    _transform = training_transform(Preprocessing(image_size=size), "center", 0.0, TIMM)


def _augment(rows: range) -> int:
    return sum(_transform(_held[row], row).nbytes for row in rows)


def _timm_side(pool: Any) -> Callable[[], object]:
    # In parts of 64, so that the processes finish at about the same time.
    parts = [range(start, start + 64) for start in range(0, IMAGES, 64)]
    return lambda: pool.map(_augment, parts, chunksize=1)
