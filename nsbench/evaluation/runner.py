"""Models times cells to predictions: every image read once, every model served from it."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from nsbench import perturbations
from nsbench.attacks import fgsm_logits
from nsbench.corruptions import package
from nsbench.data.sources import Source, SourceSpec, open_source, select_per_class
from nsbench.data.transforms import Preprocessing
from nsbench.errors import NsbenchError
from nsbench.evaluation.cells import (
    Crops,
    clean_batches,
    corrupted_batches,
    load_crops,
    perturbed_batches,
)
from nsbench.evaluation.predictions import TOP, Predictions, Store
from nsbench.models import Classifier, class_indices, load_models, resolve_device
from nsbench.names import frame_count
from nsbench.progress import Advance, say, stage
from nsbench.run import environment, read_json, sha256
from nsbench.suite import (
    AccuracySuite,
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


@dataclass
class Task:
    """One model on one suite: its store, its view of the classes, and the cells still missing."""

    model: Classifier
    store: Store
    labels: NDArray[np.int64]
    columns: torch.Tensor | None
    missing: list[str]
    rows: dict[str, list[tuple[NDArray[np.int32], NDArray[np.float32]]]] = field(
        default_factory=dict
    )

    def add(self, cell: str, logits: torch.Tensor) -> None:
        """Keep the predictions of a batch. Raises NsbenchError for logits that are no numbers."""
        if self.columns is not None:
            logits = logits[:, self.columns]
        confidence, top = logits.float().softmax(1).topk(min(TOP, logits.shape[1]))
        if not torch.isfinite(confidence).all():
            raise NsbenchError(f"{self.model.name} answers with nan in the cell {cell}")
        ranks = torch.nn.functional.pad(top, (0, TOP - top.shape[1]), value=-1)
        found = (ranks.cpu().numpy().astype(np.int32), confidence[:, 0].cpu().numpy())
        self.rows.setdefault(cell, []).append(found)

    def finish(self, cell: str, ids: list[str], labels: NDArray[np.int64]) -> None:
        """Write the cell's rows and forget them."""
        top, confidence = zip(*self.rows.pop(cell), strict=True)
        truth = labels.astype(np.int32)
        rows = Predictions(ids, truth, np.concatenate(top), np.concatenate(confidence))
        self.store.write(cell, rows)
        self.missing.remove(cell)


@dataclass
class Images:
    """The image list of a suite, and its crops, read when first asked for."""

    source: Source
    indices: NDArray[np.int64]
    crops: dict[str, Crops] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """Ids in order."""
        return [self.source.ids[index] for index in self.indices]

    @property
    def labels(self) -> NDArray[np.int64]:
        """The source's labels in order."""
        assert self.source.labels is not None
        return self.source.labels[self.indices]


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
    named = [load_suite(suite) if isinstance(suite, str) else suite for suite in suites]
    chosen = list({suite.name: suite for suite in named}.values())
    for suite in chosen:
        load_reference(suite)
    loaded = load_models(models, target)
    sources: dict[SourceSpec, Source] = {}
    plans = []
    for suite in chosen:
        if suite.source not in sources:
            sources[suite.source] = open_source(suite.source)
        plans.append(_plan(suite, sources[suite.source], loaded))
    _read_all(plans)
    return [folder for plan in plans for folder in _run(plan, target, batch_size)]


@dataclass
class Plan:
    """A suite ready to run: its images, those of the cell `clean` if others, and its tasks."""

    suite: Suite
    images: Images
    tasks: list[Task]
    everything: Images


def _plan(suite: Suite, source: Source, models: list[Classifier]) -> Plan:
    if source.labels is None:
        raise NsbenchError(f"{suite.name} needs labels, but {source.name} has none")
    indices = np.arange(len(source))
    if suite.images_per_class:
        indices = select_per_class(source, suite.images_per_class, suite.name)
    everything = Images(source, indices)
    images = everything
    if isinstance(suite, AccuracySuite) and suite.misclassified:
        images = Images(source, _misclassified(suite, everything))
    tasks = [_task(suite, images, model) for model in models]
    return Plan(suite, images, tasks, everything)


def _misclassified(suite: AccuracySuite, images: Images) -> NDArray[np.int64]:
    reference = load_reference(suite)
    assert reference is not None
    wanted = set(reference["misclassified"])
    unknown = wanted - set(images.ids)
    if unknown:
        raise NsbenchError(
            f"{suite.reference} names the image {min(unknown)}, which {images.source.name} lacks"
        )
    keep = [index for index, name in zip(images.indices, images.ids, strict=True) if name in wanted]
    return np.array(keep, dtype=np.int64)


def _task(suite: Suite, images: Images, model: Classifier) -> Task:
    classes = class_indices(model, images.source)
    labels = images.labels if suite.mask else classes[images.labels]
    columns = torch.from_numpy(classes) if suite.mask else None
    listed = "\n".join(f"{name}\t{label}" for name, label in zip(images.ids, labels, strict=True))
    identity = {
        "protocol": suite.protocol(),
        "images": sha256(listed.encode()),
        "weights": model.weights,
        "preprocessing": model.preprocessing.model_dump(),
        "generator": _generator(suite),
    }
    store = Store(model.results, suite.name, identity)
    missing = [cell for cell in suite.cells() if not store.has(cell)]
    return Task(model, store, labels, columns, missing)


