"""The content of released files, cell by cell: what makes two copies of a set the same, or not."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsbench.data.content import Storage, StoredSource
from nsbench.data.readers.npy import mapped
from nsbench.data.tar_index import TarPath
from nsbench.released.trees import Tree


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
        """The bytes of a file."""
        return self._paths[index].read_bytes()


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


def files_digest(folder: Tree, paths: Sequence[Tree]) -> str:
    """Hash of the content of files in a folder or archive, in this order.

    Raises NsbenchError if one is missing or cannot be read.
    """
    listed = hashlib.sha256("\n".join(map(str, paths)).encode()).hexdigest()
    return _digest(_Files(f"{_absolute(folder)} {listed}", folder, paths))


def rows_digest(array: Tree, rows: NDArray[np.int64]) -> str:
    """Hash of the content of these rows of a .npy file, in this order. Raises NsbenchError."""
    listed = hashlib.sha256(np.ascontiguousarray(rows, "<i8").data).hexdigest()
    return _digest(_Rows(f"{_absolute(array)} {listed}", array, rows))


def _absolute(tree: Tree) -> str:
    return str(tree if isinstance(tree, TarPath) else Path(tree).absolute())


def _digest(source: StoredSource) -> str:
    return hashlib.sha256(source.digests.data).hexdigest()
