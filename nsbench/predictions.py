"""The store of predictions: a Parquet file for each model, suite and cell, a row for each image.

Each file holds its digest and what it is of; nothing is read that does not have both right.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint, sha256
from nsbench.util.progress import say
from nsbench.util.sealed import (
    BLANK,
    flaw,
    is_usable,
    read_record,
    set_aside,
    update_record,
    written_sealed,
)

TOP = 5
"""Classes kept of each prediction, as top-5 accuracy and ImageNet-P's top-5 distance need."""

GROUP = 2**16
"""Rows written and read at once, to limit memory; the predictions do not depend on it."""

MANIFEST = "suite.json"
"""Beside the cells: the suite, the model, the environment, and the identity of the predictions."""

SETTINGS = {
    "precision": "precision",
    "tf32": "TF32",
    "memory_format": "memory format",
    "device": "kind of device",
    "compiled": "compilation",
}
"""Parts of an identity that say how the models were run, and what to call them. Results that differ
in one are comparable only where the user asks for it."""

_ABOUT = b"nsbench"
_AGAIN = "repeat the nsbench eval that made it"

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.int32()),
        ("top", pa.list_(pa.int32(), TOP)),
        ("confidence", pa.float32()),
    ]
)


PROPER = ("nll", "brier")
"""Columns that cells of images as they are have too: the negative log-likelihood of the label in
nats, and the Brier score, from 0 to 2 (Brier 1950, the sum over classes of squared differences)."""


class Predictions(NamedTuple):
    """Rows of one cell: ids (N,), labels (N,), the five top classes (N, 5), confidence (N,).

    A clip has one row a frame, in order, all of one id. Missing ranks (fewer than five classes)
    are -1. proper: what the columns `PROPER` hold, (N, 2), None where a cell has none.
    """

    ids: Sequence[str]
    labels: NDArray[np.int32]
    top: NDArray[np.int32]
    confidence: NDArray[np.float32]
    proper: NDArray[np.float32] | None = None


def _schema(rows: Predictions) -> pa.Schema:
    if rows.proper is None:
        return SCHEMA
    return pa.schema([*SCHEMA, *((name, pa.float32()) for name in PROPER)])


def _table(rows: Predictions, clips: slice, frames: int) -> pa.Table:
    ids, labels = pa.array(rows.ids[clips], pa.string()), pa.array(rows.labels[clips], pa.int32())
    # Ids and labels are given once a clip, and written once a frame.
    repeated = pa.array(np.repeat(np.arange(len(ids)), frames))
    first, count = clips.start * frames, len(repeated)
    top = rows.top[first : first + count].reshape(-1)
    confidence = pa.array(rows.confidence[first : first + count], pa.float32())
    # Five classes a row, without an offset for each, as lists of any length would have.
    ranked = pa.FixedSizeListArray.from_arrays(pa.array(top, pa.int32()), TOP)
    columns = [ids.take(repeated), labels.take(repeated), ranked, confidence]
    if rows.proper is not None:
        columns += [pa.array(part) for part in rows.proper[first : first + count].T]
    return pa.table(columns, schema=_schema(rows))


