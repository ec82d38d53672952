"""Tar archives read in place: an index of their members, and the bytes of one at a time.

Nothing is ever extracted. Archives with members that could lead out of a folder are refused all the
same, since they are not what they claim to be.
"""

import io
import os
import tarfile
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from nsbench.util.errors import NsbenchError
from nsbench.util.files import cached_while_unchanged, plain
from nsbench.util.progress import counted, say

# Bytes above which a line says what takes so long: reading the headers of a large archive.
LARGE = 2**30
_PACKED = {".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst"}
_ARCHIVES = {".tar", ".zip", ".7z", ".rar", *_PACKED}


@dataclass(frozen=True)
class Index:
    """The files in a tar archive: paths, and int64 (N,) offsets and sizes."""

    archive: Path
    names: list[str]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each path."""
        return {name: row for row, name in enumerate(self.names)}

    @cached_property
    def folders(self) -> dict[str, set[str]]:
        """The names of the folders in each folder that holds anything; "." is the top."""
        folders: dict[str, set[str]] = {".": set()}
        for parent in {str(PurePosixPath(name).parent) for name in self.names}:
            path = PurePosixPath(parent)
            for folder in [path, *path.parents][:-1]:
                folders.setdefault(str(folder), set())
                folders.setdefault(str(folder.parent), set()).add(folder.name)
        return folders

    def read(self, row: int) -> bytes:
        """The content of a file. Raises NsbenchError if the archive has become shorter."""
        return read_at(self.archive, int(self.offsets[row]), int(self.sizes[row]))


def read_at(archive: Path, offset: int, size: int) -> bytes:
    """Bytes of a file, by no shared position, so that threads and forks do not meet.

    Raises NsbenchError if they are not there.
    """
    try:
        # Opened for each read, as an open file could not be shared with forked processes.
        with plain(archive).open("rb", buffering=0) as file:
            content = os.pread(file.fileno(), size, offset)
    except OSError as error:
        raise NsbenchError(f"cannot read {archive}: {error.strerror}") from error
    if len(content) < size:
        raise NsbenchError(f"{archive} ends too early: it changed while it was read")
    return content


def index_of(archive: Path) -> Index:
    """The index of an archive, read when first asked for. Raises NsbenchError as `read_index`."""
    try:
        return _kept_index(archive)
    except OSError as error:
        raise NsbenchError(f"cannot read {archive}: {error.strerror}") from error


@cached_while_unchanged(16)  # more archives than any released set has
def _kept_index(archive: Path) -> Index:
    return read_index(archive)


def read_index(archive: Path) -> Index:
    """List the files of a plain tar archive by reading its headers only.

    Raises NsbenchError for a file that is not a tar, is compressed or cut off, and for members that
    are links, devices or sparse, are named twice, or have absolute paths or `..`.
    """
    if archive.suffix.lower() in _PACKED:
        raise NsbenchError(
            f"{archive} is compressed, so that its images cannot be read one by one: unpack it to "
            f"a plain .tar first, for example by gunzip {archive}"
        )
    if archive.stat().st_size > LARGE:
        say(f"reading the list of files in {archive}")
    names: list[str] = []
    numbers = array("q")  # a million members would be large as objects
    for name, *where in _members(archive):
        names.append(_path(name, archive))
        numbers.extend(where)
    offsets, sizes = np.array(numbers, dtype=np.int64).reshape(-1, 2).T
    index = Index(archive, names, offsets, sizes)
    # tar itself lets the later one win; here that would hide a damaged or doctored archive.
    if len(index.rows) < len(names):
        twice = next(name for row, name in enumerate(names) if index.rows[name] != row)
        raise NsbenchError(f"{archive} holds '{twice}' twice: fetch the released one")
    return index


def packed_inside(names: Iterable[str], holder: Path | str, *, folder: bool = False) -> str:
    """How a sentence about a place without images ends if it holds archives; empty if it does not.

    names: of what is in it. folder: whether it is a folder, whose tars could be named themselves.
    """
    inner = list(filter(is_archive, names))
    if not inner:
        return ""
    held = f" but {counted(len(inner), 'archive')}, such as {inner[0]}"
    if not folder:
        return f"{held}, and nothing in them is read: unpack {holder} into a folder, and name that"
    way_out = "name the folder that holds it" if inner[0].endswith(".tar") else "unpack it first"
    return f"{held}: {way_out}"


def is_archive(name: str) -> bool:
    """Whether a file of this name holds others."""
    return bool(_ARCHIVES & set(PurePosixPath(name).suffixes))


def _members(archive: Path) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of each file."""
    try:
        with tarfile.open(plain(archive), "r:") as tar:  # "r:" refuses compression
            while member := tar.next():
                if not member.isdir():
                    _refuse_special(member, archive)
                    yield member.name, member.offset_data, member.size
                tar.members.clear()  # type: ignore[attr-defined]  # a million would stay in memory
            end = tar.offset
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise _broken(archive, str(error)) from error
    # To tarfile a broken header in the middle is the end; a real end is a block of zeros, or the
    # end of the file.
    left = max(archive.stat().st_size - end, 0)
    if read_at(archive, end, min(left, tarfile.BLOCKSIZE)).strip(b"\0"):
        raise _broken(archive, f"the header at byte {end} is damaged")


def _broken(archive: Path, reason: str) -> NsbenchError:
    return NsbenchError(f"{archive} is not a whole tar archive ({reason}): fetch it again")


def _refuse_special(member: tarfile.TarInfo, archive: Path) -> None:
    if not member.isreg() or member.issparse() or member.size < 0:
        raise NsbenchError(
            f"{archive} holds '{member.name}', which is not a plain file but a link, a device or "
            "sparse: nsbench reads archives of plain files only; fetch the released one"
        )


def _path(name: str, archive: Path) -> str:
    path = PurePosixPath(name)  # which also drops the "./" that many archives begin names with
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise NsbenchError(
            f"{archive} holds '{name}', a path that leads out of the archive: do not trust it; "
            "fetch the released one"
        )
    return str(path)


@dataclass(frozen=True)
class TarPath:
    """A file or folder inside a tar archive, with the few methods of a Path that readers need."""

    archive: Path
    inner: str = "."

    def __str__(self) -> str:
        return str(self.archive / self.inner)

    def __truediv__(self, name: str) -> "TarPath":
        return TarPath(self.archive, str(PurePosixPath(self.inner) / name))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self.inner).name

    def with_name(self, name: str) -> "TarPath":
        """The neighbour of that name."""
        return TarPath(self.archive, str(PurePosixPath(self.inner).with_name(name)))

    def is_dir(self) -> bool:
        """Whether it is a folder with something in it."""
        return self.inner in index_of(self.archive).folders

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.inner in index_of(self.archive).rows

    def folders(self) -> set[str]:
        """The names of the folders in it."""
        return index_of(self.archive).folders.get(self.inner, set())

    def span(self) -> tuple[int, int]:
        """Where a file starts in the archive, and its size. Raises FileNotFoundError."""
        index = index_of(self.archive)
        if self.inner not in index.rows:
            raise FileNotFoundError(str(self))
        row = index.rows[self.inner]
        return int(index.offsets[row]), int(index.sizes[row])

    def read_bytes(self) -> bytes:
        """The content of a file. Raises FileNotFoundError."""
        return read_at(self.archive, *self.span())

    def open(self, _: str = "rb") -> io.BytesIO:
        """The content of a file, as a stream in memory. Raises FileNotFoundError."""
        return io.BytesIO(self.read_bytes())
