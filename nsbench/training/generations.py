"""The outer loop: teacher, pseudo-labels, student, and the student becomes the teacher."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.layers import convert_sync_batchnorm
from torch import nn

from nsbench.augment.pipeline import Augmentation
from nsbench.models import (
    Classifier,
    build,
    load_checkpoint,
    place,
    resolve_device,
    save,
)
from nsbench.pseudo_labels.pipeline import LabeledByTeacher, pseudo_label
from nsbench.recipes.recipe import Generation, Recipe, load_recipe
from nsbench.run_folder import VARIANT, generation_folders
from nsbench.training.batches import Labeled, Plan, Stream
from nsbench.training.checks import check, check_steps, check_unlabeled, claim
from nsbench.training.data import TrainingData, open_data, validator
from nsbench.training.fine_tune import fine_tuning, freeze
from nsbench.training.fit import Job, fit
from nsbench.training.lineage import describe, identity, write_provenance
from nsbench.training.logs import TrainingLog
from nsbench.training.resolve import (
    base_of,
    describe_variant,
    recipe_of,
    shares_teacher,
    variants_of,
)
from nsbench.training.state import TrainingState
from nsbench.training.step import Settings
from nsbench.util import distributed
from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_json
from nsbench.util.progress import say
from nsbench.util.provenance import environment
from nsbench.util.randomness import stable_hash

FINE_TUNED = "-fine-tuned"


@dataclass(frozen=True)
class Run:
    """What all generations of a run share.

    base: the run whose first generation and labels a variant takes.
    """

    recipe: Recipe
    data: TrainingData
    folder: Path
    device: torch.device
    base: Path | None = None

    def place(self, index: int, ending: str = "") -> Path:
        """The folder of a generation."""
        home = self.base if self.base and index == 0 else self.folder
        return home / f"generation-{index}{ending}"

    def title(self, folder: Path) -> str:
        """What progress calls a generation."""
        name = folder.name.replace("-", " ")
        variant = (self.folder / VARIANT).is_file() and folder.parent == self.folder
        return f"{self.folder.name}, {name}" if variant else name


def train(
    recipe: str | Recipe | None = None,
    out: str | Path | None = None,
    *,
    settings: list[str] | None = None,
    device: str | None = None,
    resume: str | Path | None = None,
    variants: Sequence[str] | None = None,
) -> Path:
    """Train every generation of a recipe and return the run folder, by default runs/NAME.

    recipe: a TOML file, the name of a shipped recipe, or a Recipe. Finished generations of the
    same recipe in the folder are kept, and one that was interrupted goes on from its last
    checkpoint, so that the command can be repeated. resume: instead, a run folder to go on with, by
    the recipe in it. variants: names of variants of the recipe's file, or `all`, to train after it
    in the run's folder `variants`; where they have its teacher or labels, they take those. Under
    torchrun the processes train together.
    Raises NsbenchError for bad settings or data, if the folder belongs to another recipe, and for
    variants that the recipe does not have.
    """
    beside = variants_of(recipe, settings, resume, variants) if variants is not None else []
    if resume:
        recipe, out = recipe_of(Path(resume)), resume
    if isinstance(recipe, str):
        recipe = load_recipe(recipe, settings)
    if recipe is None:
        raise NsbenchError("name a recipe, or a run folder to go on with by --resume")
    folder = Path(out) if out else Path("runs") / recipe.name
    target = distributed.start(resolve_device(device))
    base = _ready(recipe, folder, target)
    others = [
        _ready(variant.recipe, folder / "variants" / variant.name, target, base)
        for variant in beside
    ]
    if distributed.is_main():  # others would find the folder half made
        for run in (base, *others):
            claim(run.folder, run.recipe)
    distributed.barrier()
    for variant, run in zip(beside, others, strict=True):
        describe_variant(run.folder, variant, shared=run.base is not None)
    for run in (base, *others):
        _train(run)
    return folder


def _ready(recipe: Recipe, folder: Path, device: torch.device, base: Run | None = None) -> Run:
    """A run, or a variant of the run `base`. Raises NsbenchError for what would stop it later."""
    data = base.data if base and base.recipe.data == recipe.data else open_data(recipe.data)
    check(recipe, len(data.classes), len(data.train), device, distributed.size())
    check_steps(recipe, len(data.classes), device)
    check_unlabeled(recipe, data)
    if base is None:
        return Run(recipe, data, folder, device, base_of(folder))
    shared = base.folder if shares_teacher(recipe, base.recipe) else None
    return Run(recipe, data, folder, device, shared)


def _train(run: Run) -> None:
    teacher: Classifier | None = None
    for index in range(len(run.recipe.generations)):
        teacher = _generation(run, index, teacher)
        if run.recipe.generations[index].fine_tune:
            teacher = _fine_tuned(run, index, teacher)
        if distributed.is_main() and generation_folders(run.folder):
            write_provenance(run.folder, run.recipe)


def _generation(run: Run, index: int, teacher: Classifier | None) -> Classifier:
    """Train a student of the teacher, or the first teacher; or load what was trained before."""
    folder = run.place(index)
    if (folder / "model.json").exists():
        return _finished(run, folder, teacher)
    generation = run.recipe.generations[index]
    start = time.monotonic()
    pseudo = _pseudo_labeled(run, index, teacher, folder) if teacher else None
    labeling = time.monotonic() - start
    torch.manual_seed(stable_hash(run.recipe.seed, index, "weights") % 2**63)
    model = _built(generation, len(run.data.classes))
    if generation.warm_start and teacher:
        model.load_state_dict(teacher.module.state_dict())
    info = {"teacher_weights": teacher.weights if teacher else None, "labeling_seconds": labeling}
    return _trained(run, index, generation, model, pseudo, folder, info)


def _fine_tuned(run: Run, index: int, model: Classifier) -> Classifier:
    """The generation's weights after a short training at a larger size."""
    folder = run.place(index, FINE_TUNED)
    if (folder / "model.json").exists():
        return _finished(run, folder, model)
    wanted = run.recipe.generations[index]
    generation = fine_tuning(wanted, len(run.data.train))
    module = _built(generation, len(run.data.classes))
    module.load_state_dict(model.module.state_dict())
    assert wanted.fine_tune
    info = {"teacher_weights": model.weights, "fine_tuned": True}
    frozen = wanted.fine_tune.frozen_blocks
    return _trained(run, index, generation, module, None, folder, info, frozen)


