"""What images are, by their stored bytes: digests, made once and kept, and versions of sources.

A source is the same data wherever and whenever it was copied, and other data once a byte of an
image is another one. So its identity is a SHA-256 of each image as it is stored; sizes and times of
files only ever save reading them again.
"""

import hashlib
import io
import json
import os
import struct
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.cache import cache_folder, only_one, settle
from nsbench.data.decode import decode
from nsbench.data.spec import Source, label_sets
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint, read_plain, sha256, why_unread, written_whole
from nsbench.util.progress import stage

Digests = NDArray[np.uint8]

BYTES = 16
"""Of a digest: two of a billion images share one with a chance of 1 in 10^20."""

CHUNK = 64
"""Images that a thread hashes at a time; the digests do not depend on it."""

QUIET = 1.0
"""Seconds of hashing without a line about it."""

# The number goes up when a key or a digest is made of other bytes.
_MAGIC = b"nsbench digests 1\n"


@dataclass(frozen=True)
class Storage:
    """Where the stored bytes of a source's images lie.

    name: what tells this source from others, also from others in the same files.
    root, files: the files, by their paths below the folder.
    spans: int64 (N, 3), for each image the number of its file, where in the file it lies, and its
        size there; place and size in any unit, as long as other ones are other bytes of the file.
        None where each image is a whole file, in the order of the files.
    """

    name: str
    root: Path
    files: Sequence[str]
    spans: NDArray[np.int64] | None = None

    def file_of(self, index: int) -> Path:
        """The file that holds an image."""
        return self.root / self.files[index if self.spans is None else int(self.spans[index, 0])]


class StoredSource(ABC):
    """What all readers share: an image is decoded from the bytes that its digest is made of.

    A reader sets `name`, `ids`, `classes` and `labels` as `Source` has them, and gives `raw`; one
    whose images lie in files gives `storage` too, without which digests are not kept.
    """

    name: str
    ids: Sequence[str]
    classes: tuple[str, ...] | None
    labels: NDArray[np.int64] | None
    # Read only, as all sources that pass nothing over share it.
    passed_over: Mapping[str, int] = MappingProxyType({})
    no_labels: str = ""
    """Why there are no labels, as the end of a sentence; empty where nothing more can be said."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def storage(self) -> Storage | None:
        """The files that hold the images, None where they lie in none."""
        return None

    @abstractmethod
    def raw(self, index: int) -> bytes:
        """The bytes of an image as stored: a file's, a member's, a cell's or the pixels of a row.

        Raises NsbenchError naming the image if they cannot be read.
        """

    def image(self, index: int) -> Image.Image:
        """RGB image as stored. Raises NsbenchError naming the image if it cannot be read."""
        return decode(io.BytesIO(self.raw(index)), self.called(index))

    def called(self, index: int) -> str:
        """What errors call an image."""
        return f"{self.ids[index]} in {self.name}"

    @cached_property
    def digests(self) -> Digests:
        """See `Source`; hashed when first asked for."""
        return digests(self, np.arange(len(self)))

    def digests_of(self, indices: NDArray[np.int64]) -> Digests:
        """See `Source`; only these images are hashed, where none was asked for before."""
        return self.digests[indices] if "digests" in self.__dict__ else digests(self, indices)

    @cached_property
    def version(self) -> str:
        """See `Source`; the images are hashed when it is first asked for."""
        return version_of(self)


def of_rows(path: Path, count: int) -> Storage:
    """The storage of images that are the rows of one file."""
    spans = np.zeros((count, 3), np.int64)
    spans[:, 1] = np.arange(count)
    return Storage(os.path.abspath(path), path.parent, [path.name], spans)


def read_whole(path: Path, name: str) -> bytes:
    """The bytes of an image's file. Raises NsbenchError that calls it `name`."""
    try:
        return read_plain(path)
    except OSError as error:
        raise NsbenchError(
            f"the image {name} cannot be read ({why_unread(error, path)}): replace or remove it"
        ) from error


def version_of(source: Source) -> str:
    """A hash of a source's ids, the content of its images, its labels and its class names.

    It depends on no path, time, root or kind of file: a folder, a tar of it and a copy elsewhere
    have the same.
    """
    total = hashlib.sha256()
    for name in source.ids:
        # As JSON, since a name may hold any letter that could stand between names.
        total.update(json.dumps(name).encode())
    total.update(source.digests.tobytes())
    if source.labels is not None:
        total.update(np.ascontiguousarray(source.labels, "<i8").tobytes())  # on any machine
    return fingerprint(
        [total.hexdigest(), source.labels is None, source.classes, label_sets(source)]
    )