class Store:
    """The predictions of one model on one suite, in a folder named by their fingerprint.

    identity: everything that can change a number. Another identity is another folder, so that old
    and new predictions never mix.
    """

    def __init__(self, results: Path, suite: str, identity: dict[str, Any]) -> None:
        self.identity, self._suite = identity, suite
        self._fingerprint = fingerprint(identity)
        # 16 of 64 hex digits, 64 bits: short enough for a path, and enough to keep identities
        # apart.
        self.folder = results / suite / self._fingerprint[:16]

    def path(self, cell: str) -> Path:
        """The file of a cell."""
        return self.folder / f"{cell}.parquet"

    def has(self, cell: str) -> bool:
        """Whether a cell is finished. What cannot be trusted does not count."""
        return self._problem(cell) is None

    def make_room(self, cell: str) -> None:
        """Move what cannot be trusted out of the way of a cell, and say so. Raises NsbenchError."""
        if self.path(cell).exists() and (problem := self._problem(cell)):
            set_aside(self.path(cell), problem)

    def forget(self) -> None:
        """Delete the predictions, and the manifest first: a report would look for all cells."""
        for path in (self.folder / MANIFEST, *self.folder.rglob("*.parquet")):
            path.unlink(missing_ok=True)

    def _problem(self, cell: str) -> str | None:
        """Why a cell does not count as finished, as the end of a sentence."""
        path = self.path(cell)
        if problem := flaw(path):
            return problem
        about = _about(path)
        if about.get("fingerprint") != self._fingerprint:
            return "is of another model or other settings"
        return None if _is_of(about, self.folder, cell) else "is of another cell"

    def unreadable(self, cell: str) -> dict[str, str]:
        """Ids of the images that could not be read for a finished cell, and why."""
        lost: dict[str, str] = _about(self.path(cell))["unreadable"]
        return lost

    def write(
        self,
        cell: str,
        rows: Predictions,
        frames: int = 1,
        unreadable: Mapping[str, str] = {},
        *,
        sync: bool = True,
    ) -> None:
        """Write a cell whole or not at all; ids and labels stand for that many rows each.

        unreadable: ids of the images that could not be read, and why. sync: as in `written_whole`.
        """
        about = {
            "suite": self._suite,
            "cell": cell,
            "weights": self.identity.get("weights"),
            "fingerprint": self._fingerprint,
            "rows": len(rows.top),
            "ids": sha256("\n".join(rows.ids).encode()),
            "unreadable": dict(sorted(unreadable.items())),
            "digest": BLANK,
        }
        with (
            written_sealed(self.path(cell), sync=sync) as file,
            pq.ParquetWriter(file, _schema(rows), compression="zstd") as writer,
        ):
            clips = max(1, GROUP // frames)  # whole clips, of which one may be longer than a group
            for start in range(0, len(rows.ids), clips):
                writer.write_table(_table(rows, slice(start, start + clips), frames))
            # In Parquet's footer, where other readers see it too.
            writer.add_key_value_metadata({_ABOUT: json.dumps(about)})

    def manifest(self) -> dict[str, Any] | None:
        """The manifest as it was written, None if there is none; a damaged one is moved aside."""
        path = self.folder / MANIFEST
        return read_record(path, _AGAIN) if is_usable(path) else None

    def finish(self, manifest: dict[str, Any]) -> None:
        """Write the manifest beside the cells: identity, suite, model and environment."""
        update_record(self.folder / MANIFEST, {**manifest, "identity": self.identity})


def _about(path: Path) -> dict[str, Any]:
    """What a cell says that it is of. Its digest must have been checked."""
    try:
        about: dict[str, Any] = json.loads(pq.read_metadata(path).metadata[_ABOUT])
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise NsbenchError(f"cannot read {path} ({error!s:.80}): {_AGAIN}") from error
    return about


def _is_of(about: Mapping[str, Any], folder: Path, cell: str) -> bool:
    """Whether a cell's file is of the cell, suite and identity that its path names."""
    names = about.get("suite"), about.get("cell"), str(about.get("fingerprint"))[:16]
    return names == (folder.parent.name, cell, folder.name)


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of predictions.

    Raises NsbenchError if it is missing, not as it was written, or of another folder.
    """
    manifest = read_record(folder / MANIFEST, _AGAIN)
    identity = manifest.get("identity")
    if not isinstance(identity, dict) or fingerprint(identity)[:16] != folder.name:
        raise NsbenchError(f"{folder / MANIFEST} is of another folder of results: {_AGAIN}")
    return manifest


def read_cell(
    folder: Path, cell: str, *, id_step: int = 1, columns: Sequence[str] = ("label", "confidence")
) -> Predictions:
    """The rows of a cell, with the ids of every `id_step`-th row only, or without ids (0).

    Strings take far more memory and time than numbers, and a clip's are the same in all frames.
    columns: beside the top classes; those that are not named stay empty.
    Raises NsbenchError if the file is missing, not as it was written, or of something else.
    """
    path = folder / f"{cell}.parquet"
    problem = flaw(path)
    if not problem and not _is_of(_about(path), folder, cell):
        problem = "is of another cell, model or suite"
    if problem:
        raise NsbenchError(f"{path} {problem}: {_AGAIN}")
    with pq.ParquetFile(path) as file:
        return _read(file, id_step, columns)


def _read(file: pq.ParquetFile, id_step: int, wanted: Sequence[str]) -> Predictions:
    """The rows group by group, so that only the arrays take memory."""
    count, start = file.metadata.num_rows, 0
    ids: list[str] = []
    labels = np.empty(count if "label" in wanted else 0, np.int32)
    confidence = np.empty(count if "confidence" in wanted else 0, np.float32)
    top = np.empty((count, TOP), np.int32)
    proper = np.empty((count, 2), np.float32) if PROPER[0] in file.schema_arrow.names else None
    columns = ["top", *wanted, *(["id"] if id_step else [])]
    columns += PROPER if proper is not None else ()
    for batch in file.iter_batches(GROUP, columns=columns):
        rows = slice(start, start + len(batch))
        for name, array in (("label", labels), ("confidence", confidence)):
            if name in wanted:
                array[rows] = batch[name].to_numpy()
        top[rows] = batch["top"].flatten().to_numpy().reshape(-1, TOP)
        if proper is not None:
            proper[rows] = np.stack([batch[name].to_numpy() for name in PROPER], 1)
        if id_step:
            firsts = np.arange(-start % id_step, len(batch), id_step)  # counted over all groups
            ids += batch["id"].take(pa.array(firsts)).to_pylist()
        start = rows.stop
    return Predictions(ids, labels, top, confidence, proper)


class Result(NamedTuple):
    """A folder of predictions of one model on one suite, and its manifest."""

    folder: Path
    manifest: dict[str, Any]


def results_of(results: Path, weights_hash: str | None = None) -> dict[str, list[Result]]:
    """For each suite evaluated into a results folder, its results: full ones first, then newest.

    weights_hash: count only predictions of these weights. A result that cannot be trusted is told
    and left out where its suite has another; else NsbenchError is raised.
    """
    found: dict[str, list[Result]] = {}
    refused: dict[str, str] = {}
    for path in sorted(results.glob(f"*/*/{MANIFEST}")):
        suite = path.parent.parent.name
        try:
            manifest = read_manifest(path.parent)
        except NsbenchError as error:
            refused[suite] = str(error)
            continue
        if weights_hash in (None, manifest["identity"].get("weights")):
            found.setdefault(suite, []).append(Result(path.parent, manifest))
    for suite, sentence in refused.items():
        if suite not in found:
            raise NsbenchError(sentence)
        say(f"left out: {sentence}")
    return {suite: sorted(those, key=_preference) for suite, those in found.items()}


def forget_results(folder: Path) -> None:
    """Delete all results of a suite, RESULTS/SUITE. Raises NsbenchError if they cannot be.

    The manifests first, without which nothing takes what is left for results.
    """
    try:
        for manifest in folder.glob(f"*/{MANIFEST}"):
            manifest.unlink()
        shutil.rmtree(folder)
    except OSError as error:
        raise NsbenchError(f"{folder} cannot be deleted: {error.strerror or error}") from error


def _preference(result: Result) -> tuple[bool, list[int]]:
    # Times are ISO 8601, which sorts as text; by code points negated, so that the newest is first.
    newest_first = [-ord(letter) for letter in str(result.manifest["evaluated"])]
    return result.manifest.get("chosen") is not None, newest_first
