"""The outer loop: teacher, pseudo-labels, student, and the student becomes the teacher."""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.layers import convert_sync_batchnorm
from torch import nn

from nsbench.models import Classifier, load_checkpoint, save
from nsbench.models.ensemble import Ensemble
from nsbench.pseudo_labels.pipeline import PseudoLabeledSet, pseudo_label
from nsbench.pseudo_labels.store import store_identity, store_manifest
from nsbench.pseudo_labels.true_labels import TrueLabels
from nsbench.recipes.generation import Generation
from nsbench.recipes.recipe import Recipe
from nsbench.run_folder import FINE_TUNED, HOMES, generation_folders, read_info
from nsbench.training.batches import BatchPlan, Labeled, ShuffledSampler
from nsbench.training.checks import (
    check,
    check_steps,
    check_unlabeled,
    claim_run_folder,
)
from nsbench.training.cost import steps_fit
from nsbench.training.data import TrainingData, open_data, validator
from nsbench.training.fine_tune import fine_tuning, freeze
from nsbench.training.fit import TrainingJob, fit
from nsbench.training.lineage import (
    check_begun,
    generation_record,
    identity,
    write_provenance,
)
from nsbench.training.logs import TrainingLog
from nsbench.training.resolve import Resolved, base_of, shares_teacher, write_variant
from nsbench.training.row_noise import build_student
from nsbench.training.run import Run, labeling_job, true_labels_of
from nsbench.training.seeds import Plan, record_seeds, refuse_others, resolve_runs, train_seeds
from nsbench.training.state import TrainingState
from nsbench.training.step import StepSettings
from nsbench.util import distributed
from nsbench.util.arguments import checked
from nsbench.util.config import as_settings, first_difference
from nsbench.util.device import environment, float32_products, resolve_device, to_device
from nsbench.util.errors import NsbenchError
from nsbench.util.locks import only_writer_of
from nsbench.util.progress import say
from nsbench.util.randomness import stable_hash


@checked
def train(
    recipe: str | Recipe | None = None,
    out: str | Path | None = None,
    *,
    settings: Mapping[str, Any] | Sequence[str] | None = None,
    device: str | torch.device | None = None,
    resume: str | Path | None = None,
    variants: Sequence[str] | None = None,
    controls: Sequence[str] | None = None,
    seeds: int | None = None,
) -> Path:
    """Train every generation of a recipe and return the run folder, by default runs/NAME.

    recipe: a TOML file, the name of a shipped recipe, or a Recipe. settings: what to change in it,
    as a list of `key=value` or a mapping, such as `{"seed": 1, "defaults.lr": 0.1}`. Finished
    generations of the same recipe in the folder are kept, and one that was interrupted goes on from
    its last checkpoint, so that the command can be repeated. resume: instead, a run folder to
    continue, by the recipe in it. variants, controls: names of variants or controls of the recipe's
    file, or `all`, to train after it in the run's folders `variants` and `controls`; where they
    have its teacher or labels, they take those. seeds: train all that so many times, with the
    recipe's seed and those that follow it, each in a run folder of its own, OUT/seed-K; a seed that
    diverges does not keep the others from being trained. Under torchrun the processes train
    together.
    Raises NsbenchError for bad settings or data, if the folder belongs to another recipe, for
    variants and controls that the recipe does not have, and at the end where seeds diverged.
    """
    about: dict[str, Any] = {"variants": variants, "controls": controls}
    about["settings"] = as_settings(settings)
    plan = resolve_runs(recipe, seeds, out=out, resume=resume, **about)
    target = distributed.start(resolve_device(device))
    refuse_others(plan)
    folders = [one.folder for one in plan.runs]
    # Those of variants and controls too, if they are there: then they can be resumed by themselves.
    homes = [folder / home for folder in folders for home in HOMES]
    begun = [path for home in homes for path in home.glob("*") if path.is_dir()]
    # Held by one process for all, and first: whoever comes second is told at once.
    with only_writer_of([plan.folder, *folders, *begun] if distributed.is_main() else []):
        _train_all(plan, target)
    return plan.folder


def _train_all(plan: Plan, device: torch.device) -> None:
    """Check and claim the runs of a recipe, its variants and its seeds, and train them."""
    # All runs are checked before any begins: a variant's mistake would else show after the training
    # of what comes before it.
    prepared = [_all_ready(one, device) for one in plan.runs]
    # One process claims all folders before any other looks: it would find them half made.
    if distributed.is_main():
        every = [run for runs in prepared for run in runs]
        for run in every:
            check_begun(run.folder, run.recipe, run.data)
        record_seeds(plan)
        for run in every:
            claim_run_folder(run.folder, run.recipe)
    distributed.barrier()
    for one, (_, *others) in zip(plan.runs, prepared, strict=True):
        for beside, run in zip(one.beside, others, strict=True):
            write_variant(run.folder, beside, shared=run.base is not None)
    if plan.home is None:
        for run in prepared[0]:
            _train(run)
    else:
        train_seeds(plan, prepared, _train)


