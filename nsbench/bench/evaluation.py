"""Speed of an evaluation on ImageNet-C, made on the fly, beside the bare forward passes."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nsbench.bench.models import photograph_spec, untrained
from nsbench.bench.photographs import photographs
from nsbench.data.open import open_source
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.readers.folder import FolderSource
from nsbench.data.transforms import normalize
from nsbench.evaluation.corruption import CorruptionPasses
from nsbench.evaluation.decoded import load_images
from nsbench.evaluation.options import Options, make_options
from nsbench.evaluation.plan import SuitePlan, crop_for, make_plan
from nsbench.evaluation.reading import read_images
from nsbench.evaluation.runner import ready
from nsbench.models import Classifier
from nsbench.suites.corruption import CorruptionSuite
from nsbench.util.device import environment, float32_products
from nsbench.util.progress import stage
from nsbench.util.timing import timed

SIZE = 224
"""Pixels of ImageNet-C."""

JPEGS = 200
"""Files whose reading is timed: several seconds of work for one core."""


def bench_eval(
    arch: str = "resnet50",
    *,
    models: int = 1,
    images: int = 8,
    batch_size: int = 8,
    precision: str = "float32",
    device: str | None = None,
) -> dict[str, Any]:
    """Time the 75 cells of ImageNet-C on the fly with untrained models, and what they cannot avoid.

    For each cell, one after the other: the evaluation itself, from decoded crops to predictions on
    disk; the bare forward passes of the same models on batches that lie on the device, normalised
    already; and the corruption alone. The images are the photographs that foolbox carries.

    Returns images a second and model of each side, forward over evaluation as `fraction_of_peak`,
    and evaluation over forward plus corruption as `overhead`; and the share of all cores that
    reading JPEG files keeps busy, with its images a second.
    Raises NsbenchError for an unknown name.
    """
    options = make_options(device=device, batch_size=batch_size, precision=precision)
    seconds = {"evaluation": 0.0, "forward": 0.0, "corruption": 0.0}
    with tempfile.TemporaryDirectory() as folder, float32_products(precision):
        decoding = _decoding(Path(folder))
        plan = _plan(Path(folder), arch, models, images, options)
        sides = _sides(plan, options)
        cells = [cell for cell in plan.suite.cells() if cell != "clean"]
        for side in sides.values():
            side(cells[0])  # compiles kernels and fills caches, which is not to count
        with stage("bench eval", len(cells), "cells") as advance:
            for cell in cells:
                for name, side in sides.items():
                    seconds[name] += timed(lambda s=side, c=cell: s(c), options.device)  # type: ignore[misc]
                advance()
    passes = images * len(cells)
    return {
        "arch": arch,
        "models": models,
        "images": images,
        "batch_size": batch_size,
        "precision": precision,
        "evaluation_images_per_second": models * passes / seconds["evaluation"],
        "forward_images_per_second": models * passes / seconds["forward"],
        "corruption_images_per_second": passes / seconds["corruption"],
        "fraction_of_peak": seconds["forward"] / seconds["evaluation"],
        "overhead": seconds["evaluation"] / (seconds["forward"] + seconds["corruption"]),
        **decoding,
        "environment": environment(options.device),
    }


def _plan(folder: Path, arch: str, models: int, images: int, options: Options) -> SuitePlan:
    """A suite of photographs for untrained models, with the crops read."""
    spec = photograph_spec(folder, SIZE, images)
    suite = CorruptionSuite(name="bench", source=spec, kind="corruption", image_size=SIZE)
    loaded = [ready(_untrained(arch, number, folder, options), options) for number in range(models)]
    plan = make_plan(CorruptionPasses(suite), open_source(spec), None, loaded, options)
    read_images([plan], options)
    return plan


def _untrained(arch: str, number: int, folder: Path, options: Options) -> Classifier:
    results = folder / f"results-{number}"
    model = untrained(arch, SIZE, options.device, results=results, seed=number)
    return replace(model, name=f"{arch} {number}")


def _sides(plan: SuitePlan, options: Options) -> dict[str, Callable[[str], object]]:
    passes, runs = plan.passes, plan.runs
    assert isinstance(passes, CorruptionPasses)
    crops = plan.images.crops(crop_for(plan.suite, runs[0].model))
    resident = list(_resident(plan, options))

    def evaluation(cell: str) -> None:
        for run in runs:
            # A run computes what it lacks: this way the same cell can be timed again.
            run.missing = [cell]
        passes.run(plan, runs, options, lambda count=1, note="": None)

    def forward(_: str) -> None:
        with torch.inference_mode(), options.autocast():
            for batch in resident:
                for run in runs:
                    run.model.module(batch)

    def corruption(cell: str) -> None:
        for _ in passes.corrupted(crops, plan.images.own_ids, [cell], options):
            pass

    return {"evaluation": evaluation, "forward": forward, "corruption": corruption}


def _resident(plan: SuitePlan, options: Options) -> Iterator[torch.Tensor]:
    """Normalised batches on the device."""
    model = plan.runs[0].model
    crops = plan.images.crops(crop_for(plan.suite, model))
    preprocessing = model.preprocessing
    for start in range(0, len(crops), options.batch_size):
        batch = crops.batch(slice(start, min(start + options.batch_size, len(crops))))
        ready_batch = normalize(
            batch.to(options.device) / 255, preprocessing.mean, preprocessing.std
        )
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        yield ready_batch.contiguous(memory_format=layout)


def _decoding(folder: Path) -> dict[str, float]:
    """How busy reading JPEG files keeps the cores: a clean pass over photographs of 400 px."""
    source = _jpegs(folder / "jpegs")
    with _processor_seconds() as used:
        start = time.perf_counter()
        load_images(source, np.arange(len(source)), [Preprocessing(image_size=SIZE)])
        wall = time.perf_counter() - start
    return {
        "decoding_images_per_second": len(source) / wall,
        # 1 is every core busy all the time: reading is then limited by the cores alone.
        "decoding_share_of_cores": used[0] / (wall * len(os.sched_getaffinity(0))),
    }


def _jpegs(folder: Path) -> FolderSource:
    from PIL import Image

    pictures = photographs(400, 20).permute(0, 2, 3, 1).numpy()
    for number in range(JPEGS):
        path = folder / "0" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures[number % len(pictures)]).save(path, quality=90)
    return FolderSource(folder, "indices")


@contextmanager
def _processor_seconds() -> Iterator[list[float]]:
    used = [0.0]
    start = time.process_time()
    yield used
    used[0] = time.process_time() - start
