"""What is recorded of a generation and of a run, and what a generation depends on."""

from pathlib import Path
from typing import Any

from torch import nn

from nsbench.data.preprocessing import Preprocessing
from nsbench.models import count_parameters
from nsbench.recipes.generation import Generation
from nsbench.recipes.recipe import Recipe
from nsbench.run_folder import generation_folders, read_info
from nsbench.training.data import TrainingData
from nsbench.training.state import checkpoint_identity
from nsbench.util.config import first_difference
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint
from nsbench.util.sealed import flaw, update_record


def identity(
    recipe: Recipe,
    generation: Generation,
    data: TrainingData,
    labels: dict[str, Any] | None,
    lineage: dict[str, Any],
) -> dict[str, Any]:
    """All that a generation's weights depend on, JSON-like; checkpoints of others are refused.

    labels: what decides its pseudo-labels, None for a generation without. lineage: as in
    model.json.
    """
    choice = recipe.pseudo_labels.model_dump(mode="json")
    keys = generation.model_dump(mode="json")
    if not keys["ensemble"]:  # as it was before there was this key
        del keys["ensemble"]
    if choice["rest"] == "uniform":  # as it was before there was this key
        del choice["rest"]
    return {
        "seed": recipe.seed,
        # Of sources the content and which images are used, and not where they lie.
        # What there is of unlabeled images is in what decides their labels.
        "data": recipe.data.model_dump(
            mode="json", exclude={"labeled", "unlabeled", "unlabeled_imbalance"}
        ),
        **_of_images(data),
        # These keys choose among the labels, by draws of the recipe's seed.
        "pseudo_labels": choice if labels else None,
        "labels": labels,
        "generation": keys,
        **lineage,
    }


def _of_images(data: TrainingData) -> dict[str, Any]:
    """The part of an identity that says which images are learned from."""
    return {
        "labeled images": data.labeled.version,
        "chosen images": fingerprint([data.train.tolist(), list(data.classes)]),
    }


def check_begun(folder: Path, recipe: Recipe, data: TrainingData) -> None:
    """Raise NsbenchError if a generation in a run folder was begun on other images.

    Before the recipe there is replaced by one that names its images otherwise: a command that is
    refused must leave the run as it was.
    """
    for generation in sorted(folder.glob("generation-*")):
        checkpoint = generation / "checkpoint.safetensors"
        if (generation / "model.json").exists():
            stored = read_info(generation).get("identity") or {}
        elif checkpoint.exists() and not flaw(checkpoint):
            stored = checkpoint_identity(checkpoint)
        else:
            continue
        own = _of_images(data)
        labels = stored.get("labels")
        if labels and data.unlabeled and not recipe.pseudo_labels.distill:
            own["unlabeled images"] = data.unlabeled.version
            stored = {**stored, "unlabeled images": labels["source_version"]}
        if changed := first_difference({key: stored.get(key) for key in own}, own):
            # Another seed chooses other images: then that is what to restore.
            seeds = {"seed": stored.get("seed")}, {"seed": recipe.seed}
            changed = first_difference(*seeds) or changed
            raise NsbenchError(
                f"{generation} was begun with other data ({changed}): restore those, or choose "
                "another folder by --out or out="
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
        **({"members": 2} if generation.ensemble else {}),
        # A noised teacher (table 6) is built with the rates that it was trained with.
        "noise": {"dropout": generation.dropout, "drop_path": generation.drop_path},
        "classes": list(data.classes),
        "preprocessing": preprocessing.model_dump(),
        "parameters": count_parameters(model),
        "labeled_images": len(data.train),
        "unlabeled_images": unlabeled_images,
        # The last and not the best: it is that of the weights which are kept, if one is.
        "validation_accuracy": accuracies[-1] if accuracies and not generation.ensemble else None,
        "steps": rows[-1]["step"],
    }


def write_provenance(folder: Path, recipe: Recipe) -> None:
    """Write what trained the run: the newest generation's environment, and the seconds of all."""
    infos = [read_info(generation) for generation in generation_folders(folder)]
    content = {"recipe": recipe.name, "seed": recipe.seed, **infos[-1]["environment"]}
    seconds = round(sum(info["seconds"] for info in infos), 1)
    update_record(folder / "provenance.json", {**content, "seconds": seconds})
