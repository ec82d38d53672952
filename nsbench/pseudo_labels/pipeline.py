"""From a teacher and unlabeled images to what a student trains on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.data.open import Source
from nsbench.models import Classifier
from nsbench.pseudo_labels.filter import load_filter
from nsbench.pseudo_labels.predict import Noise, predict
from nsbench.pseudo_labels.select import select
from nsbench.pseudo_labels.store import LabelStore, describe, holds
from nsbench.pseudo_labels.targets import SparseTargets
from nsbench.recipes.recipe import PseudoLabels
from nsbench.util import distributed
from nsbench.util.files import write_json
from nsbench.util.npy import growing

CHUNK = 2**20


@dataclass(frozen=True)
class LabeledByTeacher:
    """Images with a teacher's labels to train on.

    chosen: positions in the store, uint32 or int64, ascending, mapped into memory; an image that is
    taken several times stands there as often.
    """

    source: Source
    store: LabelStore
    chosen: NDArray[np.integer[Any]]

    def __len__(self) -> int:
        return len(self.chosen)

    def images(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of the rows' images in the source."""
        return self.store.indices(self.chosen[rows])

    def targets(self, rows: NDArray[np.int64]) -> SparseTargets:
        """The teacher's labels of the rows."""
        return self.store.rows(self.chosen[rows])


def pseudo_label(
    settings: PseudoLabels,
    teacher: Classifier,
    source: Source,
    indices: NDArray[np.int64],
    folder: Path,
    *,
    run_folder: Path,
    classes: tuple[str, ...],
    seed: int,
    device: torch.device,
    batch_size: int = 256,
    precision: str = "float32",
    noise: Noise | None = None,
    base: Path | None = None,
) -> LabeledByTeacher:
    """Label the images of a source that `indices` names, and choose those to train on.

    Every process calls this. The labels go to `folder`/labels, and what was chosen is told in
    `folder`/selection.json. With a filter model, its labels and its choice are made once in
    `run_folder`/filter-labels, and the teacher labels the chosen images only. What is finished is
    kept. seed: of the run, so that all generations choose alike. noise: see `predict`. base: a run
    whose labels are read in place of making the very same again.
    Raises NsbenchError as `predict`, `select` and `load_filter` do.
    """
    label = _Labeling(source, run_folder, base, seed, device, batch_size, precision)
    by_filter = load_filter(settings, classes, device)
    place = run_folder / "filter-labels"
    if by_filter:
        chosen_from = label(by_filter, indices, place, top_k=1)
        if distributed.is_main():
            summary = select(chosen_from, settings, classes, seed, place)
            _renumber(chosen_from, place)
            write_json(folder / "selection.json", summary)
        distributed.barrier()
        indices = _mapped(place / "chosen.npy")
    store = label(teacher, indices, folder / "labels", settings.top_k, noise)
    if by_filter:
        return LabeledByTeacher(source, store, _mapped(place / "rows.npy"))
    if distributed.is_main():
        select(store, settings, classes, seed, folder)
    distributed.barrier()
    return LabeledByTeacher(source, store, _mapped(folder / "selection.npy"))


@dataclass(frozen=True)
class _Labeling:
    """How a run's models label a source."""

    source: Source
    run_folder: Path
    base: Path | None
    seed: int
    device: torch.device
    batch_size: int
    precision: str

    def __call__(
        self,
        model: Classifier,
        indices: NDArray[np.int64],
        folder: Path,
        top_k: int | None,
        noise: Noise | None = None,
    ) -> LabelStore:
        """The labels in a folder of the run, or in the base's if the very same lie there."""
        if self.base:
            about = describe(
                model, self.source, indices, top_k=top_k, precision=self.precision,
                noise_seed=self.seed if noise else None,
            )  # fmt: skip
            other = self.base / folder.relative_to(self.run_folder)
            folder = other if holds(other, about) else folder
        return predict(
            model, self.source, indices, folder, device=self.device, top_k=top_k,
            batch_size=self.batch_size, precision=self.precision, noise=noise, seed=self.seed,
        )  # fmt: skip


def _renumber(store: LabelStore, folder: Path) -> None:
    """Give the images that were chosen from a store a numbering of their own.

    chosen.npy: their indices in the source, each once, int64. rows.npy: selection.npy in positions
    among these.
    """
    rows = _mapped(folder / "selection.npy")
    count, before = 0, -1
    with (
        growing(folder / "chosen.npy", np.int64) as choose,
        growing(folder / "rows.npy", rows.dtype) as place,
    ):
        for start in range(0, len(rows), CHUNK):
            some = rows[start : start + CHUNK].astype(np.int64)
            fresh = np.diff(some, prepend=before) > 0
            choose(store.indices(some[fresh]))
            place(count - 1 + np.cumsum(fresh))
            count, before = count + int(fresh.sum()), int(some[-1])


def _mapped(path: Path) -> NDArray[Any]:
    found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found
