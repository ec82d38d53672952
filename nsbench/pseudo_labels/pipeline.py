"""From a teacher and unlabeled images to what a student trains on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsbench.data.spec import Source
from nsbench.models import Classifier
from nsbench.pseudo_labels.filter_model import load_filter
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.predict import predict
from nsbench.pseudo_labels.select import SELECTION, SUMMARY, select
from nsbench.pseudo_labels.store import LabelStore
from nsbench.pseudo_labels.targets import SparseTargets
from nsbench.util import distributed
from nsbench.util.npy import map_npy, npy_appender
from nsbench.util.sealed import write_record

CHUNK = 2**20
"""Positions renumbered at once: 8 MB each of several arrays."""


@dataclass(frozen=True)
class PseudoLabeledSet:
    """Images with a teacher's labels to train on.

    chosen: positions in the store, uint32 or int64, ascending, mapped into memory; an image that is
    taken several times is listed as often.
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


def pseudo_label(job: LabelingJob, teacher: Classifier, folder: Path) -> PseudoLabeledSet:
    """Label the job's images, and choose those to train on.

    Every process calls this. The labels go to `folder`/labels, and the choice is described
    in `folder`/selection.json. With a filter model, its labels and its choice are made once in the
    run's folder `filter-labels`, and the teacher labels the chosen images only. What is finished is
    kept. Raises NsbenchError as `predict`, `select` and `load_filter` do.
    """
    # Loaded by every process, since each of them labels shards.
    filter_model = load_filter(job.settings, job.classes, job.device)
    if filter_model:
        return _chosen_by_filter(job, filter_model, teacher, folder)
    store = predict(job, teacher, folder / "labels")
    # One process chooses, since the choice takes seconds, and the others read it.
    if distributed.is_main():
        select(store, job.settings, job.classes, job.seed, folder, _withheld(job))
    distributed.barrier()
    # A choice of 130 million images, the paper's, is 520 MB: mapped, all processes share it.
    return PseudoLabeledSet(job.source, store, map_npy(folder / SELECTION))


def _chosen_by_filter(
    job: LabelingJob, filter_model: Classifier, teacher: Classifier, folder: Path
) -> PseudoLabeledSet:
    """As `pseudo_label`, where the filter's labels choose and the teacher's are the targets."""
    assert job.run_folder
    # Beside the generations: the choice is made once, and every teacher labels the chosen images,
    # as reassign.sh of the official code does.
    filter_folder = job.run_folder / "filter-labels"
    # Only the top class and its confidence decide, and the filter sees images without noise.
    settings = job.settings.model_copy(update={"top_k": 1})
    candidates = predict(replace(job, settings=settings, noise=None), filter_model, filter_folder)
    if distributed.is_main():
        known = _withheld(job)
        summary = select(candidates, job.settings, job.classes, job.seed, filter_folder, known)
        _renumber(candidates, filter_folder)
        write_record(folder / SUMMARY, summary)
    distributed.barrier()
    chosen = replace(job, indices=map_npy(filter_folder / "chosen.npy"))
    store = predict(chosen, teacher, folder / "labels")
    return PseudoLabeledSet(job.source, store, map_npy(filter_folder / "rows.npy"))


def _withheld(job: LabelingJob) -> NDArray[np.int64] | None:
    """The classes of the source's images where it has labels, which only a report looks at."""
    source = job.source
    if source.labels is None or source.classes is None:
        return None
    number = {name: index for index, name in enumerate(job.classes)}
    of_class = np.array([number.get(name, -1) for name in source.classes], dtype=np.int64)
    return of_class[source.labels]


def _renumber(store: LabelStore, folder: Path) -> None:
    """Number the images that were chosen from a store, each once.

    chosen.npy: their indices in the source, int64. rows.npy: selection.npy in these numbers.
    """
    rows = map_npy(folder / SELECTION)
    count, before = 0, -1
    with (
        npy_appender(folder / "chosen.npy", np.int64) as append_index,
        npy_appender(folder / "rows.npy", rows.dtype) as append_row,
    ):
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK].astype(np.int64)
            # Positions ascend, so that an image taken several times stands in a row: the first of
            # each gets the next number. -1 and `before` join the chunks.
            first = np.diff(chunk, prepend=before) > 0
            append_index(store.indices(chunk[first]))
            append_row(count - 1 + np.cumsum(first))
            count, before = count + int(first.sum()), int(chunk[-1])