def _generator(suite: Suite) -> str | None:
    if isinstance(suite, CorruptionSuite):
        return package.version()
    if isinstance(suite, PerturbationSuite):
        return f"nsbench perturbations {perturbations.VERSION}"
    return None


def _size(suite: Suite, model: Classifier) -> Preprocessing:
    """The crop a model's images of a suite are cut to; mean and std do not matter to it."""
    if isinstance(suite, SizedSuite):
        crop_pct = suite.image_size / (suite.resize_size or suite.image_size)
        return Preprocessing(image_size=suite.image_size, crop_pct=crop_pct)
    return model.preprocessing.model_copy(update={"mean": [0.0] * 3, "std": [1.0] * 3})


def _read_all(plans: list[Plan]) -> None:
    """Read every image that is needed once, at all the sizes that any suite and model needs."""
    needs: dict[int, tuple[Source, set[int], dict[str, Preprocessing]]] = {}
    for plan in plans:
        for task in plan.tasks:
            if task.missing:
                size = _size(plan.suite, task.model)
                entry = needs.setdefault(id(plan.images.source), (plan.images.source, set(), {}))
                chosen = plan.everything if "clean" in task.missing else plan.images
                entry[1].update(chosen.indices.tolist())
                entry[2][str(size)] = size
    for source, wanted, sizes in needs.values():
        indices = np.array(sorted(wanted))
        arrays = load_crops(source, indices, list(sizes.values()))
        for plan in plans:
            if plan.images.source is source:
                for images in (plan.images, plan.everything):
                    _share(images, indices, dict(zip(sizes, arrays, strict=True)))


def _share(images: Images, indices: NDArray[np.int64], arrays: dict[str, Crops]) -> None:
    rows = np.searchsorted(indices, images.indices)
    whole = len(rows) == len(indices)
    if rows.max(initial=0) < len(indices) and (indices[rows] == images.indices).all():
        images.crops = {key: array if whole else array[rows] for key, array in arrays.items()}


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
        "environment": environment(str(device)),
        "seconds": round(seconds, 1) if seconds else None,
    }
    if seconds is None and written.is_file():
        manifest = read_json(written)
    reference = load_reference(plan.suite)
    now = {"reference": reference, "evaluated": datetime.now(UTC).isoformat()}
    task.store.finish({**manifest, **now})


def _work(plan: Plan, task: Task) -> int:
    frames = [
        frame_count(cell) if isinstance(plan.suite, PerturbationSuite) else 1
        for cell in task.missing
    ]
    return sum(frames) * len(plan.images.indices)


def _forward(task: Task, images: torch.Tensor) -> torch.Tensor:
    """Logits of float images in [0, 1], resized where the model's input size is another."""
    size = task.model.preprocessing.image_size
    with torch.inference_mode():
        if images.shape[-1] != size:
            images = interpolate(images, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
        return task.model.logits(images)


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
    crops = images.crops[str(_size(suite, task.model))]
    for batch in clean_batches(crops, batch_size):
        task.add(cell, _forward(task, _pixels(batch.images, device)))
        advance(len(batch.images))
    task.finish(cell, images.ids, _labels(task, images, suite))


def _labels(task: Task, images: Images, suite: Suite) -> NDArray[np.int64]:
    if suite.mask:
        return images.labels
    return class_indices(task.model, images.source)[images.labels]


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
    crops, ids = plan.images.crops[str(_size(suite, tasks[0].model))], plan.images.ids
    for cell, batch in corrupted_batches(suite, crops, ids, cells, batch_size):
        pixels = _pixels(batch.images, device)
        for task in [task for task in tasks if cell in task.missing]:
            task.add(cell, _forward(task, pixels))
            advance(len(batch.images))
            if batch.rows.stop == len(crops):
                task.finish(cell, ids, task.labels)


def _run_perturbation(
    plan: Plan, tasks: list[Task], device: torch.device, batch_size: int, advance: Advance
) -> None:
    suite = plan.suite
    crops, ids = plan.images.crops[str(_size(suite, tasks[0].model))], plan.images.ids
    for cell in suite.cells():
        todo = [task for task in tasks if cell in task.missing]
        frames_each = frame_count(cell)
        if not todo:
            continue
        for _, frames in perturbed_batches(cell, crops, ids, suite.seed, batch_size):
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
        crops = plan.images.crops[str(_size(suite, task.model))]
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
    task.columns = None  # already applied where the gradient needs it
    return lambda images: task.model.logits(images)[:, columns]


_RUN: dict[str, Callable[[Plan, list[Task], torch.device, int, Advance], Any]] = {
    "accuracy": _run_accuracy,
    "corruption": _run_corruption,
    "perturbation": _run_perturbation,
    "attack": _run_attack,
}
