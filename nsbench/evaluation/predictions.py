"""The store of predictions: one Parquet file a model, suite and cell, one row an image."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nsbench.errors import NsbenchError
from nsbench.run import fingerprint, read_json, write_bytes, write_json

TOP = 5


class Predictions(NamedTuple):
    """Rows of one cell: ids (N,), labels (N,), the five top classes (N, 5), confidence (N,).

    A clip has one row a frame, in order, all of one id. Missing ranks (fewer than five classes)
    are -1.
    """

    ids: Sequence[str]
    labels: NDArray[np.int32]
    top: NDArray[np.int32]
    confidence: NDArray[np.float32]


class Store:
    """The predictions of one model on one suite, in a folder named by their fingerprint.

    identity: everything that can change a number. Another identity is another folder, so that old
    and new predictions never mix.
    """

    def __init__(self, results: Path, suite: str, identity: dict[str, Any]) -> None:
        self.identity = identity
        self.folder = results / suite / fingerprint(identity)[:16]

    def path(self, cell: str) -> Path:
        """The file of a cell."""
        return self.folder / f"{cell}.parquet"

    def has(self, cell: str) -> bool:
        """Whether a cell is finished."""
        return self.path(cell).is_file()

    def write(self, cell: str, rows: Predictions) -> None:
        """Write a cell whole or not at all."""
        table = pa.table(
            {
                "id": pa.array(rows.ids, pa.string()),
                "label": pa.array(rows.labels, pa.int32()),
                "top": pa.FixedSizeListArray.from_arrays(rows.top.reshape(-1), TOP),
                "confidence": pa.array(rows.confidence, pa.float32()),
            }
        )
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        write_bytes(self.path(cell), buffer.getvalue())

    def finish(self, manifest: dict[str, Any]) -> None:
        """Write the manifest beside the cells: identity, suite, model and environment."""
        write_json(self.folder / "suite.json", {**manifest, "identity": self.identity})


def read_cell(folder: Path, cell: str, *, id_step: int = 1) -> Predictions:
    """The rows of a cell; with `id_step`, the ids of every so manieth row only, or of none (0).

    Raises NsbenchError if the file is missing or broken.
    """
    path = folder / f"{cell}.parquet"
    try:
        table = pq.read_table(path)
        top = table["top"].combine_chunks().flatten().to_numpy()
        return Predictions(
            _every(table["id"], id_step),
            table["label"].to_numpy(),
            top.reshape(-1, TOP),
            table["confidence"].to_numpy(),
        )
    except (OSError, pa.ArrowException, KeyError, ValueError, AttributeError) as error:
        raise NsbenchError(f"cannot read {path}: {error}; delete it and evaluate again") from error


def _every(column: Any, step: int) -> list[str]:
    # a table of all ids as Python strings would be far larger than the rest
    rows = np.arange(0, len(column), step) if step else np.empty(0, np.int64)
    ids: list[str] = column.take(pa.array(rows)).to_pylist()
    return ids


def latest(results: Path, weights: str | None = None) -> dict[str, Path]:
    """For each suite evaluated into a results folder, the folder of predictions last asked for.

    weights: count only predictions of these. Raises NsbenchError for a broken manifest.
    """
    found: dict[str, tuple[str, Path]] = {}
    for path in sorted(results.glob("*/*/suite.json")):
        manifest = read_json(path)
        try:
            when, of = str(manifest["evaluated"]), manifest["identity"].get("weights")
        except (KeyError, TypeError, AttributeError) as error:
            raise NsbenchError(f"{path} is broken: delete its folder, evaluate again") from error
        name = path.parent.parent.name
        if weights in (None, of) and (name not in found or when >= found[name][0]):
            found[name] = (when, path.parent)
    return {name: folder for name, (_, folder) in found.items()}
