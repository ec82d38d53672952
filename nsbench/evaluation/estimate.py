"""What an evaluation would take, from its plans and a short measurement on this machine."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from nsbench.evaluation.decoded import bytes_of
from nsbench.evaluation.forward import logits_of
from nsbench.evaluation.model_run import ModelRun
from nsbench.evaluation.options import Options
from nsbench.evaluation.plan import SuitePlan
from nsbench.evaluation.runner import fitting, make_plans
from nsbench.models import Classifier
from nsbench.suites.base import Suite
from nsbench.util.timing import synchronize

ROW_BYTES = 30
"""Bytes that a row of predictions takes on disk, about, once it is compressed."""

SAMPLE = 8
"""Images that are generated to time their generation."""

SECONDS = 0.2
"""Seconds that a measurement takes: a dry run of many models must stay quick."""


def estimate(
    models: Sequence[str | Classifier], suites: Sequence[str | Suite], options: Options
) -> list[dict[str, Any]]:
    """For each suite and model: missing cells, images, forward passes, seconds and bytes.

    Seconds are those of the forward passes and of generating images, which are counted for the
    first model only. Nothing is written. Raises NsbenchError as `evaluate` does.
    """
    forward: dict[str, float] = {}
    making: dict[str, float] = {}
    with fitting(options):
        return [
            _row(plan, run, options, forward, making)
            for plan in make_plans(models, suites, options)
            for run in plan.runs
        ]


def _row(
    plan: SuitePlan,
    run: ModelRun,
    options: Options,
    forward: dict[str, float],
    making: dict[str, float],
) -> dict[str, Any]:
    """forward, making: seconds an image, by model and by cell, each measured once."""
    # With the size of its input, which options may have changed.
    size = run.model.preprocessing.image_size
    passes, key = plan.work(run), f"{run.model.weights_hash} {size}"
    if passes and key not in forward:
        forward[key] = _forward_seconds(run, options)
    seconds = passes * plan.passes.forward_passes(run) * forward.get(key, 0.0)
    # Images are generated once for all models; the first one that needs them is charged with it.
    if run is next((candidate for candidate in plan.runs if candidate.missing), None):
        seconds += sum(
            plan.image_count(cell) * _making_seconds(plan, cell, options, making)
            for cell in run.missing
        )
    # Every view of an image is kept, but an image of several cells only once.
    decoded = sum(map(bytes_of, plan.passes.views(run))) if passes else 0
    needed = dict.fromkeys(map(plan.images_of, run.missing))
    return {
        "suite": plan.suite.name,
        "model": run.model.name,
        "cells": len(run.missing),
        "of_cells": len(plan.suite.cells()),
        "images": len(plan.images.indices),
        "forward_passes": passes,
        "seconds": seconds,
        "bytes": passes * ROW_BYTES,
        "decoded_bytes": decoded * sum(len(images.rows) for images in needed),
    }


def _forward_seconds(run: ModelRun, options: Options) -> float:
    size = run.model.preprocessing.image_size
    count = min(options.batch_size, 64)  # enough to measure, and quick on a CPU
    images = torch.zeros(count, 3, size, size, dtype=torch.uint8, device=options.device)
    return _seconds(lambda: logits_of(run, images, options), options.device) / count


def _making_seconds(
    plan: SuitePlan, cell: str, options: Options, making: dict[str, float]
) -> float:
    """Seconds to generate an image of a cell; 0 for images that are read."""
    suite = plan.suite
    # By kind, cell, size and generator: suites that share them share the measurement.
    made = "read" if plan.passes.reads_files else suite.generator_identity()
    key = f"{suite.kind} {cell} {suite.crop and suite.crop.image_size} {made}"
    if key not in making:
        make = plan.passes.maker(cell, options.device, SAMPLE)
        count = SAMPLE * suite.frame_count(cell)
        making[key] = _seconds(make, options.device) / count if make else 0.0
    return making[key]


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, the first not counted."""
    call()  # allocates memory, chooses kernels, and compiles with --compile
    synchronize(device)
    start, calls = time.perf_counter(), 0
    # Several short calls, whose mean is steadier, and at least one, however long it takes.
    while time.perf_counter() - start < SECONDS or not calls:
        call()
        synchronize(device)
        calls += 1
    return (time.perf_counter() - start) / calls
