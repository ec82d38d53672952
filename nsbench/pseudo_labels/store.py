"""A teacher's predictions on any number of unlabeled images, on disk."""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.models import Classifier
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.shards import (
    SHARD_SIZE,
    Shard,
    about_shard,
    held_shard,
    read_shard,
)
from nsbench.pseudo_labels.targets import SparseTargets
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint, is_temporary
from nsbench.util.sealed import flaw, is_usable, read_record, update_record

MANIFEST = "manifest.json"
_AGAIN = "repeat the command that labels its images"

# Names and the like do not count: a teacher that was moved has labeled the same.
DECIDING_KEYS = {
    "teacher_weights": "another teacher",
    "preprocessing": "a teacher that sees its images otherwise",
    "num_classes": "other classes",
    "classes": "other classes",
    "shard_size": "another version of nsbench",
    "top_k": "another pseudo_labels.top_k",
    "precision": "a teacher in another precision",
    "noise_seed": "a teacher with other noise",
}
"""Keys of a manifest that decide the label of an image, and what to call stores that differ."""

IMAGE_KEYS = ("source_version", "images", "indices")
"""Keys of a manifest that say which images are labeled. Each shard depends on its own alone."""


def store_manifest(job: LabelingJob, teacher: Classifier) -> dict[str, Any]:
    """Everything that a store's labels depend on, and names for people."""
    indices = np.ascontiguousarray(job.indices, "<i8")  # the same bytes on every machine
    noise: Any = job.noise_seed
    if job.noise and job.noise_keys:
        noise = {"seed": job.noise_seed, **job.noise_keys}
    return {
        "teacher": teacher.name,
        "teacher_weights": teacher.weights_hash,
        "preprocessing": teacher.preprocessing.model_dump(),
        "source": job.source.name,
        "source_version": job.source.version,
        "images": len(indices),
        "indices": hashlib.sha256(indices.data).hexdigest(),
        "num_classes": teacher.num_classes,
        "classes": list(teacher.classes) if teacher.classes else None,
        "shard_size": SHARD_SIZE,
        "top_k": job.settings.top_k,
        "precision": job.precision,
        "noise_seed": noise,
    }


def prepare_store(folder: Path, manifest: dict[str, Any]) -> None:
    """Prepare a folder as the store that a manifest describes; remove what killed processes left.

    Labels of other images than today's may be there: whoever makes shards looks at each.
    Raises NsbenchError if it holds labels that differ in a key that decides labels.
    """
    path = folder / MANIFEST
    # Without it nothing is lost: each shard says itself what it is of.
    if is_usable(path):
        check_manifest(folder, manifest)
    update_record(path, manifest)
    for path in folder.iterdir():
        if is_temporary(path.name):
            path.unlink(missing_ok=True)


def is_store_of(folder: Path, manifest: dict[str, Any]) -> bool:
    """Whether a folder is the store of a manifest and of its images, finished or not."""
    if flaw(folder / MANIFEST):
        return False
    stored = read_record(folder / MANIFEST, _AGAIN)
    return store_identity(stored) == store_identity(manifest)


def store_identity(manifest: dict[str, Any]) -> dict[str, Any]:
    """What decides all labels of a store: the manifest without names."""
    return {key: manifest.get(key) for key in (*DECIDING_KEYS, *IMAGE_KEYS)}


def shard_identity(
    job: LabelingJob, manifest: dict[str, Any], number: int, rows: slice
) -> dict[str, Any]:
    """What decides the labels of a shard of a job: of its images the content, and no others'."""
    indices = np.ascontiguousarray(job.indices[rows], "<i8")
    images = hashlib.sha256(indices.data)
    images.update(np.ascontiguousarray(job.source.digests_of(indices)).data)
    return {
        "labels": fingerprint({key: manifest[key] for key in DECIDING_KEYS}),
        "number": number,
        "rows": len(indices),
        "images": images.hexdigest(),
    }