def _built(generation: Generation, num_classes: int) -> nn.Module:
    model: Any = build(
        generation.arch,
        num_classes,
        generation.model_args,
        dropout=generation.dropout,
        drop_path=generation.drop_path,
    )
    if generation.checkpoint_activations:
        model.set_grad_checkpointing(True)
    if generation.sync_batch_norm and distributed.size() > 1:
        model = convert_sync_batchnorm(model, distributed.gpu_group())
    module: nn.Module = model
    return module


def _trained(
    run: Run,
    index: int,
    generation: Generation,
    model: nn.Module,
    pseudo: LabeledByTeacher | None,
    folder: Path,
    about: dict[str, Any],
    frozen_blocks: int = 0,
) -> Classifier:
    recipe, data = run.recipe, run.data
    size = generation.preprocessing(recipe.data)
    freeze(model, frozen_blocks)
    state = TrainingState(_placed(model, generation, run.device), generation, len(data.train))
    seed = stable_hash(recipe.seed, folder.name.replace("-", " "))
    job = Job(
        name=run.title(folder),
        identity=identity(recipe, generation, data, pseudo, about),
        checkpoint=folder / "checkpoint.safetensors",
        settings=Settings(generation, recipe.pseudo_labels, size, len(data.classes), seed),
        plan=_plan(data, generation, pseudo, seed),
        recipe=recipe,
        frozen_blocks=frozen_blocks,
        validate=validator(data, size, run.device) if distributed.is_main() else None,
    )
    log = TrainingLog(folder / "training.jsonl", index, recipe)
    averaged = fit(job, state, log)
    if distributed.is_main():
        unlabeled = (
            len(data.unlabeled_indices) if pseudo and not recipe.pseudo_labels.distill else 0
        )
        info = describe(index, generation, data, size, averaged, unlabeled, log.rows)
        seconds = round(state.seconds + about.pop("labeling_seconds", 0.0), 1)
        took = {"seconds": seconds, "environment": environment(str(run.device))}
        save(folder, averaged, {**info, **about, **took})
        job.checkpoint.unlink(missing_ok=True)
    distributed.barrier()
    return load_checkpoint(folder, run.device)


def _placed(model: nn.Module, generation: Generation, device: torch.device) -> nn.Module:
    return place(model, device) if generation.channels_last else model.to(device)


def _plan(
    data: TrainingData, generation: Generation, pseudo: LabeledByTeacher | None, seed: int
) -> Plan:
    assert data.labeled.labels is not None
    examples = Labeled(data.train, data.labeled.labels[data.train])
    labeled = Stream("labeled", data.labeled, examples, generation.batch_size)
    unlabeled = None
    if pseudo:
        unlabeled = Stream("unlabeled", pseudo.source, pseudo, generation.unlabeled_batch)
    return Plan(labeled, unlabeled, seed, generation.accumulate)


def _finished(run: Run, folder: Path, teacher: Classifier | None) -> Classifier:
    """A generation trained before. Raises NsbenchError if its teacher was another one."""
    if teacher and read_json(folder / "model.json").get("teacher_weights") != teacher.weights:
        raise NsbenchError(
            f"{folder} was taught by other weights than those of {teacher.name}: delete the folder "
            "to train it again"
        )
    say(f"{run.title(folder)}: finished before")
    return load_checkpoint(folder, run.device)


def _pseudo_labeled(run: Run, index: int, teacher: Classifier, folder: Path) -> LabeledByTeacher:
    recipe, data = run.recipe, run.data
    settings, distill = recipe.pseudo_labels, recipe.pseudo_labels.distill
    if distill:
        none_dropped = {"min_confidence": 0.0, "balance": False, "filter": None}
        settings = settings.model_copy(update=none_dropped)
    generation = recipe.generations[index]
    noise = Augmentation(generation, teacher.preprocessing).whole
    assert data.unlabeled
    return pseudo_label(
        settings,
        teacher,
        data.labeled if distill else data.unlabeled,
        data.train if distill else data.unlabeled_indices,
        folder,
        run_folder=run.folder,
        classes=data.classes,
        seed=recipe.seed,
        device=run.device,
        precision=generation.precision,
        noise=noise if settings.teacher_noise else None,
        base=run.base,
    )