def digests(source: StoredSource, indices: NDArray[np.int64]) -> Digests:
    """The first 16 bytes of the SHA-256 of these images' stored bytes, uint8 (n, 16), in order.

    Digests of files whose path, size, times and inode are as they were are taken from a file in
    `cache_folder("digests")`; a broken one is made again, and where none can be written the images
    are hashed each time. Of several processes one hashes, and the others wait for it.
    An image that cannot be read has zeros, and is tried again by the next command: whoever decodes
    it says so.
    """
    storage, folder = source.storage, cache_folder("digests")
    if storage is None or folder is None:
        return _hashed(source, indices)
    # A path may hold bytes that are not UTF-8.
    path = folder / f"{sha256(storage.name.encode(errors='surrogateescape'))[:32]}.bin"
    keys, newest = _keys(storage, len(source))
    held, known = _looked_up(path, keys)
    if known[indices].all():
        return held[indices]
    with only_one(path, f"hashing the images of {source.name}"):
        held, known = _looked_up(path, keys)
        missing = np.unique(indices[~known[indices]])
        if len(missing):
            settle(newest)
            held[missing] = _hashed(source, missing)
            read = held.any(1)
            # Without room, or in a folder of others, the next command hashes again.
            with suppress(NsbenchError):
                _write(path, keys[read], held[read])
    return held[indices]


def _keys(storage: Storage, count: int) -> tuple[Digests, int]:
    """What each image's digest is kept under, uint8 (N, 16), and the newest time of a file in ns.

    Keys are made of all that must not change. The change time, which no tool can set back, is
    among it: `touch -r` and `cp -p` over a file do not hide that it was replaced.
    """
    keys, newest = np.empty((count, BYTES), np.uint8), 0
    root, files = os.path.abspath(storage.root), storage.files
    held: list[Any] = []
    for file in files:
        path = os.path.join(root, file)
        try:
            stat = os.stat(path)
        except OSError as error:
            if storage.spans is None:  # one image among others, such as a link to nothing
                keys[len(held)] = 0
                held.append(None)
                continue
            raise NsbenchError(
                f"cannot read {path}: {error.strerror}; restore the file, or take it off the data"
            ) from error
        newest = max(newest, stat.st_ctime_ns)
        what = f"{storage.name}\0{path}\0{stat.st_ino}\0".encode(errors="surrogateescape")
        times = struct.pack("<3q", stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        started = hashlib.sha256(what + times)
        if storage.spans is None:
            keys[len(held)] = np.frombuffer(started.digest()[:BYTES], np.uint8)
        held.append(None if storage.spans is None else started)
    if storage.spans is not None:
        for index, (file, place, size) in enumerate(storage.spans.tolist()):
            key = held[file].copy()
            key.update(struct.pack("<2q", place, size))
            keys[index] = np.frombuffer(key.digest()[:BYTES], np.uint8)
    return keys, newest


def _looked_up(path: Path, keys: Digests) -> tuple[Digests, NDArray[np.bool_]]:
    """The kept digests under these keys, and which there are, bool (N,)."""
    found = np.zeros((len(keys), BYTES), np.uint8)
    kept = _read(path)
    if kept is None:
        return found, np.zeros(len(keys), bool)
    # As texts of 16 bytes, which sort and compare whole.
    theirs, wanted = (_as_texts(table) for table in (kept[:, :BYTES], keys))
    order = np.argsort(theirs)
    places = order[np.searchsorted(theirs, wanted, sorter=order).clip(max=len(order) - 1)]
    known = theirs[places] == wanted
    found[known] = kept[places[known], BYTES:]
    return found, known


def _as_texts(table: Digests) -> NDArray[np.bytes_]:
    return np.ascontiguousarray(table).view(f"S{BYTES}").ravel()


def _read(path: Path) -> Digests | None:
    """Keys and digests, uint8 (M, 32); None where there are none, or the file is broken."""
    try:
        content = read_plain(path)
    except OSError:
        return None
    start = len(_MAGIC) + 32  # of its own SHA-256
    body = memoryview(content)[start:]
    stated = content[len(_MAGIC) : start]
    whole = content.startswith(_MAGIC) and stated == hashlib.sha256(body).digest()
    if not whole or not len(body) or len(body) % (2 * BYTES):
        return None
    return np.frombuffer(body, np.uint8).reshape(-1, 2 * BYTES)


def _write(path: Path, keys: Digests, held: Digests) -> None:
    body = np.hstack([keys, held]).tobytes()
    with written_whole(path) as file:
        file.write(_MAGIC + hashlib.sha256(body).digest() + body)


def _hashed(source: StoredSource, indices: NDArray[np.int64]) -> Digests:
    """The digests of some images, uint8 (M, 16), with progress if it takes long.

    Those of images that cannot be read are zeros.
    """
    made = np.empty((len(indices), BYTES), np.uint8)

    def chunk(start: int) -> int:
        rows = indices[start : start + CHUNK].tolist()
        for row, index in enumerate(rows, start):
            try:
                digest = hashlib.sha256(source.raw(index)).digest()
                made[row] = np.frombuffer(digest[:BYTES], np.uint8)
            except NsbenchError:
                made[row] = 0
        return len(rows)

    # More threads than cores, since the files may lie on a distant disk.
    pool = ThreadPoolExecutor()
    try:
        _told(f"hashing {source.name}", len(indices), pool.map(chunk, range(0, len(made), CHUNK)))
    finally:
        pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C the rest is not needed
    return made


def _told(name: str, total: int, counts: Iterator[int]) -> None:
    """Go through counts of finished images, as a stage once it has taken more than a second."""
    start, done = time.monotonic(), 0
    advance: Callable[[int], None] | None = None
    with ExitStack() as stack:
        for count in counts:
            done += count
            if advance:
                advance(count)
            elif time.monotonic() - start > QUIET and done < total:
                advance = stack.enter_context(stage(name, total, done=done))
