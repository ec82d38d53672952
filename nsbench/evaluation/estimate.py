"""What an evaluation would take, from its plans and a short measurement on this machine."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from nsbench import perturbations
from nsbench.bench.attack import synchronize
from nsbench.corruptions import corrupt
from nsbench.evaluation.decoded import bytes_of
from nsbench.evaluation.model_run import Task
from nsbench.evaluation.options import Options
from nsbench.evaluation.plan import Plan, views
from nsbench.evaluation.released_files import parts
from nsbench.evaluation.runner import answer, cell_images, make_plans, work
from nsbench.models import Classifier
from nsbench.suites.load import AttackSuite, CorruptionSuite, PerturbationSuite, Suite

ROW_BYTES = 30
"""About what a row of predictions takes on disk."""

SAMPLE, SECONDS = 8, 0.2


def estimate(
    models: Sequence[str | Classifier], suites: Sequence[str | Suite], options: Options
) -> list[dict[str, Any]]:
    """For each suite and model: missing cells, images, forward passes, seconds and bytes.

    Seconds are those of the forward passes and of making images, which is counted for the first
    model only. Nothing is written. Raises NsbenchError as `evaluate` does.
    """
    rates: dict[str, float] = {}
    costs: dict[str, float] = {}
    return [
        _row(plan, task, options, rates, costs)
        for plan in make_plans(models, suites, options)
        for task in plan.tasks
    ]


def _row(
    plan: Plan, task: Task, options: Options, rates: dict[str, float], costs: dict[str, float]
) -> dict[str, Any]:
    passes = work(plan, task)
    if passes and task.model.weights not in rates:
        rates[task.model.weights] = _forward_seconds(task, options)
    seconds = passes * _passes_each(plan, task) * rates.get(task.model.weights, 0.0)
    if task is _first(plan):
        seconds += sum(
            cell_images(plan, cell) * _cost(plan, cell, options, costs) for cell in task.missing
        )
    decoded = sum(bytes_of(view) for view in views(plan, task)) if passes else 0
    shown = dict.fromkeys(map(plan.of, task.missing))
    return {
        "suite": plan.suite.name,
        "model": task.model.name,
        "cells": len(task.missing),
        "of_cells": len(plan.suite.cells()),
        "images": len(plan.images.indices),
        "forward_passes": passes,
        "seconds": seconds,
        "bytes": passes * ROW_BYTES,
        "decoded_bytes": decoded * sum(len(images.rows) for images in shown),
    }


def _first(plan: Plan) -> Task | None:
    return next((task for task in plan.tasks if task.missing), None)


def _passes_each(plan: Plan, task: Task) -> float:
    """Forward passes an attacked image takes; a gradient is worth three.

    One serves all epsilons of FGSM. PGD takes one a step, and foolbox looks at the result.
    """
    if not isinstance(plan.suite, AttackSuite) or not task.missing:
        return 1.0
    return 2.0 + 3 * plan.suite.steps if plan.suite.steps else 1 + 3 / len(task.missing)


def _forward_seconds(task: Task, options: Options) -> float:
    size = task.model.preprocessing.image_size
    count = min(options.batch_size, 64)
    images = torch.zeros(count, 3, size, size, dtype=torch.uint8, device=options.device)
    return _timed(lambda: answer(task, images, options), options.device) / count


def _cost(plan: Plan, cell: str, options: Options, costs: dict[str, float]) -> float:
    """Seconds to make an image of a cell; none for those that are read."""
    suite = plan.suite
    if cell == "clean" or plan.files or not isinstance(suite, CorruptionSuite | PerturbationSuite):
        return 0.0
    key = f"{suite.kind} {cell} {suite.image_size}"
    if key not in costs:
        size = suite.image_size
        images = torch.zeros(SAMPLE, 3, size, size, dtype=torch.uint8, device=options.device)
        ids = [str(row) for row in range(SAMPLE)]

        def made() -> object:
            if isinstance(suite, CorruptionSuite):
                name, severity = parts(cell)
                return corrupt(images, name, severity, ids=ids)
            return list(perturbations.frames(images, cell, ids=ids, size=size))

        frames = 1 if isinstance(suite, CorruptionSuite) else perturbations.frame_count(cell, size)
        costs[key] = _timed(made, options.device) / (SAMPLE * frames)
    return costs[key]


def _timed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, the first not counted."""
    call()
    synchronize(device)
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS or not calls:
        call()
        synchronize(device)
        calls += 1
    return (time.perf_counter() - start) / calls
