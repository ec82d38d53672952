"""What can be found wrong with a recipe before any time is spent on it."""

from pathlib import Path

import torch
from torch import nn

from nsbench.augment.pipeline import Augmentation
from nsbench.models import count_parameters
from nsbench.pseudo_labels.filter_model import load_filter
from nsbench.recipes.generation import Generation
from nsbench.recipes.identity import recipe_identity
from nsbench.recipes.recipe import Recipe
from nsbench.run_folder import SEED_FOLDER, generation_folders, is_run, is_seeds, recipe_text
from nsbench.training.cost import check_memory
from nsbench.training.data import TrainingData
from nsbench.training.fine_tune import fine_tuning, freeze
from nsbench.training.logs import check_writers
from nsbench.training.row_noise import RowNoise, build_student
from nsbench.training.schedule import (
    follows_scale,
    optimizer_for,
    schedule_for,
    steps_of,
    warmup_of,
)
from nsbench.util import distributed
from nsbench.util.config import first_difference, parse, read_toml
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.files import is_temporary, write_text
from nsbench.util.locks import LOCK
from nsbench.util.progress import say
from nsbench.util.sealed import seal_text, set_aside


def check(
    recipe: Recipe, num_classes: int, labeled_images: int, device: torch.device, processes: int
) -> None:
    """Raise NsbenchError for what would stop a generation later.

    That covers unknown architectures, sizes and arguments that they do not take, wrong augmentation
    strings, optimisers and schedules, students smaller than their teachers, steps that `processes`
    processes cannot share, and missing packages.
    """
    check_writers(recipe)
    sizes = []
    for index, generation in enumerate(recipe.generations):
        # The default ratio is a student's: the first teacher sees labeled images only.
        unlabeled = generation.unlabeled_batch if index else 0
        _check_shares(generation, index, unlabeled, processes)
        sizes.append(_try_out(generation, num_classes, _at_once(generation, unlabeled, processes)))
        Augmentation(generation, generation.preprocessing(recipe.data))
        _check_device(generation, device)
        # Made and thrown away: what timm refuses, it refuses here. Any number of steps would do.
        schedule_for(optimizer_for(nn.Linear(1, 1), generation), generation, 10, labeled_images)
        _warn_of_warmup(generation, index, labeled_images)
        _warn_of_scale(recipe, index)
        if generation.fine_tune:
            # A training of its own: another size, other batches, and labeled images only.
            tuned = fine_tuning(generation, labeled_images)
            _check_shares(tuned, index, 0, processes)
            at_once = _at_once(tuned, 0, processes)
            _try_out(tuned, num_classes, at_once, generation.fine_tune.frozen_blocks)
    for index in range(1, len(sizes)):
        _check_student(recipe, index, sizes)


def check_steps(
    recipe: Recipe, num_classes: int, labeled_images: int, device: torch.device
) -> None:
    """Raise NsbenchError where the device has far too little memory for a generation's steps."""
    for index, generation in enumerate(recipe.generations):
        unlabeled = generation.unlabeled_batch if index else 0
        check_memory(generation, num_classes, generation.batch_size + unlabeled, device)
        if generation.fine_tune:  # at a larger size
            tuned = fine_tuning(generation, labeled_images)
            check_memory(tuned, num_classes, tuned.batch_size, device, fine_tuned=True)


def _warn_of_warmup(generation: Generation, index: int, labeled_images: int) -> None:
    steps = steps_of(generation, labeled_images)
    if warmup_of(generation, steps, labeled_images) >= steps:
        say(
            f"warning: generation {index} warms up in all its {steps:,} steps and never reaches "
            "its learning rate: lower warmup_epochs"
        )


def _warn_of_scale(recipe: Recipe, index: int) -> None:
    """Say so where a student's steps are larger than its teacher's because its loss is a sum."""
    teacher, student = recipe.generations[max(index - 1, 0)], recipe.generations[index]
    scales = [_scale(teacher, index - 1), _scale(student, index)]
    if scales[1] <= scales[0] or student.lr < teacher.lr or not follows_scale(student):
        return
    times = scales[1] / scales[0]
    say(
        f"warning: with loss = '{student.loss}' and unlabeled_ratio = {student.unlabeled_ratio:g} "
        f"the gradient of generation {index} is about {times:.3g} times its teacher's, and "
        f"'{student.optimizer}' makes larger steps accordingly: set loss = 'concat', or lr "
        f"to about {teacher.lr / times:.2g} (now {student.lr:g}, its teacher's is {teacher.lr:g})"
    )


