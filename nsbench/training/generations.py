"""The outer loop: teacher, pseudo-labels, student, and the student becomes the teacher."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from nsbench.data.loaders import Stream, clean_crops
from nsbench.data.sources import Source, open_source, select_per_class
from nsbench.data.transforms import Preprocessing, normalize
from nsbench.errors import NsbenchError
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
from nsbench.recipe import Data, Generation, Recipe, load_recipe
from nsbench.run import environment, is_run, read_json, write_json, write_text
from nsbench.training.fit import fit
from nsbench.training.pseudo_labels import predict, select, store


@dataclass(frozen=True)
class TrainingData:
    """The labeled images, the validation images held out of them, and the unlabeled ones."""

    labeled: Source
    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    unlabeled: Source | None
    unlabeled_indices: NDArray[np.int64]
    classes: tuple[str, ...]


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
    data = _open(recipe.data)
    _check_models(recipe, len(data.classes))
    _claim(folder, recipe)
    started = time.monotonic()
    teacher: Classifier | None = None
    for index in range(len(recipe.generations)):
        teacher = _generation(recipe, index, data, teacher, folder, target)
    _write_provenance(folder, recipe, target, time.monotonic() - started)
    return folder


def _open(data: Data) -> TrainingData:
    labeled = open_source(data.labeled)
    if labeled.labels is None:
        raise NsbenchError(f"data.labeled is {labeled.name}, which has no labels")
    kept = np.arange(len(labeled))
    if data.labels_per_class:
        kept = select_per_class(labeled, data.labels_per_class, "data.labels_per_class")
    withheld = np.setdiff1d(np.arange(len(labeled)), kept)
    validation = np.array([], dtype=np.int64)
    if data.validation_per_class:
        validation = _validation(labeled, kept, data.validation_per_class)
    unlabeled = open_source(data.unlabeled) if data.unlabeled else None
    if unlabeled and data.labels_per_class:
        raise NsbenchError(
            "set either data.unlabeled or data.labels_per_class: the second makes the rest of the "
            "labeled images the unlabeled ones"
        )
    indices = np.arange(len(unlabeled)) if unlabeled else withheld
    names = labeled.classes or tuple(str(i) for i in range(int(labeled.labels.max()) + 1))
    return TrainingData(
        labeled, np.setdiff1d(kept, validation), validation, unlabeled or labeled, indices, names
    )


def _validation(source: Source, kept: NDArray[np.int64], per_class: int) -> NDArray[np.int64]:
    assert source.labels is not None
    chosen: list[int] = []
    for label in np.unique(source.labels[kept]):
        members = sorted(
            kept[source.labels[kept] == label].tolist(),
            key=lambda index: stable_hash("validation", source.ids[index]),
        )
        if len(members) <= per_class:
            raise NsbenchError(
                f"data.validation_per_class = {per_class} leaves class {label} of {source.name} "
                f"nothing to train on: it has {len(members)} labeled images"
            )
        chosen += members[:per_class]
    return np.array(sorted(chosen))


def _check_models(recipe: Recipe, num_classes: int) -> None:
    """Refuse unknown architectures, bad augmentation strings and smaller students at once."""
    sizes = []
    for generation in recipe.generations:
        with torch.device("meta"):
            module = build(generation.arch, num_classes, generation.model_args)
        sizes.append(count_parameters(module))
        generation.transform(generation.preprocessing(recipe.data))
    for index in range(1, len(sizes)):
        if sizes[index] < sizes[index - 1] and not recipe.allow_smaller:
            raise NsbenchError(
                f"the student of generation {index} ({recipe.generations[index].arch}, "
                f"{sizes[index]:,} parameters) is smaller than its teacher ({sizes[index - 1]:,}): "
                "choose a larger one, or set allow_smaller = true"
            )


def _claim(folder: Path, recipe: Recipe) -> None:
    """Make the run folder this recipe's own. Raises NsbenchError if it is something else's."""
    text = recipe.to_toml()
    path = folder / "recipe.toml"
    if is_run(folder):
        if path.read_text(encoding="utf-8") != text:
            raise NsbenchError(
                f"{folder} holds a run of another recipe ({_first_difference(path, text)}): choose "
                "another folder with --out"
            )
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
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
        say(f"generation {index}: finished before")
        return load_checkpoint(folder, device)
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
    rows: list[dict[str, Any]] = []
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
        log=rows.append,
        validate=_validator(data, size, device),
    )
    _write_log(folder, index, rows)
    save(folder, averaged, _info(recipe, index, data, teacher, averaged, rows, start))
    return load_checkpoint(folder, device)


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


def _validator(
    data: TrainingData, size: Preprocessing, device: torch.device
) -> Callable[[nn.Module], float] | None:
    if not len(data.validation):
        return None
    assert data.labeled.labels is not None
    crops = [crop for (crop,) in clean_crops(data.labeled, data.validation, [size])]
    images = torch.from_numpy(np.stack(crops)).to(device)
    labels = torch.from_numpy(data.labeled.labels[data.validation]).to(device)

    @torch.inference_mode()
    def accuracy(model: nn.Module) -> float:
        correct = 0
        for batch, truth in zip(images.split(256), labels.split(256), strict=True):
            guess = model(normalize(batch / 255, size.mean, size.std)).argmax(1)
            correct += int((guess == truth).sum())
        return correct / len(labels)

    return accuracy


def _info(
    recipe: Recipe,
    index: int,
    data: TrainingData,
    teacher: Classifier | None,
    model: nn.Module,
    rows: list[dict[str, Any]],
    start: float,
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
        "seconds": round(time.monotonic() - start, 1),
    }


def _write_log(folder: Path, index: int, rows: list[dict[str, Any]]) -> None:
    lines = (json.dumps({"generation": index, **row}) + "\n" for row in rows)
    write_text(folder / "training.jsonl", "".join(lines))


def _write_provenance(folder: Path, recipe: Recipe, device: torch.device, seconds: float) -> None:
    path = folder / "provenance.json"
    before = read_json(path)["seconds"] if path.exists() else 0.0
    content = {"recipe": recipe.name, "seed": recipe.seed, **environment(str(device))}
    write_json(path, {**content, "seconds": round(before + seconds, 1)})