def check_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Raise NsbenchError naming the first deciding key in which a store differs."""
    stored = read_record(folder / MANIFEST, _AGAIN)
    for key, difference in DECIDING_KEYS.items():
        if key not in stored:
            raise NsbenchError(f"{folder / MANIFEST} lacks {key}: move the folder away")
        if stored[key] != manifest[key]:
            old, new = _short(key, stored[key], manifest[key])
            raise NsbenchError(
                f"{folder} holds the labels of {difference} ({old} not {new}): move the folder "
                "away to label again"
            )


def _short(key: str, old: Any, new: Any) -> tuple[str, str]:
    """The difference of two values, such as `weights 12345678…` and `abcdef01…`."""
    # Of tables and lists only the first entry that differs: whole ones would fill the screen.
    if isinstance(old, dict) and isinstance(new, dict):
        key = next(name for name in [*new, *old] if old.get(name) != new.get(name))
        old, new = old.get(key), new.get(key)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        old, new = next(pair for pair in zip(old, new, strict=True) if pair[0] != pair[1])
    name = key.removeprefix("teacher_").replace("_", " ")
    return f"{name} {_cut(old)}", _cut(new)


def _cut(value: Any) -> str:
    text = str(value)
    return f"{text[:8]}…" if len(text) > 16 else text


class LabelStore:
    """A finished store, read by random access; several threads and forked processes may do so.

    Shards are mapped into memory on demand, the last 256 at a time, so that neither memory nor open
    files grow with the number of images.
    manifest: as `store_manifest` made it. Raises NsbenchError for an incomplete store.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_record(folder / MANIFEST, _AGAIN)
        self._count = int(self.manifest["images"])
        missing = [
            path for number, _ in self._numbered() if not (path := self.path(number)).is_file()
        ]
        if missing:
            raise NsbenchError(
                f"{folder} lacks {missing[0].name}: repeat the command that labels its images"
            )

    def __len__(self) -> int:
        return self._count

    @property
    def num_classes(self) -> int:
        """Number of classes of the teacher."""
        return int(self.manifest["num_classes"])

    def path(self, number: int) -> Path:
        """The file of a shard."""
        return shard_path(self.folder, number)

    @cached_property
    def unreadable(self) -> dict[str, str]:
        """Ids of the images that could not be read, and so have no label, and why."""
        lost: dict[str, str] = {}
        for number, _ in self._numbered():
            lost |= about_shard(self.path(number))["unreadable"]
        return lost

    def _numbered(self) -> Iterator[tuple[int, int]]:
        """Each shard's number, and how many images it has."""
        for number, rows in enumerate(shard_rows(self._count)):
            yield number, rows.stop - rows.start

    def shards(self) -> Iterator[Shard]:
        """Every shard in order, mapped one at a time. Raises NsbenchError at a broken one."""
        for number, count in self._numbered():
            yield read_shard(self.path(number), count)

    def rows(self, positions: NDArray[np.integer]) -> SparseTargets:
        """The targets of images by their positions (n,) in the store, in that order.

        Where shards keep different numbers of classes, the shorter rows are padded with zeros.
        Raises NsbenchError for a broken shard.
        """
        # Widths differ where each shard has kept as few classes as hold the mass.
        parts = list(self._parts(positions))
        k = max((shard.ids.shape[1] for _, shard, _ in parts), default=1)
        ids = np.zeros((len(positions), k), np.int64)
        probabilities = np.zeros((len(positions), k), np.float32)
        rest = np.zeros(len(positions), np.float32)
        for slots, shard, rows in parts:
            width = shard.ids.shape[1]
            ids[slots, :width] = shard.ids[rows]
            probabilities[slots, :width] = shard.probabilities[rows]
            rest[slots] = shard.rest[rows]
        return SparseTargets(*map(torch.from_numpy, (ids, probabilities, rest)))

    def indices(self, positions: NDArray[np.integer]) -> NDArray[np.int64]:
        """Indices in the source, int64 (n,), of the images at these positions in the store."""
        indices = np.empty(len(positions), np.int64)
        for slots, shard, rows in self._parts(positions):
            indices[slots] = shard.images[rows]
        return indices

    def index(self, row: int) -> int:
        """Index in the source of the image at a position in the store."""
        return int(self.indices(np.array([row]))[0])

    def _parts(
        self, positions: NDArray[np.integer]
    ) -> Iterator[tuple[NDArray[np.int64], Shard, NDArray[np.int64]]]:
        """For each shard: indices into `positions`, the shard, and their rows in it."""
        numbers, rows = np.divmod(np.asarray(positions, np.int64), SHARD_SIZE)
        # Each shard is read once, whatever the order of the positions.
        order = np.argsort(numbers, kind="stable")
        chosen, starts = np.unique(numbers[order], return_index=True)
        # strict=False: without positions there are no shards, but np.split still gives one part.
        for number, slots in zip(chosen.tolist(), np.split(order, starts[1:]), strict=False):
            count = min(SHARD_SIZE, self._count - number * SHARD_SIZE)
            yield slots, held_shard(self.path(number), count), rows[slots]


def shard_path(folder: Path, number: int) -> Path:
    """The file of a shard of a store."""
    return folder / f"shard-{number:05d}.arrow"


def shard_rows(count: int) -> list[slice]:
    """The images of each shard of a store of `count` images."""
    return [slice(s, min(s + SHARD_SIZE, count)) for s in range(0, count, SHARD_SIZE)]
