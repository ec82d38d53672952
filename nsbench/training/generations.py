"""The outer loop: teacher, pseudo-labels, student, and the student becomes the teacher."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from timm.layers import convert_sync_batchnorm
from torch import nn

from nsbench import distributed
from nsbench.data.transforms import Preprocessing
from nsbench.errors import NsbenchError
from nsbench.models import (
    Classifier,
    build,
    count_parameters,
    load_checkpoint,
    place,
    resolve_device,
    save,
)
from nsbench.progress import say
from nsbench.randomness import stable_hash
from nsbench.recipe import Generation, Recipe, load_recipe
from nsbench.run import (
    environment,
    fingerprint,
    generation_folders,
    is_run,
    read_json,
    write_json,
)
from nsbench.training.augment import Augmentation
from nsbench.training.batches import Labeled, Plan, Stream
from nsbench.training.checks import check, claim
from nsbench.training.data import TrainingData, open_data, validator
from nsbench.training.fine_tune import fine_tuning, freeze
from nsbench.training.fit import Job, fit
from nsbench.training.logs import TrainingLog
from nsbench.training.state import TrainingState
from nsbench.training.steps import Settings
from nsbench.training.unlabeled import LabeledByTeacher, pseudo_label

FINE_TUNED = "-fine-tuned"


def train(
    recipe: str | Recipe | None = None,
    out: str | Path | None = None,
    *,
    settings: list[str] | None = None,
    device: str | None = None,
    resume: str | Path | None = None,
) -> Path:
    """Train every generation of a recipe and return the run folder, by default runs/NAME.

    recipe: a TOML file, the name of a shipped recipe, or a Recipe. Finished generations of the
    same recipe in the folder are kept, and one that was interrupted goes on from its last
    checkpoint, so that the command can be repeated. resume: instead, a run folder to go on with, by
    the recipe in it. Under torchrun the processes train together.
    Raises NsbenchError for bad settings or data, and if the folder belongs to another recipe.
    """
    if resume:
        recipe, out = _recipe_of(Path(resume)), resume
    if isinstance(recipe, str):
        recipe = load_recipe(recipe, settings)
    if recipe is None:
        raise NsbenchError("name a recipe, or a run folder to go on with by --resume")
    folder = Path(out) if out else Path("runs") / recipe.name
    target = distributed.start(resolve_device(device))
    data = open_data(recipe.data)
    check(recipe, len(data.classes), len(data.train), target)
    claim(folder, recipe)
    run = Run(recipe, data, folder, target)
    teacher: Classifier | None = None
    for index in range(len(recipe.generations)):
        teacher = _generation(run, index, teacher)
        if recipe.generations[index].fine_tune:
            teacher = _fine_tuned(run, index, teacher)
        if distributed.is_main():
            _write_provenance(folder, recipe)
    return folder


def _recipe_of(folder: Path) -> str:
    if not is_run(folder):
        raise NsbenchError(
            f"{folder} holds no recipe.toml, so there is nothing to resume: name the folder of a "
            "run, or a recipe"
        )
    return str(folder / "recipe.toml")


@dataclass(frozen=True)
class Run:
    """What all generations of a run share."""

    recipe: Recipe
    data: TrainingData
    folder: Path
    device: torch.device


def _generation(run: Run, index: int, teacher: Classifier | None) -> Classifier:
    """Train a student of the teacher, or the first teacher; or load what was trained before."""
    folder = run.folder / f"generation-{index}"
    if (folder / "model.json").exists():
        return _finished(folder, teacher, run.device)
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
    folder = run.folder / f"generation-{index}{FINE_TUNED}"
    if (folder / "model.json").exists():
        return _finished(folder, model, run.device)
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
    recipe, data, name = run.recipe, run.data, folder.name.replace("-", " ")
    size = generation.preprocessing(recipe.data)
    freeze(model, frozen_blocks)
    state = TrainingState(_placed(model, generation, run.device), generation, len(data.train))
    seed = stable_hash(recipe.seed, name)
    job = Job(
        name=name,
        identity=_identity(recipe, generation, pseudo, about),
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
        info = _info(index, generation, data, size, averaged, pseudo, log.rows)
        seconds = round(state.seconds + about.pop("labeling_seconds", 0.0), 1)
        took = {"seconds": seconds, "environment": environment(str(run.device))}
        save(folder, averaged, {**info, **about, **took})
        job.checkpoint.unlink(missing_ok=True)
    distributed.barrier()
    return load_checkpoint(folder, run.device)


def _placed(model: nn.Module, generation: Generation, device: torch.device) -> nn.Module:
    return place(model, device) if generation.channels_last else model.to(device)


def _identity(
    recipe: Recipe, generation: Generation, pseudo: LabeledByTeacher | None, about: dict[str, Any]
) -> str:
    return fingerprint(
        [
            recipe.seed,
            recipe.data.model_dump(),
            recipe.pseudo_labels.model_dump(),
            generation.model_dump(),
            about["teacher_weights"],
            pseudo.store.manifest if pseudo else None,
        ]
    )


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


def _finished(folder: Path, teacher: Classifier | None, device: torch.device) -> Classifier:
    """A generation trained before. Raises NsbenchError if its teacher was another one."""
    if teacher and read_json(folder / "model.json").get("teacher_weights") != teacher.weights:
        raise NsbenchError(
            f"{folder} was taught by other weights than those of {teacher.name}: delete the folder "
            "to train it again"
        )
    say(f"{folder.name.replace('-', ' ')}: finished before")
    return load_checkpoint(folder, device)


def _pseudo_labeled(run: Run, index: int, teacher: Classifier, folder: Path) -> LabeledByTeacher:
    recipe, data = run.recipe, run.data
    distill = recipe.pseudo_labels.distill
    generation = recipe.generations[index]
    noise = Augmentation(generation, teacher.preprocessing).whole
    assert data.unlabeled
    return pseudo_label(
        recipe.pseudo_labels,
        teacher,
        data.labeled if distill else data.unlabeled,
        data.train if distill else data.unlabeled_indices,
        folder,
        run_folder=run.folder,
        classes=data.classes,
        seed=recipe.seed,
        device=run.device,
        precision=generation.precision,
        noise=noise if recipe.pseudo_labels.teacher_noise else None,
    )


def _info(
    index: int,
    generation: Generation,
    data: TrainingData,
    size: Preprocessing,
    model: nn.Module,
    pseudo: LabeledByTeacher | None,
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    accuracies = [r["validation_accuracy"] for r in rows if "validation_accuracy" in r]
    return {
        "generation": index,
        "arch": generation.arch,
        "model_args": generation.model_args,
        "noise": {"dropout": generation.dropout, "drop_path": generation.drop_path},
        "classes": list(data.classes),
        "preprocessing": size.model_dump(),
        "parameters": count_parameters(model),
        "labeled_images": len(data.train),
        "unlabeled_images": len(data.unlabeled_indices) if pseudo else 0,
        "validation_accuracy": accuracies[-1] if accuracies else None,
        "steps": rows[-1]["step"],
    }


def _write_provenance(folder: Path, recipe: Recipe) -> None:
    """What trained the run: the newest generation's environment, and the seconds of them all."""
    infos = [read_json(found / "model.json") for found in generation_folders(folder)]
    content = {"recipe": recipe.name, "seed": recipe.seed, **infos[-1]["environment"]}
    seconds = round(sum(info["seconds"] for info in infos), 1)
    write_json(folder / "provenance.json", {**content, "seconds": seconds})
