"""The content of released files, cell by cell: what makes two copies of a set the same, or not.

Beside what it makes, `nsbench make` keeps the digests of that, and of the images it was made of.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nsbench.data.content import BYTES, Digests, Storage, StoredSource
from nsbench.data.readers.npy import mapped
from nsbench.data.tar_index import TarPath
from nsbench.released.trees import Tree
from nsbench.util.errors import NsbenchError
from nsbench.util.files import plain
from nsbench.util.sealed import BLANK, flaw, written_sealed

RECORDS = ".digests"
"""The folder of the records in a made set: hidden, so that no reader takes it for images."""


class _Files(StoredSource):
    """A file for each image, below a folder or inside an archive."""

    def __init__(self, name: str, folder: Tree, paths: Sequence[Tree]) -> None:
        self.name, self._folder, self._paths = name, folder, paths
        self.ids = [str(path) for path in paths]

    @property
    def storage(self) -> Storage:
        """The files, or where they lie in the archive."""
        if isinstance(self._folder, TarPath):
            archive = self._folder.archive
            spans = [(0, *path.span()) for path in self._paths if isinstance(path, TarPath)]
            return Storage(self.name, archive.parent, [archive.name], np.array(spans, np.int64))
        files = [os.path.relpath(path, self._folder) for path in self.ids]
        return Storage(self.name, self._folder, files)

    def raw(self, index: int) -> bytes:
        """The bytes of a file. Raises NsbenchError for one that is missing or empty."""
        # Empty files, which a crash of the machine may leave, count as missing to who makes them.
        try:
            content = plain(self._paths[index]).read_bytes()
        except OSError as error:
            raise NsbenchError(f"cannot read {self._paths[index]}: {error.strerror}") from error
        if not content:
            raise NsbenchError(f"{self._paths[index]} is empty: remove it, and make it again")
        return content


class _Rows(StoredSource):
    """Rows of a .npy file."""

    def __init__(self, name: str, array: Tree, rows: NDArray[np.int64]) -> None:
        self.name, self._array, self._rows = name, array, rows
        self.ids = [str(row) for row in rows.tolist()]

    @property
    def storage(self) -> Storage:
        """The file, or the archive that holds it, and the rows."""
        tree = self._array
        file = tree.archive if isinstance(tree, TarPath) else tree
        # Counted from where the array begins, which in an archive says which of its arrays it is.
        first = tree.span()[0] if isinstance(tree, TarPath) else 0
        spans = np.zeros((len(self._rows), 3), np.int64)
        spans[:, 1], spans[:, 2] = self._rows, first
        return Storage(self.name, file.parent, [file.name], spans)

    def raw(self, index: int) -> bytes:
        """The pixels of a row."""
        pixels: NDArray[np.uint8] = mapped(self._array)[self._rows[index]]
        return pixels.tobytes()


def files_digests(folder: Tree, paths: Sequence[Tree]) -> Digests:
    """Digests of the content of files in a folder or archive, uint8 (n, 16), in this order.

    Those of files that are missing or cannot be read are zeros, as of any source.
    """
    listed = hashlib.sha256("\n".join(map(str, paths)).encode()).hexdigest()
    return _Files(f"{_absolute(folder)} {listed}", folder, paths).digests


def rows_digests(array: Tree, rows: NDArray[np.int64]) -> Digests:
    """Digests of the content of these rows of a .npy file, uint8 (n, 16). Raises NsbenchError."""
    listed = hashlib.sha256(np.ascontiguousarray(rows, "<i8").data).hexdigest()
    return _Rows(f"{_absolute(array)} {listed}", array, rows).digests


def _absolute(tree: Tree) -> str:
    return str(tree if isinstance(tree, TarPath) else Path(tree).absolute())


def record_path(root: Path, cell: str) -> Path:
    """The file in which `nsbench make` keeps the digests of a cell."""
    return root / RECORDS / f"{cell}.parquet"


def write_record_of(
    root: Path, cell: str, ids: Sequence[str], images: Digests, files: Digests
) -> None:
    """Keep what a cell was made of, and what was made.

    ids, images: of the source, with digests uint8 (N, 16). files: digests of what was made of them.
    """
    table = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "image": _column(images),
            "file": _column(files),
        }
    )
    path, about = record_path(root, cell), json.dumps({"cell": cell, "digest": BLANK})
    if not flaw(path) and pq.read_table(path).equals(table):
        return  # a set may lie where nobody can write
    with (
        written_sealed(path) as file,
        pq.ParquetWriter(file, table.schema) as writer,
    ):
        writer.write_table(table)
        writer.add_key_value_metadata({"nsbench": about})


def _column(digests: Digests) -> pa.Array:
    plain = pa.py_buffer(np.ascontiguousarray(digests).data)
    return pa.Array.from_buffers(pa.binary(BYTES), len(digests), [None, plain])


def check_record(
    root: Path, cell: str, ids: Sequence[str], images: Digests, files: Digests | None = None
) -> None:
    """Compare images, and files made of them, with what `nsbench make` kept of a cell.

    Arguments as for `write_record_of`; passed over are images that are not in the record, and what
    has zeros for a digest, as it is missing: whoever reads it says so.
    Raises NsbenchError naming the first that differs, and for a record that is damaged.
    """
    path = record_path(root, cell)
    if problem := flaw(path):
        raise NsbenchError(
            f"{path} {problem}: repeat the nsbench make that made {root}, which keeps the files"
        )
    if json.loads(pq.read_metadata(path).metadata[b"nsbench"])["cell"] != cell:
        raise NsbenchError(f"{path} is of another cell: restore it, or make the files again")
    table = pq.read_table(path)
    known = {name: row for row, name in enumerate(table["id"].to_pylist())}
    kept = {
        name: np.frombuffer(b"".join(table[name].to_pylist()), np.uint8).reshape(-1, BYTES)
        for name in ("image", "file")
    }
    rows = [(row, known[name]) for row, name in enumerate(ids) if name in known]
    own, theirs = np.array(rows, np.int64).reshape(-1, 2).T
    if (row := _different(images, own, kept["image"], theirs)) is not None:
        raise NsbenchError(
            f"{root} was made of another image {ids[row]} than there is now: restore that image, "
            "or make the files again in another folder"
        )
    if files is not None and (row := _different(files, own, kept["file"], theirs)) is not None:
        raise NsbenchError(
            f"what {root} holds of the image {ids[row]} in {cell} is not as nsbench make wrote it: "
            "remove it and repeat that nsbench make"
        )


def _different(
    digests: Digests, own: NDArray[np.int64], kept: Digests, theirs: NDArray[np.int64]
) -> int | None:
    """The first of the own rows that is not as it was kept."""
    if not len(own):
        return None
    unlike = (digests[own] != kept[theirs]).any(1) & digests[own].any(1)
    return int(own[unlike.argmax()]) if unlike.any() else None