def _scale(generation: Generation, index: int) -> float:
    """How large the loss of a generation is beside the mean over labeled images alone."""
    # The first teacher has no other images, whatever its keys say.
    ratio = generation.unlabeled_batch / generation.batch_size if index > 0 else 0.0
    return {"sum": 1 + ratio, "mean": 2.0 if ratio else 1.0, "concat": 1.0}[generation.loss]


def _check_shares(generation: Generation, index: int, unlabeled: int, processes: int) -> None:
    shares = generation.accumulate * processes
    sharing = "1 process" if processes == 1 else f"{processes} processes"
    for kind, count in (("labeled", generation.batch_size), ("pseudo-labeled", unlabeled)):
        # Uneven shares would weigh the images of one process more than those of another.
        if count % shares:
            raise NsbenchError(
                f"a step of generation {index} has {count} {kind} images, which {sharing} with "
                f"accumulate = {generation.accumulate} cannot share evenly: choose "
                f"batch_size and unlabeled_ratio so that {shares} divides them"
            )


def check_unlabeled(recipe: Recipe, data: TrainingData) -> None:
    """Raise NsbenchError where there is nothing to label, or no filter model to choose by."""
    settings = recipe.pseudo_labels
    if settings.distill or len(recipe.generations) == 1:
        return
    if not len(data.unlabeled_indices):
        raise NsbenchError(
            f"data.labels_per_class = {recipe.data.labels_per_class} leaves no image of "
            f"{data.labeled.name} without a label for the students: lower it, or set data.unlabeled"
        )
    # Loaded and thrown away: that a filter cannot serve would otherwise show only after the first
    # teacher was trained.
    load_filter(settings, data.classes, torch.device("cpu"))


def _check_student(recipe: Recipe, index: int, sizes: list[int]) -> None:
    teacher, student = recipe.generations[index - 1 : index + 1]
    # Algorithm 1 of Xie et al. 2020 has an "equal-or-larger" student: a smaller one is what
    # distillation is for.
    if sizes[index] < sizes[index - 1] and not recipe.allow_smaller:
        raise NsbenchError(
            f"the student of generation {index} ({student.arch}, {sizes[index]:,} parameters) is "
            f"smaller than its teacher ({sizes[index - 1]:,}): choose a larger one, or set "
            "allow_smaller = true"
        )
    same = (student.arch, student.model_args) == (teacher.arch, teacher.model_args)
    if student.warm_start and not same:
        raise NsbenchError(
            f"the key 'generations.{index}.warm_start' is true, but its teacher is another "
            f"architecture ({teacher.arch}): use the same arch and model_args, or set it to false"
        )


def _check_device(generation: Generation, device: torch.device) -> None:
    # torch.nn.SyncBatchNorm refuses tensors that are not on a GPU.
    if generation.sync_batch_norm and distributed.size() > 1 and device.type != "cuda":
        raise NsbenchError(
            "the key 'sync_batch_norm' is true, but several processes can synchronise batch norm "
            "on GPUs only: set sync_batch_norm = false"
        )
    if generation.precision == "float16" and device.type == "cpu":
        raise NsbenchError(
            "the key 'precision' is 'float16', which is for GPUs: on the CPU use bfloat16 or "
            "float32"
        )


def _at_once(generation: Generation, unlabeled: int, processes: int) -> int:
    """Images whose statistics batch norm computes together."""
    apart = 1 if generation.sync_batch_norm else processes
    return (generation.batch_size + unlabeled) // (generation.accumulate * apart)


def _try_out(generation: Generation, num_classes: int, at_once: int, frozen_blocks: int = 0) -> int:
    """Parameters of a generation's model. Raises NsbenchError if it cannot be trained this way."""
    # With the recipe's noise, which an architecture may not have.
    side = generation.image_size
    with torch.device("meta"):  # shapes without numbers: quick for any size
        module = build_student(generation, num_classes).eval()
        try:
            # Two images, as one could hide a batch dimension that is lost.
            shape = tuple(module(torch.empty(2, 3, side, side)).shape)
        # Architectures differ in how they refuse a size: a ViT asserts, a convolution raises.
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            raise NsbenchError(
                f"'{generation.arch}' does not take images of {side} px ({first_line(error)}): set "
                "image_size, or the size in model_args"
            ) from error
    if shape != (2, num_classes):
        raise NsbenchError(f"'{generation.arch}' is not a classifier: its output has shape {shape}")
    if generation.checkpoint_activations and not hasattr(module, "set_grad_checkpointing"):
        raise NsbenchError(
            f"timm cannot compute the activations of '{generation.arch}' twice: set "
            "checkpoint_activations = false"
        )
    # As it will be trained: frozen batch norm uses its statistics, and so takes single images.
    freeze(module.train(), frozen_blocks)
    if generation.unlabeled_noise:
        _try_rows(module, generation)
    if at_once == 1:
        _try_one(module, generation)
    return count_parameters(module)


