"""The store of predictions: a Parquet file for each model, suite and cell, a row for each image."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint, read_json, write_bytes, write_json
from nsbench.util.progress import say

TOP = 5
"""Classes kept of each prediction, as top-5 accuracy and ImageNet-P's top-5 distance need."""

GROUP = 2**16
"""Rows written and read at once, to limit memory; the predictions do not depend on it."""

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("label", pa.int32()),
        ("top", pa.list_(pa.int32(), TOP)),
        ("confidence", pa.float32()),
    ]
)


class Predictions(NamedTuple):
    """Rows of one cell: ids (N,), labels (N,), the five top classes (N, 5), confidence (N,).

    A clip has one row a frame, in order, all of one id. Missing ranks (fewer than five classes)
    are -1.
    """

    ids: Sequence[str]
    labels: NDArray[np.int32]
    top: NDArray[np.int32]
    confidence: NDArray[np.float32]


def _table(rows: Predictions, clips: slice, frames: int) -> pa.Table:
    ids, labels = pa.array(rows.ids[clips], pa.string()), pa.array(rows.labels[clips], pa.int32())
    # Ids and labels are given once a clip, and written once a frame.
    repeated = pa.array(np.repeat(np.arange(len(ids)), frames))
    first, count = clips.start * frames, len(repeated)
    top = rows.top[first : first + count].reshape(-1)
    confidence = pa.array(rows.confidence[first : first + count], pa.float32())
    # Five classes a row, without an offset for each, as lists of any length would have.
    ranked = pa.FixedSizeListArray.from_arrays(pa.array(top, pa.int32()), TOP)
    return pa.table([ids.take(repeated), labels.take(repeated), ranked, confidence], schema=SCHEMA)


class Store:
    """The predictions of one model on one suite, in a folder named by their fingerprint.

    identity: everything that can change a number. Another identity is another folder, so that old
    and new predictions never mix.
    """

    def __init__(self, results: Path, suite: str, identity: dict[str, Any]) -> None:
        self.identity = identity
        # 16 of 64 hex digits, 64 bits: short enough for a path, and enough to keep identities
        # apart.
        self.folder = results / suite / fingerprint(identity)[:16]

    def path(self, cell: str) -> Path:
        """The file of a cell."""
        return self.folder / f"{cell}.parquet"

    def has(self, cell: str) -> bool:
        """Whether a cell is finished. A broken file is reported, and does not count."""
        path = self.path(cell)
        if not path.is_file():
            return False
        try:
            pq.read_metadata(path)  # Parquet's footer, written last: a file cut short has none
        except (OSError, pa.ArrowException):
            say(f"{path} is broken and is made again")
            return False
        return True

    def write(self, cell: str, rows: Predictions, frames: int = 1) -> None:
        """Write a cell whole or not at all; ids and labels stand for that many rows each."""
        buffer = io.BytesIO()  # in memory first, so that the file appears whole
        with pq.ParquetWriter(buffer, SCHEMA, compression="zstd") as writer:
            clips = max(1, GROUP // frames)  # whole clips, of which one may be longer than a group
            for start in range(0, len(rows.ids), clips):
                writer.write_table(_table(rows, slice(start, start + clips), frames))
        write_bytes(self.path(cell), buffer.getvalue())

    def finish(self, manifest: dict[str, Any]) -> None:
        """Write the manifest beside the cells: identity, suite, model and environment."""
        write_json(self.folder / "suite.json", {**manifest, "identity": self.identity})


def read_cell(folder: Path, cell: str, *, id_step: int = 1) -> Predictions:
    """The rows of a cell, with the ids of every `id_step`-th row only, or without ids (0).

    Strings take far more memory and time than numbers, and a clip's are the same in all frames.
    Raises NsbenchError if the file is missing or broken.
    """
    path = folder / f"{cell}.parquet"
    try:
        with pq.ParquetFile(path) as file:
            return _read(file, id_step)
    # KeyError and the others: a Parquet file of other columns or types.
    except (OSError, pa.ArrowException, KeyError, ValueError, AttributeError) as error:
        raise NsbenchError(
            f"cannot read {path} ({error!s:.80}): delete it and evaluate again"
        ) from error


def _read(file: pq.ParquetFile, id_step: int) -> Predictions:
    """The rows group by group, so that only the arrays take memory."""
    count, start = file.metadata.num_rows, 0
    ids: list[str] = []
    labels, confidence = np.empty(count, np.int32), np.empty(count, np.float32)
    top = np.empty((count, TOP), np.int32)
    columns = ["label", "top", "confidence", *(["id"] if id_step else [])]
    for batch in file.iter_batches(GROUP, columns=columns):
        rows = slice(start, start + len(batch))
        labels[rows], confidence[rows] = batch["label"].to_numpy(), batch["confidence"].to_numpy()
        top[rows] = batch["top"].flatten().to_numpy().reshape(-1, TOP)
        if id_step:
            wanted = np.arange(-start % id_step, len(batch), id_step)  # counted over all groups
            ids += batch["id"].take(pa.array(wanted)).to_pylist()
        start = rows.stop
    return Predictions(ids, labels, top, confidence)


def latest(results: Path, weights_hash: str | None = None) -> dict[str, Path]:
    """For each suite evaluated into a results folder, the folder of predictions last asked for.

    weights_hash: count only predictions of these weights.
    Raises NsbenchError for a broken manifest.
    """
    newest: dict[str, tuple[str, Path]] = {}
    for path in sorted(results.glob("*/*/suite.json")):
        manifest = read_json(path)
        try:
            when, weights = str(manifest["evaluated"]), manifest["identity"].get("weights")
        except (KeyError, TypeError, AttributeError) as error:
            raise NsbenchError(f"{path} is broken: delete its folder, evaluate again") from error
        name = path.parent.parent.name
        # Times are ISO 8601, which sorts as text.
        if weights_hash in (None, weights) and (name not in newest or when >= newest[name][0]):
            newest[name] = (when, path.parent)
    return {name: folder for name, (_, folder) in newest.items()}
