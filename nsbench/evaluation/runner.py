"""Models times cells to predictions: every image read once, every model served from it."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import interpolate

from nsbench.compiling import compiling
from nsbench.data.open import Source, SourceSpec, open_source
from nsbench.evaluation.attack import attacked
from nsbench.evaluation.batches import Corrupted, Perturbed, batches, clean_batches
from nsbench.evaluation.fgsm import frozen
from nsbench.evaluation.model_run import Images, Task
from nsbench.evaluation.options import Options, make_options
from nsbench.evaluation.plan import Plan, crop_size, make_plan, read_images, without_missing
from nsbench.models import Classifier, load_models
from nsbench.names import frame_count
from nsbench.suites.load import (
    AttackSuite,
    CorruptionSuite,
    PerturbationSuite,
    SizedSuite,
    Suite,
    epsilon_cell,
    load_suite,
)
from nsbench.suites.reference import load_reference
from nsbench.util import distributed
from nsbench.util.errors import NsbenchError
from nsbench.util.files import environment, read_json
from nsbench.util.progress import Advance, say, stage


def evaluate(
    models: Sequence[str | Classifier], suites: Sequence[str | Suite], **options: Any
) -> list[Path]:
    """Evaluate models on suites and return the folders that hold their predictions.

    models: run folders (all their generations), generations, `timm:NAME`, or loaded classifiers.
    suites: names of shipped suites, TOML files, or Suite objects. options: as `Options` has them,
    the device by name (by default the GPU if there is one), such as `device="cpu"`,
    `batch_size=64`, `precision="bfloat16"`, `cache="crops"`, `quick=True` or `limit=100`.

    What was finished before is not done again. Folders come suite by suite, in the order of the
    models. Under torchrun the processes share the images, and all return the same.

    Raises NsbenchError for bad input, before anything is computed wherever that can be known.
    """
    return run(models, suites, make_options(**options))


def run(
    models: Sequence[str | Classifier], suites: Sequence[str | Suite], options: Options
) -> list[Path]:
    """As `evaluate`, with options that are made already."""
    plans = make_plans(models, suites, options)
    read_images(plans, options)
    return [folder for plan in plans for folder in _run(plan, options)]


def make_plans(
    models: Sequence[str | Classifier], suites: Sequence[str | Suite], options: Options
) -> list[Plan]:
    """What `evaluate` would do. Raises NsbenchError as it does."""
    chosen = _distinct([load_suite(s) if isinstance(s, str) else s for s in suites])
    loaded = [ready(model, options) for model in load_models(models, options.device)]
    opened: dict[SourceSpec, Source] = {}
    plans = []
    for suite in map(without_missing, chosen):
        source, beside = open_source(suite.source, opened), getattr(suite, "clean", None)
        clean = open_source(beside, opened) if beside else None
        plans.append(make_plan(suite, source, clean, loaded, options))
    return plans


def ready(model: Classifier, options: Options) -> Classifier:
    """A model as the options want it. Raises NsbenchError where it cannot be."""
    if not model.differentiable and (options.compile or options.precision != "float32"):
        raise NsbenchError(
            f"{model.name} is no torch model: leave out --compile and --precision, or "
            "evaluate it by itself"
        )
    if not options.channels_last:
        model.module.to(memory_format=torch.contiguous_format)
        model.channels_last = False
    if options.compile:
        model.module.compile()
    return model


def _distinct(suites: list[Suite]) -> list[Suite]:
    """The suites without repeats. Raises NsbenchError for two of one name, or a bad reference."""
    chosen: dict[str, Suite] = {}
    for suite in suites:
        load_reference(suite)
        if chosen.setdefault(suite.name, suite) != suite:
            raise NsbenchError(f"two different suites are named {suite.name}: rename one of them")
    return list(chosen.values())


def _run(plan: Plan, options: Options) -> Iterator[Path]:
    suite, tasks = plan.suite, [task for task in plan.tasks if task.missing]
    start = time.monotonic()
    if not tasks:
        say(f"{suite.name}: nothing left to do, every cell is finished")
    else:
        total = sum(work(plan, task) for task in tasks)
        with stage(f"{suite.name}, {len(tasks)} of {len(plan.tasks)} models", total) as advance:
            _RUN[suite.kind](plan, tasks, options, advance)
    unreadable = _unreadable(plan)
    for task in plan.tasks:
        seconds = time.monotonic() - start if task in tasks else None
        if distributed.is_main():
            _finish(task, plan, options, seconds, unreadable)
        yield task.store.folder


def _unreadable(plan: Plan) -> dict[str, str]:
    """Images that could not be read, and why, of all processes."""
    own = {
        images.own_ids[row]: why
        for images in dict.fromkeys((plan.images, plan.everything))
        for row, why in images.unreadable.items()
    }
    return {name: why for found in distributed.gather(own) for name, why in found.items()}


def _finish(
    task: Task, plan: Plan, options: Options, seconds: float | None, unreadable: dict[str, str]
) -> None:
    """Write the manifest; where nothing was computed, renew only what may change without it."""
    written = task.store.folder / "suite.json"
    manifest: dict[str, Any] = {
        "suite": plan.suite.model_dump(exclude={"reference"}),
        "model": {"name": task.model.name, **task.model.info},
        "images": len(plan.images.indices),
        "unreadable": unreadable,
        "chosen": _chosen(options),
        "resized": _resized(plan.suite, task.model),
        "processes": distributed.size(),
        "environment": environment(str(options.device)),
        "seconds": round(seconds, 1) if seconds else None,
    }
    if seconds is None and written.is_file():
        manifest = read_json(written)
    reference = load_reference(plan.suite)
    now = {"reference": reference, "evaluated": datetime.now(UTC).isoformat()}
    task.store.finish({**manifest, **now})


def _chosen(options: Options) -> str | None:
    """How the images were chosen, None for all of the suite's."""
    quick = "--quick" if options.quick else ""
    limit = f"--limit {options.limit}" if options.limit else ""
    return " ".join(filter(None, [quick, limit])) or None


