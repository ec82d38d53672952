"""Models times cells to predictions: every image read once, every model served from it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from nsbench.data.open import open_source
from nsbench.data.spec import Source, SourceSpec
from nsbench.evaluation.compiled import WholeBatches
from nsbench.evaluation.model_run import ModelRun
from nsbench.evaluation.options import Options
from nsbench.evaluation.plan import SuitePlan, make_plan, without_missing
from nsbench.evaluation.reading import read_images
from nsbench.evaluation.register import passes_of
from nsbench.models import Classifier, load_models
from nsbench.predictions import results_of
from nsbench.suites.base import Suite
from nsbench.suites.load import load_suite
from nsbench.suites.reference import reference_of
from nsbench.util import distributed
from nsbench.util.config import first_difference
from nsbench.util.device import enough_memory, environment, float32_products
from nsbench.util.errors import NsbenchError
from nsbench.util.locks import only_writer_of
from nsbench.util.progress import say, stage
from nsbench.util.repeat import is_done


def evaluate_with(
    models: Sequence[str | Classifier], suites: Sequence[str | Suite], options: Options
) -> list[Path]:
    """Evaluate models on suites and return the folders that hold their predictions.

    models, suites: as `nsbench.evaluate` takes them, but no data sets. What was finished before is
    not done again. Folders come suite by suite, in the order of the models. Under torchrun the
    processes share the images, and all return the same.

    Raises NsbenchError for bad input, before anything is computed wherever that can be known.
    """
    with float32_products(options.precision), fitting(options):
        # Every suite is planned before any image is read, so that mistakes show in seconds.
        plans = make_plans(models, suites, options)
        # Where nothing is missing nothing is written but the time, and looking needs no lock.
        written = [run.model.results for plan in plans for run in plan.runs if run.missing]
        with only_writer_of(written if distributed.is_main() else []):
            if options.redo:
                _forget(plans)
            read_images(plans, options)
            return [folder for plan in plans for folder in _run(plan, options)]


def _forget(plans: list[SuitePlan]) -> None:
    """Delete the cells that are made again, of all suites, before any of them is."""
    if distributed.is_main():
        for run in (run for plan in plans for run in plan.runs):
            run.store.forget()
    distributed.barrier()
    # What comes from now on is kept if the command is stopped, and repeated without the option.
    is_done("--redo")


def fitting(options: Options) -> AbstractContextManager[None]:
    """A context for all that is not halved where memory is short. Raises NsbenchError there."""
    way_out = f"lower --batch-size (now {options.batch_size}), free some, or use --device cpu"
    return enough_memory("an evaluation of this batch size", way_out)


def make_plans(
    models: Sequence[str | Classifier], suites: Sequence[str | Suite], options: Options
) -> list[SuitePlan]:
    """What `evaluate_with` would do. Raises NsbenchError as it does."""
    chosen = _distinct([load_suite(s) if isinstance(s, str) else s for s in suites])
    loaded = [ready(model, options) for model in load_models(models, options.device)]
    # Suites of one source share it, and with it every decoded image.
    opened: dict[SourceSpec, Source] = {}
    plans = []
    for suite in map(without_missing, chosen):
        source, clean = open_source(suite.source, opened), suite.clean_source
        clean_source = open_source(clean, opened) if clean else None
        plans.append(make_plan(passes_of(suite), source, clean_source, loaded, options))
    return plans


def ready(model: Classifier, options: Options) -> Classifier:
    """A model prepared as the options say. Raises NsbenchError where it cannot be."""
    if not model.differentiable and (options.compile or options.precision != "float32"):
        raise NsbenchError(
            f"{model.name} is not a torch model: leave out --compile and --precision, or "
            "evaluate it by itself"
        )
    # Models are loaded in channels-last order.
    if not options.channels_last:
        model.module.to(memory_format=torch.contiguous_format)
        model.channels_last = False
    if options.compile:
        return replace(model, module=WholeBatches(model.module))
    return model


def _distinct(suites: list[Suite]) -> list[Suite]:
    """The suites without repeats. Raises NsbenchError for two of one name, or a bad reference."""
    # Names are the folders of results, which two definitions would take from each other; on many
    # disks names that differ in case only are one folder.
    chosen: dict[str, Suite] = {}
    for suite in suites:
        reference_of(suite)
        if (other := chosen.setdefault(suite.name.lower(), suite)) != suite:
            both = suite.name if other.name == suite.name else f"{other.name} and {suite.name}"
            raise NsbenchError(f"two different suites are named {both}: rename one of them")
    return list(chosen.values())


def _run(plan: SuitePlan, options: Options) -> Iterator[Path]:
    suite, unfinished = plan.suite, [run for run in plan.runs if run.missing]
    start = time.monotonic()
    if not unfinished:
        say(f"{suite.name}: nothing left to do, every cell is finished")
    else:
        for run in unfinished if distributed.is_main() else []:
            _say_what_differs(run, plan, options)
            for cell in run.missing:
                run.store.make_room(cell)
        total = sum(map(plan.work, unfinished))
        title = f"{suite.name}, {len(unfinished)} of {len(plan.runs)} models"
        with stage(title, total) as advance:
            plan.passes.run(plan, unfinished, options, advance)
    # For finished runs too: a report wants the folder of every model, and the reference may be new.
    for run in plan.runs:
        seconds = time.monotonic() - start if run in unfinished else None
        if distributed.is_main():
            _write_manifest(run, plan, options, seconds)
        yield run.store.folder


def _say_what_differs(run: ModelRun, plan: SuitePlan, options: Options) -> None:
    """Of a model that was evaluated before, tell why that does not do."""
    suite = plan.suite
    if len(run.missing) < len(suite.cells()):
        return
    try:
        earlier = results_of(run.model.results, run.model.weights_hash).get(suite.name)
    except NsbenchError as error:
        say(str(error))
        return
    if not earlier:
        return
    # The one that was evaluated last, whether of all images or of some.
    last = max(earlier, key=lambda result: str(result.manifest["evaluated"]))
    changed = first_difference(last.manifest["identity"], run.store.identity)
    now, before = _chosen(plan, options), last.manifest["chosen"]
    if now != before:  # plainer than the hashes of the images
        changed = f"{now or 'all images'}, not {before or 'all images'}"
    if changed:  # or else its cells are damaged, which is said
        say(f"{suite.name} was evaluated before, but not like this ({changed})")


def _write_manifest(
    run: ModelRun, plan: SuitePlan, options: Options, seconds: float | None
) -> None:
    """Write suite.json; where nothing was computed, renew only what may change without it."""
    cells = plan.suite.cells()
    manifest: dict[str, Any] = {
        "suite": plan.suite.model_dump(exclude={"reference"}),
        "model": {"name": run.model.name, **run.model.info},
        "images": len(plan.images.indices),
        # Of the cells, which may have been made by several commands.
        "unreadable": {k: v for cell in cells for k, v in run.store.unreadable(cell).items()},
        "chosen": _chosen(plan, options),
        "resized": _resized(plan.suite, run.model),
        # Beside published values only results on the released files themselves may stand.
        "released_files": plan.passes.reads_released,
        "processes": distributed.size(),
        "environment": environment(options.device),
        # For all models of the suite together, since they share the images.
        "seconds": round(seconds, 1) if seconds else None,
    }
    # The environment and the time are those of the computation, not of a repeated command.
    reference = reference_of(plan.suite)
    written = run.store.manifest()
    if seconds is None and written:
        # But for the name: beside other models, the model may have to be told by another one.
        manifest = {**written, "model": manifest["model"]}
    now = {"reference": reference, "evaluated": datetime.now(UTC).isoformat()}
    try:
        run.store.finish({**manifest, **now})
    except NsbenchError:
        # A finished evaluation can be looked at also where nobody can write.
        if seconds is not None or not written or written["reference"] != reference:
            raise
        say(f"{run.store.folder} cannot be written to, so its results are only shown")


def _chosen(plan: SuitePlan, options: Options) -> str | None:
    """The options by which images were chosen, None if all of the suite's are evaluated."""
    quick = "--quick" if options.quick else ""
    limit = f"--limit {options.limit}" if options.limit else ""
    return None if plan.whole else " ".join(filter(None, [quick, limit]))


def _resized(suite: Suite, model: Classifier) -> str | None:
    """How the suite's crop becomes the model's input, None if it already has the right size."""
    # Recorded, as results at other sizes than the set's own are made by different rules elsewhere.
    size = model.preprocessing.image_size
    if suite.crop is None or suite.crop.image_size == size:
        return None
    return f"{suite.crop.image_size} to {size} px, bicubic, antialiased"
