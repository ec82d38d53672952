"""A run: what all of its generations share, and where their pseudo-labels come from."""

from dataclasses import dataclass
from pathlib import Path

import torch

from nsbench.augment.pipeline import Augmentation
from nsbench.models import Classifier
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.true_labels import TrueLabels, true_labels
from nsbench.recipes.recipe import Recipe
from nsbench.run_folder import VARIANT, is_seeds
from nsbench.training.data import TrainingData


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

    def folder_of(self, index: int, ending: str = "") -> Path:
        """The folder of a generation."""
        home = self.base if self.base and index == 0 else self.folder
        return home / f"generation-{index}{ending}"

    def title(self, folder: Path) -> str:
        """The name of a generation in the progress display."""
        name = folder.name.replace("-", " ")
        whole = folder.resolve().parent
        parts = [whole.name] if (whole / VARIANT).is_file() else []
        # Of a run that is one of several seeds, and of what is trained beside it.
        seed = next((run for run in (whole, whole.parent.parent) if is_seeds(run.parent)), None)
        return ", ".join([*([seed.name.replace("-", " ")] if seed else []), *parts, name])


def true_labels_of(run: Run) -> TrueLabels:
    """The labels that a run's unlabeled images have. Raises NsbenchError if they have none."""
    assert run.data.unlabeled
    return true_labels(run.data.unlabeled, run.data.unlabeled_indices, run.data.classes)


def labeling_job(run: Run, index: int, teacher: Classifier) -> LabelingJob:
    """What a teacher labels for generation `index` of a run."""
    recipe, data = run.recipe, run.data
    settings, distill = recipe.pseudo_labels, recipe.pseudo_labels.distill
    if distill:
        # Distillation uses the labeled images, all of them and none twice.
        none_dropped = {"min_confidence": 0.0, "balance": False, "filter": None}
        settings = settings.model_copy(update=none_dropped)
    generation = recipe.generations[index]
    # Table 6's "teacher with noise": as the student's unlabeled images, at the teacher's size.
    noise = Augmentation(generation, teacher.preprocessing).unlabeled
    assert data.unlabeled
    return LabelingJob(
        source=data.labeled if distill else data.unlabeled,
        indices=data.train if distill else data.unlabeled_indices,
        device=run.device,
        settings=settings,
        classes=data.classes,
        seed=recipe.seed,
        precision=generation.precision,
        noise=noise.whole if settings.teacher_noise else None,
        noise_keys=noise.settings,
        run_folder=run.folder,
        base=run.base,
    )
