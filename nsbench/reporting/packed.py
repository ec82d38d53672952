"""Predictions that are kept with a report, in a tenth of their size: what its numbers are made of.

A folder of predictions becomes one file with a row for each cell, in which ids and labels are not
repeated, and ranks, confidences and proper scores are left out where no number is made of them. All
that is left is exact, so that numbers made of it are the same.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nsbench.predictions import (
    MANIFEST,
    PROPER,
    TOP,
    Predictions,
    Store,
    read_cell,
    read_manifest,
)
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint, write_bytes
from nsbench.util.sealed import BLANK, flaw, written_sealed

PACKED = "cells.parquet"
"""Beside the manifest, in place of the cells."""

IMAGES = "images.parquet"
"""At the top: each list of ids with its labels, which many cells share."""

TOP_CLASS_ALONE = ("corruption", "attack")
"""Kinds of suites whose numbers are of the top class alone: neither other ranks nor confidences are
kept of them. Of clips no confidences are."""

_ABOUT = b"nsbench"

CELLS = pa.schema(
    [
        ("cell", pa.string()),
        ("images", pa.string()),
        ("frames", pa.int32()),
        ("ranks", pa.int32()),
        ("bytes", pa.int32()),
        ("top", pa.binary()),
        ("confidence", pa.binary()),
        ("proper", pa.binary()),
        ("unreadable", pa.string()),
    ]
)
"""top: (images * frames, ranks) integers of so many bytes; confidence, proper: float32; all little
endian. unreadable: JSON."""

LISTS = pa.schema(
    [("key", pa.string()), ("id", pa.list_(pa.string())), ("label", pa.list_(pa.int32()))]
)


class Packer:
    """Writes packed predictions below a folder; the lists of images once all is written.

    over_seeds: whether they are of a report over seeds, which has no number of proper scores.
    """

    def __init__(self, home: Path, *, over_seeds: bool = False) -> None:
        self._home, self._over_seeds = home, over_seeds
        self._lists: dict[str, tuple[list[str], list[int]]] = {}

    def add(self, folder: Path, below: Path) -> None:
        """Pack a folder of predictions. below: its place under the home. Raises NsbenchError."""
        manifest = read_manifest(folder)
        store = _store_of(folder, folder.parents[1], manifest)
        kind = manifest["suite"].get("kind")
        rows = [self._row(store, cell, kind) for cell in _cells(folder)]
        (self._home / below).mkdir(parents=True, exist_ok=True)
        # Byte by byte as it is: by its digest any change is noticed.
        write_bytes(self._home / below / MANIFEST, (folder / MANIFEST).read_bytes(), sync=False)
        _write(self._home / below / PACKED, rows, CELLS, fingerprint(manifest["identity"]))

    def close(self) -> None:
        """Write the lists of images."""
        rows = [{"key": k, "id": ids, "label": of} for k, (ids, of) in self._lists.items()]
        _write(self._home / IMAGES, rows, LISTS, IMAGES)

    def _row(self, store: Store, cell: str, kind: str | None) -> dict[str, Any]:
        found = read_cell(store.folder, cell)
        # Of the clean images beside hard ones only the accuracy is told.
        alone = kind in TOP_CLASS_ALONE or (kind, cell) == ("accuracy", "clean")
        proper = None if alone or self._over_seeds else found.proper
        # One id for all frames of a clip.
        ids = list(dict.fromkeys(found.ids))
        frames = len(found.ids) // max(1, len(ids))
        labels = found.labels[::frames].tolist() if ids else []
        # By content, as most cells of a report are of the same images.
        key = fingerprint([ids, labels])[:16]
        self._lists[key] = ids, labels
        top = found.top[:, :1] if alone else found.top
        # The classes of a small data set, and -1 for ranks that are missing, fit one byte.
        wide = np.min_scalar_type(-1 - int(top.max(initial=0)))
        confidence = b"" if alone or frames > 1 else _bytes(found.confidence, "<f4")
        return {
            "cell": cell,
            "images": key,
            "frames": frames,
            "ranks": top.shape[1],
            "bytes": wide.itemsize,
            "top": _bytes(top, f"<i{wide.itemsize}"),
            "confidence": confidence,
            "proper": b"" if proper is None else _bytes(proper, "<f4"),
            "unreadable": json.dumps(store.unreadable(cell)),
        }


def unpack(home: Path, out: Path) -> None:
    """Write the predictions below a folder as they were, but for what was left out of them.

    Raises NsbenchError for files that are damaged.
    """
    known = {row["key"]: row for row in _read(home / IMAGES, LISTS, IMAGES)}
    # As predictions again, so that all that reads a run reads these too, and in the same way.
    for path in sorted(home.rglob(PACKED)):
        results = out / path.relative_to(home).parents[2]
        manifest = read_manifest(path.parent)
        store = _store_of(path.parent, results, manifest)
        for row in _read(path, CELLS, fingerprint(manifest["identity"])):
            try:
                # What can be unpacked again need not outlast a crash.
                store.write(*_cell(row, known), sync=False)
            except (KeyError, ValueError, TypeError) as error:
                raise _damaged(path, error) from error
        write_bytes(store.folder / MANIFEST, (path.parent / MANIFEST).read_bytes(), sync=False)


def _cell(
    row: dict[str, Any], known: dict[str, dict[str, Any]]
) -> tuple[str, Predictions, int, dict[str, str]]:
    images, count = known[row["images"]], len(known[row["images"]]["id"]) * row["frames"]
    top = np.full((count, TOP), -1, np.int32)
    kept = np.frombuffer(row["top"], f"<i{row['bytes']}")
    top[:, : row["ranks"]] = kept.reshape(count, row["ranks"])
    confidence, proper = np.zeros(count, np.float32), None
    if row["confidence"]:
        confidence[:] = np.frombuffer(row["confidence"], "<f4")
    if row["proper"]:
        proper = np.frombuffer(row["proper"], "<f4").reshape(count, len(PROPER))
    labels = np.array(images["label"], np.int32)
    rows = Predictions(images["id"], labels, top, confidence, proper)
    return row["cell"], rows, row["frames"], json.loads(row["unreadable"])


def _store_of(folder: Path, results: Path, manifest: dict[str, Any]) -> Store:
    """The store of a folder of predictions, at its place in a folder of results."""
    return Store(results, folder.parent.name, manifest["identity"])


def _cells(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*.parquet")):
        yield path.relative_to(folder).with_suffix("").as_posix()


def _bytes(array: NDArray[Any], kind: str) -> bytes:
    return np.ascontiguousarray(array.astype(kind)).tobytes()


def _write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema, of: str) -> None:
    table = pa.Table.from_pylist(rows, schema)
    about = {_ABOUT: json.dumps({"of": of, "digest": BLANK})}
    # At its highest level: it is written once, and read in every copy of a repository.
    with written_sealed(path, sync=False) as file:
        pq.write_table(
            table.replace_schema_metadata(about), file, compression="zstd", compression_level=19
        )


def _read(path: Path, schema: pa.Schema, of: str) -> list[dict[str, Any]]:
    if problem := flaw(path):
        raise NsbenchError(f"{path} {problem}: restore it")
    try:
        about = json.loads(pq.read_metadata(path).metadata[_ABOUT])
        rows: list[dict[str, Any]] = pq.read_table(path, schema=schema).to_pylist()
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    if about.get("of") != of:
        raise NsbenchError(f"{path} is of another model or other settings: restore it")
    return rows


def _damaged(path: Path, error: Exception) -> NsbenchError:
    return NsbenchError(f"{path} is damaged ({error!s:.80}): restore it")
