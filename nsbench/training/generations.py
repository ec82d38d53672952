"""The outer loop: teacher, pseudo-labels, student, and the student becomes the teacher."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nsbench.config import parse, read_toml
from nsbench.data.loaders import Stream
from nsbench.errors import NsbenchError, first_line
from nsbench.models import (
    Classifier,
    build,
    count_parameters,
    load_checkpoint,
    resolve_device,
    save,
)
from nsbench.progress import say
from nsbench.randomness import stable_hash
from nsbench.recipe import Generation, Recipe, load_recipe
from nsbench.run import (
    environment,
    generation_folders,
    is_run,
    read_json,
    write_json,
    write_text,
)
from nsbench.training.data import TrainingData, open_data, validator
from nsbench.training.fit import fit
from nsbench.training.pseudo_labels import predict, select, store
from nsbench.training.schedule import optimizer_for, schedule_for


def train(
    recipe: str | Recipe,
    out: str | Path | None = None,
    *,
    settings: list[str] | None = None,
    device: str | None = None,
) -> Path:
    """Train every generation of a recipe and return the run folder, by default runs/NAME.

    recipe: a TOML file, the name of a shipped recipe, or a Recipe. Finished generations of the
    same recipe in the folder are kept, so that the command can be repeated after an interruption.
    Raises NsbenchError for bad settings or data, and if the folder belongs to another recipe.
    """
    if isinstance(recipe, str):
        recipe = load_recipe(recipe, settings)
    folder = Path(out) if out else Path("runs") / recipe.name
    target = resolve_device(device)
    data = open_data(recipe.data)
    _check_models(recipe, len(data.classes))
    _claim(folder, recipe)
    teacher: Classifier | None = None
    for index in range(len(recipe.generations)):
        teacher = _generation(recipe, index, data, teacher, folder, target)
        _write_provenance(folder, recipe)
    return folder


def _check_models(recipe: Recipe, num_classes: int) -> None:
    """Refuse unknown architectures, bad augmentation strings and smaller students at once."""
    sizes = []
    for generation in recipe.generations:
        sizes.append(_try_out(generation, num_classes))
        generation.transform(generation.preprocessing(recipe.data))
    for index in range(1, len(sizes)):
        if sizes[index] < sizes[index - 1] and not recipe.allow_smaller:
            raise NsbenchError(
                f"the student of generation {index} ({recipe.generations[index].arch}, "
                f"{sizes[index]:,} parameters) is smaller than its teacher ({sizes[index - 1]:,}): "
                "choose a larger one, or set allow_smaller = true"
            )


def _try_out(generation: Generation, num_classes: int) -> int:
    """Parameters of a generation's model. Raises NsbenchError if it cannot be trained as asked."""
    noise = {"dropout": generation.dropout, "drop_path": generation.drop_path}
    side = generation.image_size
    with torch.device("meta"):  # shapes without numbers: quick for any size
        module = build(generation.arch, num_classes, generation.model_args, **noise).eval()
        try:
            shape = tuple(module(torch.empty(2, 3, side, side)).shape)
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            raise NsbenchError(
                f"'{generation.arch}' does not take images of {side} px ({first_line(error)}): set "
                "image_size, or the size in model_args"
            ) from error
    if shape != (2, num_classes):
        raise NsbenchError(f"'{generation.arch}' is no classifier: its answer has shape {shape}")
    schedule_for(optimizer_for(nn.Linear(1, 1), generation), generation, 10)
    return count_parameters(module)


def _claim(folder: Path, recipe: Recipe) -> None:
    """Make the run folder this recipe's own. Raises NsbenchError if it is something else's."""
    text = recipe.to_toml()
    path = folder / "recipe.toml"
    if is_run(folder) and generation_folders(folder):
        found = parse(Recipe, read_toml(path), str(path))
        if found.model_copy(update={"workers": recipe.workers}) != recipe:
            raise NsbenchError(
                f"{folder} holds a run of another recipe ({_first_difference(path, text)}): choose "
                "another folder with --out"
            )
        return
    if not is_run(folder) and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise NsbenchError(f"{folder} exists and is no run folder: choose another with --out")
    write_text(path, text)


def _first_difference(path: Path, text: str) -> str:
    old, new = set(path.read_text(encoding="utf-8").splitlines()), text.splitlines()
    changed = [line for line in new if line not in old]
    return f"now {changed[0]}" if changed else "keys were removed"