def _resized(suite: Suite, model: Classifier) -> str | None:
    """How the suite's crop becomes the model's input, None where it is one already."""
    size = model.preprocessing.image_size
    if not isinstance(suite, SizedSuite) or suite.image_size == size:
        return None
    return f"{suite.image_size} to {size} px, bicubic, antialiased"


def work(plan: Plan, task: Task) -> int:
    """How many images a task's missing cells send through its model in this process."""
    return sum(cell_images(plan, cell) for cell in task.missing)


def cell_images(plan: Plan, cell: str) -> int:
    """How many images a cell sends through a model in this process."""
    suite = plan.suite
    count = len(plan.everything.rows if cell == "clean" else plan.images.rows)
    if not isinstance(suite, PerturbationSuite):
        return count
    return count * frame_count(cell, suite.image_size)


def answer(task: Task, images: torch.Tensor, options: Options) -> torch.Tensor:
    """Logits of uint8 images, resized where the model's input size is another, masked."""
    return options.memory.in_parts(lambda some: _logits(task, images[some], options), len(images))


def _logits(task: Task, images: torch.Tensor, options: Options) -> torch.Tensor:
    size = task.model.preprocessing.image_size
    with torch.inference_mode(), options.autocast(), compiling():
        pixels = images / 255
        if pixels.shape[-1] != size:
            pixels = interpolate(pixels, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
        return _masked(task)(pixels)


def _run_accuracy(plan: Plan, tasks: list[Task], options: Options, advance: Advance) -> None:
    for cell in plan.suite.cells():
        for task in tasks:
            if cell in task.missing:
                _run_clean(cell, plan.of(cell), plan.suite, task, options, advance)


def _run_clean(
    cell: str, images: Images, suite: Suite, task: Task, options: Options, advance: Advance
) -> None:
    for batch in clean_batches(images.crops(crop_size(suite, task.model)), options):
        task.add(cell, answer(task, batch.images, options))
        advance(len(batch.images))
    task.finish(cell, images)


def run_corruption(plan: Plan, tasks: list[Task], options: Options, advance: Advance) -> None:
    """Do the missing cells of a corruption suite: each batch is made once for all models."""
    suite, images = plan.suite, plan.images
    assert isinstance(suite, CorruptionSuite)
    for task in tasks:
        if "clean" in task.missing:
            _run_clean("clean", images, suite, task, options, advance)
    cells = [cell for cell in suite.cells() if any(cell in task.missing for task in tasks)]
    if not cells:
        return
    crops = None if plan.files else images.crops(crop_size(suite, tasks[0].model))
    corrupted = Corrupted(suite, crops, images.own_ids, options, plan.files)
    stream, each = corrupted.batches(cells), len(batches(len(images.rows), options.batch_size))
    for cell in cells:
        todo = [task for task in tasks if cell in task.missing]
        for batch in islice(stream, each):
            for task in todo:
                task.add(cell, answer(task, batch.images, options))
                advance(len(batch.images))
        for task in todo:
            task.finish(cell, images)


def _run_perturbation(plan: Plan, tasks: list[Task], options: Options, advance: Advance) -> None:
    suite, images = plan.suite, plan.images
    assert isinstance(suite, PerturbationSuite)
    wholes = None if plan.files else images.wholes(suite.short_side)
    perturbed = Perturbed(suite, wholes, images.own_ids, options, plan.files)
    for cell in suite.cells():
        todo = [task for task in tasks if cell in task.missing]
        if not todo:
            continue
        for frames in perturbed.clips(cell):
            for frame in frames:
                for task in todo:
                    task.add(cell, answer(task, frame, options))
                    advance(len(frame))
            for task in todo:
                task.join_clips(cell, frame_count(cell, suite.image_size))
        for task in todo:
            task.finish(cell, images)


def _run_attack(plan: Plan, tasks: list[Task], options: Options, advance: Advance) -> None:
    suite, images = plan.suite, plan.images
    assert isinstance(suite, AttackSuite)
    for task in tasks:
        epsilons = [e for e in suite.epsilons if epsilon_cell(e) in task.missing]
        labels = torch.from_numpy(task.labels(images)[images.rows]).to(options.device)
        for batch in clean_batches(images.crops(crop_size(suite, task.model)), options):
            with frozen(task.model.module):
                curve = attacked(
                    suite, _masked(task), batch.images, labels[batch.rows], epsilons, options
                )
            for epsilon, answer in zip(epsilons, curve.unbind(1), strict=True):
                task.add(epsilon_cell(epsilon), answer)
                advance(len(batch.images))
        for epsilon in epsilons:
            task.finish(epsilon_cell(epsilon), images)


def _masked(task: Task) -> Callable[[torch.Tensor], torch.Tensor]:
    columns = task.columns
    if columns is None:
        return task.model.logits
    return lambda images: task.model.logits(images)[:, columns]


_RUN: dict[str, Callable[[Plan, list[Task], Options, Advance], None]] = {
    "accuracy": _run_accuracy,
    "detection": _run_accuracy,
    "corruption": run_corruption,
    "perturbation": _run_perturbation,
    "attack": _run_attack,
}