def _all_ready(resolved: Resolved, device: torch.device) -> list[Run]:
    """A run, and those beside it. Raises NsbenchError for what would stop one later."""
    base = _ready(resolved.recipe, resolved.folder, device)
    return [
        base,
        *(
            _ready(one.recipe, resolved.folder / one.home / one.name, device, base)
            for one in resolved.beside
        ),
    ]


def _ready(recipe: Recipe, folder: Path, device: torch.device, base: Run | None = None) -> Run:
    """A run, or a variant of the run `base`. Raises NsbenchError for what would stop it later."""
    # Opened once for the variants that leave the data as they are, as it may take long. The seed
    # decides which labels are kept.
    same = base and (base.recipe.data, base.recipe.seed) == (recipe.data, recipe.seed)
    data = base.data if base and same else open_data(recipe.data, recipe.seed)
    check(recipe, len(data.classes), len(data.train), device, distributed.size())
    check_steps(recipe, len(data.classes), len(data.train), device)
    check_unlabeled(recipe, data)
    if base is None:
        run = Run(recipe, data, folder, device, base_of(folder))
    else:
        shared = base.folder if shares_teacher(recipe, base.recipe) else None
        run = Run(recipe, data, folder, device, shared)
    if recipe.pseudo_labels.labels == "true":
        true_labels_of(run)
    return run


def _train(run: Run) -> None:
    teacher: Classifier | None = None
    for index in range(len(run.recipe.generations)):
        teacher = _generation(run, index, teacher)
        if run.recipe.generations[index].fine_tune:
            teacher = _fine_tuned(run, index, teacher)
        # After each, so that a run that was stopped has it too. A variant has no generation in
        # its own folder as long as only the base's first one is there.
        if distributed.is_main() and generation_folders(run.folder):
            write_provenance(run.folder, run.recipe)


@dataclass(frozen=True)
class Student:
    """A model about to be trained: a generation's, or its fine-tuned form.

    identity: all that its weights depend on. lineage: what model.json says about where it comes
    from. labeling_seconds: spent on its pseudo-labels, None for a model without. tuned: whether it
    is the fine-tuned form. partner: the model that an ensemble has beside it.
    """

    index: int
    generation: Generation
    module: nn.Module
    folder: Path
    identity: dict[str, Any]
    lineage: dict[str, Any]
    pseudo: PseudoLabeledSet | TrueLabels | None = None
    labeling_seconds: float | None = None
    frozen_blocks: int = 0
    tuned: bool = False
    partner: nn.Module | None = None


def _generation(run: Run, index: int, teacher: Classifier | None) -> Classifier:
    """Train a student of the teacher, or the first teacher; or load what was trained before."""
    # model.json is written last, so that a generation with one is whole.
    folder, generation = run.folder_of(index), run.recipe.generations[index]
    guide = None if generation.ensemble else teacher  # whose labels it learns
    truth = true_labels_of(run) if guide and run.recipe.pseudo_labels.labels == "true" else None
    job = labeling_job(run, index, guide) if guide and not truth else None
    labels = truth.identity() if truth else None
    labels = store_identity(store_manifest(job, guide)) if job and guide else labels
    lineage = {"teacher_weights": teacher.weights_hash if teacher else None}
    of_it = identity(run.recipe, generation, run.data, labels, lineage)
    if (folder / "model.json").exists():
        return _finished(run, folder, of_it)
    start = time.monotonic()
    pseudo = pseudo_label(job, guide, folder) if job and guide else truth
    labeling_seconds = time.monotonic() - start
    # By the number of the generation: each starts from weights of its own, whether its teacher was
    # trained in this process or read. manual_seed takes 63 bits without a sign.
    torch.manual_seed(stable_hash(run.recipe.seed, index, "weights") % 2**63)
    module = _built(generation, len(run.data.classes))
    if generation.warm_start and teacher:
        module.load_state_dict(teacher.module.state_dict())
    student = Student(
        index, generation, module, folder, of_it, lineage, pseudo, labeling_seconds,
        partner=teacher.module if teacher and generation.ensemble else None,
    )  # fmt: skip
    return _trained(run, student)


def _fine_tuned(run: Run, index: int, model: Classifier) -> Classifier:
    """The generation after a short training at a larger size."""
    folder = run.folder_of(index, FINE_TUNED)
    wanted = run.recipe.generations[index]
    assert wanted.fine_tune
    generation = fine_tuning(wanted, len(run.data.train))
    # The weights that it starts from stand where a student has its teacher's: others make it stale.
    lineage = {"teacher_weights": model.weights_hash, "fine_tuned": True}
    frozen = wanted.fine_tune.frozen_blocks
    of_it = identity(run.recipe, generation, run.data, None, {**lineage, "frozen_blocks": frozen})
    if (folder / "model.json").exists():
        return _finished(run, folder, of_it)
    module = _built(generation, len(run.data.classes))
    module.load_state_dict(model.module.state_dict())
    student = Student(
        index, generation, module, folder, of_it, lineage, frozen_blocks=frozen, tuned=True
    )
    return _trained(run, student)


