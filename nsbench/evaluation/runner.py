"""Models times cells to predictions: every image read once, every model served from it."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from nsbench.attacks import fgsm_logits
from nsbench.data.sources import Source, SourceSpec, open_source
from nsbench.errors import NsbenchError
from nsbench.evaluation.cells import Corrupted, Perturbed, clean_batches
from nsbench.evaluation.plan import (
    Images,
    Plan,
    Task,
    crop_size,
    labels_for,
    make_plan,
    read_images,
)
from nsbench.evaluation.predictions import TOP
from nsbench.models import Classifier, load_models, resolve_device
from nsbench.names import frame_count
from nsbench.progress import Advance, say, stage
from nsbench.run import environment, read_json
from nsbench.suite import (
    AttackSuite,
    CorruptionSuite,
    PerturbationSuite,
    SizedSuite,
    Suite,
    epsilon_cell,
    load_reference,
    load_suite,
)

BATCH = 250


def evaluate(
    models: Sequence[str],
    suites: Sequence[str | Suite],
    *,
    device: str | None = None,
    batch_size: int = BATCH,
) -> list[Path]:
    """Evaluate models on suites and return the folders that hold their predictions.

    models: run folders (all their generations), generations, or `timm:NAME`. suites: names of
    shipped suites, TOML files, or Suite objects. What was finished before is not
    done again. Folders come suite by suite, in the order of the models.
    Raises NsbenchError for bad input, before anything is computed wherever that can be known.
    """
    target = resolve_device(device)
    chosen = _distinct([load_suite(s) if isinstance(s, str) else s for s in suites])
    loaded = load_models(models, target)
    sources: dict[SourceSpec, Source] = {}
    plans = []
    for suite in chosen:
        if suite.source not in sources:
            sources[suite.source] = open_source(suite.source)
        plans.append(make_plan(suite, sources[suite.source], loaded, target))
    read_images(plans)
    return [folder for plan in plans for folder in _run(plan, target, batch_size)]


def _distinct(suites: list[Suite]) -> list[Suite]:
    """The suites without repeats. Raises NsbenchError for two of one name, or a bad reference."""
    chosen: dict[str, Suite] = {}
    for suite in suites:
        load_reference(suite)
        if chosen.setdefault(suite.name, suite) != suite:
            raise NsbenchError(f"two different suites are named {suite.name}: rename one of them")
    return list(chosen.values())


def _run(plan: Plan, device: torch.device, batch_size: int) -> Iterator[Path]:
    suite, tasks = plan.suite, [task for task in plan.tasks if task.missing]
    start = time.monotonic()
    if not tasks:
        say(f"{suite.name}: nothing left to do, every cell is finished")
    else:
        total = sum(_work(plan, task) for task in tasks)
        with stage(f"{suite.name}, {len(tasks)} of {len(plan.tasks)} models", total) as advance:
            _RUN[suite.kind](plan, tasks, device, batch_size, advance)
    for task in plan.tasks:
        _finish(task, plan, device, time.monotonic() - start if task in tasks else None)
        yield task.store.folder


def _finish(task: Task, plan: Plan, device: torch.device, seconds: float | None) -> None:
    """Write the manifest; where nothing was computed, renew only what may change without it."""
    written = task.store.folder / "suite.json"
    manifest: dict[str, Any] = {
        "suite": plan.suite.model_dump(exclude={"reference"}),
        "model": {"name": task.model.name, **task.model.info},
        "images": len(plan.images.indices),
        "resized": _resized(plan.suite, task.model),
        "environment": environment(str(device)),
        "seconds": round(seconds, 1) if seconds else None,
    }
    if seconds is None and written.is_file():
        manifest = read_json(written)
    reference = load_reference(plan.suite)
    now = {"reference": reference, "evaluated": datetime.now(UTC).isoformat()}
    task.store.finish({**manifest, **now})


def _resized(suite: Suite, model: Classifier) -> str | None:
    """How the suite's crop becomes the model's input, None where it is one already."""
    size = model.preprocessing.image_size
    if not isinstance(suite, SizedSuite) or suite.image_size == size:
        return None
    return f"{suite.image_size} to {size} px, bicubic, antialiased"


def _work(plan: Plan, task: Task) -> int:
    count, suite = len(plan.images.indices), plan.suite
    if not isinstance(suite, PerturbationSuite):
        return count * len(task.missing)
    return count * sum(frame_count(cell, suite.image_size) for cell in task.missing)


def _forward(task: Task, images: torch.Tensor) -> torch.Tensor:
    """Logits of float images in [0, 1], resized where the model's input size is another, masked."""
    size = task.model.preprocessing.image_size
    with torch.inference_mode():
        if images.shape[-1] != size:
            images = interpolate(images, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
        return _masked(task)(images)


def _pixels(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    return images.to(device, non_blocking=True) / 255


def _run_accuracy(
    plan: Plan, tasks: list[Task], device: torch.device, batch_size: int, advance: Advance
) -> None:
    for cell in plan.suite.cells():
        images = plan.everything if cell == "clean" else plan.images
        for task in tasks:
            if cell in task.missing:
                _run_clean(cell, images, plan.suite, task, device, batch_size, advance)


def _run_clean(
    cell: str,
    images: Images,
    suite: Suite,
    task: Task,
    device: torch.device,
    batch_size: int,
    advance: Advance,
) -> None:
    crops = images.crops(crop_size(suite, task.model))
    for batch in clean_batches(crops, batch_size):
        task.add(cell, _forward(task, _pixels(batch.images, device)))
        advance(len(batch.images))
    task.finish(cell, images.ids, labels_for(suite, images, task.model))


def _run_corruption(
    plan: Plan, tasks: list[Task], device: torch.device, batch_size: int, advance: Advance
) -> None:
    suite = plan.suite
    assert isinstance(suite, CorruptionSuite)
    for task in tasks:
        if "clean" in task.missing:
            _run_clean("clean", plan.images, suite, task, device, batch_size, advance)
    cells = [cell for cell in suite.cells() if any(cell in task.missing for task in tasks)]
    if not cells:
        return
    ids = plan.images.ids
    crops = np.empty(0, np.uint8)
    if not plan.files:
        crops = plan.images.crops(crop_size(suite, tasks[0].model))
    corrupted = Corrupted(suite, crops, ids, device, plan.files)
    for cell, batch in corrupted.batches(cells, batch_size):
        pixels = _pixels(batch.images, device)
        for task in [task for task in tasks if cell in task.missing]:
            task.add(cell, _forward(task, pixels))
            advance(len(batch.images))
            if batch.rows.stop == len(ids):
                task.finish(cell, ids, task.labels)


def _run_perturbation(
    plan: Plan, tasks: list[Task], device: torch.device, batch_size: int, advance: Advance
) -> None:
    suite, ids = plan.suite, plan.images.ids
    assert isinstance(suite, PerturbationSuite)
    side = suite.resize_size or suite.image_size
    wholes = None if plan.files else plan.images.wholes(side)
    perturbed = Perturbed(suite, wholes, ids, device, plan.files)
    for cell in suite.cells():
        todo = [task for task in tasks if cell in task.missing]
        frames_each = frame_count(cell, suite.image_size)
        if not todo:
            continue
        for frames in perturbed.clips(cell, batch_size):
            for frame in frames:
                pixels = _pixels(frame, device)
                for task in todo:
                    task.add(cell, _forward(task, pixels))
                    advance(len(frame))
        for task in todo:
            _order_frames(task, cell, frames_each)
            task.finish(cell, _repeat(ids, frames_each), np.repeat(task.labels, frames_each))


def _repeat(ids: list[str], times: int) -> list[str]:
    return [name for name in ids for _ in range(times)]


def _order_frames(task: Task, cell: str, frame_count: int) -> None:
    """From frame by frame within each batch of images, to clip by clip."""
    parts = task.rows[cell]
    ordered = []
    for first in range(0, len(parts), frame_count):
        top, confidence = zip(*parts[first : first + frame_count], strict=True)
        ordered.append((np.stack(top, 1).reshape(-1, TOP), np.stack(confidence, 1).reshape(-1)))
    task.rows[cell] = ordered


def _run_attack(
    plan: Plan, tasks: list[Task], device: torch.device, batch_size: int, advance: Advance
) -> None:
    suite = plan.suite
    assert isinstance(suite, AttackSuite)
    for task in tasks:
        epsilons = [e for e in suite.epsilons if epsilon_cell(e) in task.missing]
        crops = plan.images.crops(crop_size(suite, task.model))
        logits = _masked(task)
        for batch in clean_batches(crops, batch_size):
            labels = torch.from_numpy(task.labels[batch.rows]).to(device)
            scaled = [epsilon / 255 for epsilon in epsilons]
            curve = fgsm_logits(logits, _pixels(batch.images, device), labels, scaled)
            for epsilon, answer in zip(epsilons, curve, strict=True):
                task.add(epsilon_cell(epsilon), answer)
                advance(len(batch.images))
        for epsilon in epsilons:
            task.finish(epsilon_cell(epsilon), plan.images.ids, task.labels)


def _masked(task: Task) -> Callable[[torch.Tensor], torch.Tensor]:
    columns = task.columns
    if columns is None:
        return task.model.logits
    return lambda images: task.model.logits(images)[:, columns]


_RUN: dict[str, Callable[[Plan, list[Task], torch.device, int, Advance], Any]] = {
    "accuracy": _run_accuracy,
    "corruption": _run_corruption,
    "perturbation": _run_perturbation,
    "attack": _run_attack,
}