def _try_rows(module: nn.Module, generation: Generation) -> None:
    """Raise NsbenchError where labeled and pseudo-labeled images cannot have rates of their own."""
    other = generation.for_unlabeled
    if (other.dropout, other.drop_path) == (generation.dropout, generation.drop_path):
        return
    if generation.compile:
        raise NsbenchError(
            "the key 'compile' is true, but a compiled model cannot drop by other rates for "
            "pseudo-labeled images: set it to false, or leave dropout and drop_path out of "
            "unlabeled_noise"
        )
    side = generation.image_size
    with RowNoise(module, generation).rows(1, 2):
        module(torch.empty(2, 3, side, side, device="meta"))


def _try_one(module: nn.Module, generation: Generation) -> None:
    """Raise NsbenchError where one image leaves batch norm a single value for each channel."""
    side = generation.image_size
    try:
        module(torch.empty(1, 3, side, side, device="meta"))
    except ValueError as error:
        raise NsbenchError(
            f"one image of {side} px at a time is too little for the batch norm "
            f"of '{generation.arch}': lower accumulate (now {generation.accumulate}) or raise "
            "batch_size"
        ) from error


def refuse_foreign(folder: Path) -> None:
    """Raise NsbenchError if a folder that is to become a run folder holds anything else."""
    if is_seeds(folder):
        raise NsbenchError(
            f"{folder} holds the runs of several seeds: add --seeds, or choose another by "
            "--out or out="
        )
    # A damaged recipe that was moved aside: the command was killed before it wrote another.
    aside = folder.is_dir() and any(folder.glob("recipe.toml.set-aside-*"))
    if is_run(folder) or aside or not folder.exists():
        return
    if holds_anything(folder):
        raise NsbenchError(
            f"{folder} exists and is not a run folder: choose another by --out or out="
        )


def holds_anything(folder: Path) -> bool:
    """Whether there is a file in the place of a folder, or a folder with anything of a user's.

    Empty folders of seeds are none, which a command that is killed at once leaves in theirs.
    """
    if not folder.is_dir():
        return folder.exists()
    return any(
        entry.name != LOCK
        and not is_temporary(entry.name)
        and not (entry.is_dir() and SEED_FOLDER.fullmatch(entry.name) and not holds_anything(entry))
        for entry in folder.iterdir()
    )


def claim_run_folder(folder: Path, recipe: Recipe) -> None:
    """Write the recipe into its run folder; called by the main process, which holds its lock.

    Raises NsbenchError if the folder is another recipe's, or holds anything else.
    """
    refuse_foreign(folder)
    path, text = folder / "recipe.toml", seal_text(recipe.to_toml())
    if is_run(folder):
        problem = _other_recipe(folder, recipe)
        # Until a generation is begun nothing depends on the recipe, which may still be corrected.
        if problem and is_begun(folder):
            raise NsbenchError(
                f"{folder} holds a run of another recipe ({problem}): choose another folder with "
                "--out, or move that one away"
            )
        if path.exists() and path.read_text(encoding="utf-8", errors="replace") == text:
            return
    write_text(path, text)


def is_begun(folder: Path) -> bool:
    """Whether a generation is trained, or has a checkpoint to go on from."""
    return bool(generation_folders(folder) or [*folder.glob("generation-*/checkpoint.safetensors")])


def _other_recipe(folder: Path, recipe: Recipe) -> str | None:
    """How the recipe of a run folder differs from another, as a clause; None if it does not."""
    path = folder / "recipe.toml"
    try:
        stored = parse(Recipe, read_toml(path), str(path))
        recipe_text(folder)
    except NsbenchError:
        # Each generation knows what it was trained from, and is compared with that.
        set_aside(path, "is not as it was written")
        return None
    return first_difference(recipe_identity(stored), recipe_identity(recipe))