def _built(generation: Generation, num_classes: int) -> nn.Module:
    model: Any = build_student(generation, num_classes)
    if generation.checkpoint_activations:
        model.set_grad_checkpointing(True)
    if generation.sync_batch_norm and distributed.size() > 1:
        # timm's, as torch's would drop the activation inside timm's BatchNormAct2d.
        model = convert_sync_batchnorm(model, distributed.gpu_group())
    module: nn.Module = model
    return module


def _trained(run: Run, student: Student) -> Classifier:
    """Train a student, write its model and read it back."""
    data, generation, module = run.data, student.generation, student.module
    # Before the optimiser is made, which takes only the weights that require gradients.
    freeze(module, student.frozen_blocks)
    move = to_device if generation.channels_last else nn.Module.to
    job = _job(run, student)
    log = TrainingLog(student.folder / "training.jsonl", student.index, run.recipe)
    title = f"the training of {run.title(student.folder)}"
    fitting = steps_fit(title, generation, student.tuned)
    # Closed where it diverges too, after which other seeds are trained.
    with float32_products(generation.precision), fitting, closing(log):
        state = TrainingState(move(module, run.device), generation, len(data.train))
        averaged = fit(job, state, log)
    if distributed.is_main():
        _save(run, student, averaged, state.seconds, log.rows)
        # Only now: until the model is written, the checkpoint is all there is.
        job.checkpoint.unlink(missing_ok=True)
    distributed.barrier()
    # Read back rather than kept: the next generation learns from exactly what is on disk.
    return load_checkpoint(student.folder, run.device)


def _job(run: Run, student: Student) -> TrainingJob:
    recipe, data, generation = run.recipe, run.data, student.generation
    preprocessing, labels = generation.preprocessing(recipe.data), recipe.pseudo_labels
    prior = data.prior(labels)
    # Of the text "generation 1" and the like, with spaces: any other text would give other draws.
    seed = stable_hash(recipe.seed, student.folder.name.replace("-", " "))
    # One process validates, since all have the same averaged weights.
    validate = validator(data, preprocessing, run.device) if distributed.is_main() else None
    return TrainingJob(
        name=run.title(student.folder),
        identity=student.identity,
        checkpoint=student.folder / "checkpoint.safetensors",
        settings=StepSettings(
            generation, labels, preprocessing, len(data.classes), seed, student.tuned, prior
        ),
        plan=_batch_plan(data, student, seed),
        recipe=recipe,
        frozen_blocks=student.frozen_blocks,
        validate=validate,
    )


def _batch_plan(data: TrainingData, student: Student, seed: int) -> BatchPlan:
    assert data.labeled.labels is not None
    generation, pseudo = student.generation, student.pseudo
    examples = Labeled(data.train, data.labeled.labels[data.train])
    # The samplers' names are among the keys of the draws: others would give other batches.
    labeled = ShuffledSampler("labeled", data.labeled, examples, generation.batch_size)
    unlabeled = None
    if pseudo:
        unlabeled = ShuffledSampler("unlabeled", pseudo.source, pseudo, generation.unlabeled_batch)
    return BatchPlan(labeled, unlabeled, seed, generation.accumulate)


def _save(
    run: Run, student: Student, averaged: nn.Module, seconds: float, rows: list[dict[str, Any]]
) -> None:
    """Write the weights and model.json."""
    data, generation = run.data, student.generation
    if student.partner:
        # Only now: until here one member was trained, and the other is finished.
        averaged = Ensemble([student.partner, averaged])
    from_unlabeled = student.pseudo and not run.recipe.pseudo_labels.distill
    record = generation_record(
        student.index,
        generation,
        data,
        generation.preprocessing(run.recipe.data),
        averaged,
        len(data.unlabeled_indices) if from_unlabeled else 0,
        rows,
    )
    # What a generation costs includes the teacher's pass over the unlabeled images.
    took = round(seconds + (student.labeling_seconds or 0.0), 1)
    made = {"seconds": took, "environment": environment(run.device)}
    of_it = {"identity": student.identity}
    save(student.folder, averaged, {**record, **student.lineage, **of_it, **made})


def _finished(run: Run, folder: Path, wanted: dict[str, Any]) -> Classifier:
    """A generation trained before. Raises NsbenchError if it was trained from anything else."""
    if changed := first_difference(read_info(folder).get("identity"), wanted):
        raise NsbenchError(
            f"{folder} was trained with other settings or data ({changed}): restore those, or move "
            "the folder away to train it again"
        )
    say(f"{run.title(folder)}: finished before")
    return load_checkpoint(folder, run.device)
