"""A teacher's predictions on unlabeled images, filtered, balanced and stored."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from nsbench.data.loaders import clean_crops
from nsbench.data.sources import Source
from nsbench.errors import NsbenchError
from nsbench.models import Classifier
from nsbench.progress import stage
from nsbench.randomness import generator
from nsbench.recipe import PseudoLabels
from nsbench.run import write_bytes, write_json

BATCH = 256


@dataclass(frozen=True)
class Selection:
    """Rows of the predictions to train on, repeated where a class is duplicated, and a summary."""

    rows: NDArray[np.int64]
    summary: dict[str, Any]


def predict(
    teacher: Classifier, source: Source, indices: NDArray[np.int64], device: torch.device
) -> NDArray[np.float32]:
    """Probabilities (N, C) of the teacher, without noise, on clean centre crops."""
    result = np.empty((len(indices), teacher.num_classes), np.float32)
    crops = clean_crops(source, indices, teacher.preprocessing)
    with stage(f"pseudo-labels of {teacher.name}", len(indices)) as advance:
        for start in range(0, len(indices), BATCH):
            stop = min(start + BATCH, len(indices))
            images = np.stack([next(crops) for _ in range(start, stop)])
            with torch.inference_mode():
                logits = teacher.logits(torch.from_numpy(images).to(device) / 255)
            result[start:stop] = logits.softmax(1).cpu().numpy()
            advance(stop - start)
    return result


def select(
    probabilities: NDArray[np.float32], settings: PseudoLabels, classes: tuple[str, ...], seed: int
) -> Selection:
    """Drop unconfident images, then give every class the same number of images.

    A class with more than the quota keeps its most confident images; one with fewer repeats all
    of them as often as fits and a random part of them once more (Xie et al. 2020, section 3.2).
    Raises NsbenchError if nothing is left, or a class is left with nothing to repeat.
    """
    confidence, label = probabilities.max(1), probabilities.argmax(1)
    kept = np.flatnonzero(confidence >= settings.min_confidence)
    if not len(kept):
        raise NsbenchError(
            f"no unlabeled image reaches pseudo_labels.min_confidence = {settings.min_confidence}: "
            "lower it or train a better teacher"
        )
    of_class = [kept[label[kept] == index] for index in range(len(classes))]
    rows = kept
    if settings.balance:
        quota = settings.per_class or max(1, round(len(probabilities) / len(classes)))
        rows = np.concatenate(
            [
                _fill(members, confidence, quota, name, generator(seed, "balance", name))
                for members, name in zip(of_class, classes, strict=True)
            ]
        )
    unique, counts = np.unique(rows, return_counts=True)
    summary = {
        "images": len(probabilities),
        "confident": len(kept),
        "unique": len(unique),
        "selected": len(rows),
        "most_copies": int(np.max(counts)),
        "confident_per_class": dict(zip(classes, map(len, of_class), strict=True)),
    }
    return Selection(rows, summary)


def _fill(
    members: NDArray[np.int64],
    confidence: NDArray[np.float32],
    quota: int,
    name: str,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    if not len(members):
        raise NsbenchError(
            f"no unlabeled image is pseudo-labeled as class '{name}': lower "
            "pseudo_labels.min_confidence, set pseudo_labels.balance = false, or train a better "
            "teacher"
        )
    by_confidence = members[np.argsort(-confidence[members], kind="stable")]
    copies, rest = divmod(quota, len(members))
    if not copies:
        return by_confidence[:quota]
    return np.concatenate([np.tile(by_confidence, copies), rng.permutation(members)[:rest]])


def store(
    folder: Path,
    ids: list[str],
    probabilities: NDArray[np.float32],
    selection: Selection,
    teacher: Classifier,
) -> None:
    """Write pseudo_labels.parquet (probabilities in half precision) and its manifest."""
    copies = np.bincount(selection.rows, minlength=len(ids))
    half = probabilities.astype(np.float16)
    table = pa.table(
        {
            "id": ids,
            "label": pa.array(probabilities.argmax(1).astype(np.int32)),
            "copies": pa.array(copies.astype(np.int32)),
            "probabilities": pa.FixedSizeListArray.from_arrays(half.reshape(-1), half.shape[1]),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_bytes(folder / "pseudo_labels.parquet", buffer.getvalue())
    manifest = {
        "teacher": teacher.name,
        "teacher_weights": teacher.weights,
        "preprocessing": teacher.preprocessing.model_dump(),
        **selection.summary,
    }
    write_json(folder / "pseudo_labels.json", manifest)