def _generation(
    recipe: Recipe,
    index: int,
    data: TrainingData,
    teacher: Classifier | None,
    run: Path,
    device: torch.device,
) -> Classifier:
    folder = run / f"generation-{index}"
    if (folder / "model.json").exists():
        return _finished(folder, teacher, device)
    generation = recipe.generations[index]
    size = generation.preprocessing(recipe.data)
    start = time.monotonic()
    unlabeled = _pseudo_labeled(recipe, index, data, teacher, folder, device) if teacher else None
    torch.manual_seed(stable_hash(recipe.seed, index, "weights") % 2**63)
    model = build(
        generation.arch,
        len(data.classes),
        generation.model_args,
        dropout=generation.dropout,
        drop_path=generation.drop_path,
    )
    log = TrainingLog(folder / "training.jsonl", index)
    averaged = fit(
        model,
        _labeled(data, generation),
        unlabeled,
        generation,
        size,
        name=f"generation {index}",
        seed=recipe.seed,
        hard=recipe.pseudo_labels.labels == "hard",
        workers=recipe.workers,
        device=device,
        log=log.add,
        validate=validator(data, size, device),
    )
    info = _info(recipe, index, data, teacher, averaged, log.rows)
    took = {"seconds": round(time.monotonic() - start, 1), "environment": environment(str(device))}
    save(folder, averaged, {**info, **took})
    return load_checkpoint(folder, device)


def _finished(folder: Path, teacher: Classifier | None, device: torch.device) -> Classifier:
    """A generation trained before. Raises NsbenchError if its teacher was another one."""
    if teacher and read_json(folder / "model.json").get("teacher_weights") != teacher.weights:
        raise NsbenchError(
            f"{folder} was taught by other weights than those of {teacher.name}: delete the folder "
            "to train it again"
        )
    say(f"{folder.name.replace('-', ' ')}: finished before")
    return load_checkpoint(folder, device)


class TrainingLog:
    """Rows of a generation's training, each written to a file of JSON lines as it comes."""

    def __init__(self, path: Path, generation: int) -> None:
        self.rows: list[dict[str, Any]] = []
        self._path, self._generation = path, generation
        write_text(path, "")

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row and append it to the file."""
        self.rows.append(row)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"generation": self._generation, **row}) + "\n")


def _labeled(data: TrainingData, generation: Generation) -> Stream:
    assert data.labeled.labels is not None
    labels = data.labeled.labels[data.train]
    return Stream("labeled", data.labeled, data.train, labels, generation.batch_size)


def _pseudo_labeled(
    recipe: Recipe,
    index: int,
    data: TrainingData,
    teacher: Classifier,
    folder: Path,
    device: torch.device,
) -> Stream:
    assert data.unlabeled is not None
    generation = recipe.generations[index]
    probabilities = predict(teacher, data.unlabeled, data.unlabeled_indices, device)
    chosen = select(
        probabilities, recipe.pseudo_labels, data.classes, stable_hash(recipe.seed, index)
    )
    ids = [data.unlabeled.ids[i] for i in data.unlabeled_indices]
    store(folder, ids, probabilities, chosen, teacher)
    return Stream(
        "unlabeled",
        data.unlabeled,
        data.unlabeled_indices[chosen.rows],
        probabilities[chosen.rows],
        round(generation.batch_size * generation.unlabeled_ratio),
    )


def _info(
    recipe: Recipe,
    index: int,
    data: TrainingData,
    teacher: Classifier | None,
    model: nn.Module,
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    generation = recipe.generations[index]
    accuracies = [r["validation_accuracy"] for r in rows if "validation_accuracy" in r]
    return {
        "generation": index,
        "arch": generation.arch,
        "model_args": generation.model_args,
        "classes": list(data.classes),
        "preprocessing": generation.preprocessing(recipe.data).model_dump(),
        "parameters": count_parameters(model),
        "teacher_weights": teacher.weights if teacher else None,
        "labeled_images": len(data.train),
        "unlabeled_images": len(data.unlabeled_indices) if teacher else 0,
        "validation_accuracy": accuracies[-1] if accuracies else None,
        "steps": rows[-1]["step"],
    }


def _write_provenance(folder: Path, recipe: Recipe) -> None:
    """What trained the run: the newest generation's environment, and the seconds of them all."""
    infos = [read_json(found / "model.json") for found in generation_folders(folder)]
    content = {"recipe": recipe.name, "seed": recipe.seed, **infos[-1]["environment"]}
    seconds = round(sum(info["seconds"] for info in infos), 1)
    write_json(folder / "provenance.json", {**content, "seconds": seconds})
