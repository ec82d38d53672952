"""What is recorded of a generation and of a run, and what a generation depends on."""

from pathlib import Path
from typing import Any

from torch import nn

from nsbench.data.preprocessing import Preprocessing
from nsbench.models import count_parameters
from nsbench.pseudo_labels.pipeline import PseudoLabeledSet
from nsbench.recipes.recipe import Generation, Recipe
from nsbench.run_folder import generation_folders
from nsbench.training.data import TrainingData
from nsbench.util.files import fingerprint, read_json, write_json


def identity(
    recipe: Recipe,
    generation: Generation,
    data: TrainingData,
    pseudo: PseudoLabeledSet | None,
    lineage: dict[str, Any],
) -> str:
    """Hash of all that a generation's weights depend on; checkpoints of others are refused."""
    return fingerprint(
        [
            recipe.seed,
            recipe.data.model_dump(),
            recipe.pseudo_labels.model_dump(),
            generation.model_dump(),
            # Of a source its version, which changes with its images, and which of them are used.
            data.labeled.version,
            data.train.tolist(),
            lineage["teacher_weights"],
            # The manifest names all that decides the labels; what chooses among them is in the keys
            # of [pseudo_labels] above, and draws by the recipe's seed.
            pseudo.store.manifest if pseudo else None,
        ]
    )


def generation_record(
    index: int,
    generation: Generation,
    data: TrainingData,
    preprocessing: Preprocessing,
    model: nn.Module,
    unlabeled_images: int,
    rows: list[dict[str, Any]],
) -> dict[str, Any]:
    """The content of model.json, except the teacher, the time taken and the environment."""
    accuracies = [r["validation_accuracy"] for r in rows if "validation_accuracy" in r]
    return {
        "generation": index,
        "arch": generation.arch,
        "model_args": generation.model_args,
        # A noised teacher (table 6) is built with the rates that it was trained with.
        "noise": {"dropout": generation.dropout, "drop_path": generation.drop_path},
        "classes": list(data.classes),
        "preprocessing": preprocessing.model_dump(),
        "parameters": count_parameters(model),
        "labeled_images": len(data.train),
        "unlabeled_images": unlabeled_images,
        # The last and not the best: it is that of the weights which are kept.
        "validation_accuracy": accuracies[-1] if accuracies else None,
        "steps": rows[-1]["step"],
    }


def write_provenance(folder: Path, recipe: Recipe) -> None:
    """Write what trained the run: the newest generation's environment, and the seconds of all."""
    infos = [read_json(generation / "model.json") for generation in generation_folders(folder)]
    content = {"recipe": recipe.name, "seed": recipe.seed, **infos[-1]["environment"]}
    seconds = round(sum(info["seconds"] for info in infos), 1)
    write_json(folder / "provenance.json", {**content, "seconds": seconds})
