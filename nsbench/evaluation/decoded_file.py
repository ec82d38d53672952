"""Decoded images in a file: in memory, in a temporary file, or in a cache for later commands."""

import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.util.device import free_memory
from nsbench.util.errors import NsbenchError
from nsbench.util.files import file_sha256, place_to_write
from nsbench.util.sealed import is_usable, read_record, set_aside, write_record

Array = NDArray[np.uint8]
CPU = torch.device("cpu")


class DecodedImages:
    """Images of one view, uint8 (3, H, W) each, in an open file that is read on demand.

    unreadable: rows of images that could not be read, and why; they are black here.
    """

    def __init__(
        self, file: int, shapes: NDArray[np.int64], starts: NDArray[np.int64], lost: dict[int, str]
    ) -> None:
        self._file, self._shapes, self._starts = file, shapes, starts
        self.unreadable = lost

    def __len__(self) -> int:
        return len(self._shapes)

    def image(self, row: int) -> Array:
        """One image, uint8 (3, H, W)."""
        out = np.empty(self._shapes[row], np.uint8)
        _read(self._file, out, int(self._starts[row]))
        return out

    def batch(self, rows: slice) -> torch.Tensor:
        """Images of one shape, uint8 (B, 3, H, W)."""
        shapes, starts = self._shapes[rows], self._starts[rows]
        out = np.empty((len(shapes), *shapes[0]), np.uint8)
        # One read where the images lie one behind the other, as they do unless `take` chose some.
        if (np.diff(starts) == out[0].size).all():
            _read(self._file, out, int(starts[0]))
        else:
            for image, start in zip(out, starts.tolist(), strict=True):
                _read(self._file, image, start)
        return torch.from_numpy(out)

    def take(self, rows: NDArray[np.int64]) -> "DecodedImages":
        """Only some images, in this order."""
        lost = {
            index: self.unreadable[row]
            for index, row in enumerate(rows.tolist())
            if row in self.unreadable
        }
        return DecodedImages(self._file, self._shapes[rows], self._starts[rows], lost)


def _read(file: int, out: Array, start: int) -> None:
    # Not a map, whose pages would count as this process's memory. preadv has no file position, so
    # that threads and forked processes can share the file, and may return less than was asked for.
    view = memoryview(out.data).cast("B")
    while view:
        count = os.preadv(file, [view], start)
        if not count:
            raise NsbenchError("the file of decoded images was cut short: repeat the command")
        view, start = view[count:], start + count


class DecodedWriter:
    """Takes images one by one, and makes `DecodedImages` of them at the end.

    expected: their bytes, roughly. kept: the file to keep them in; None for one that ends with this
    process.
    Raises NsbenchError where there is no room.
    """

    def __init__(self, expected: int, kept: Path | None = None) -> None:
        self._kept, self._shapes, self._lost = kept, list[tuple[int, ...]](), dict[int, str]()
        self._digest = hashlib.sha256()
        self._where = str(kept.parent) if kept else tempfile.gettempdir()
        try:
            self._file, self._temporary = _open(expected, kept)
        except OSError as error:
            raise self._no_room(error) from error

    def add(self, image: Array, lost: str | None = None) -> None:
        """Append an image, or a black one and why it could not be read."""
        if lost is not None:
            self._lost[len(self._shapes)] = lost
        self._shapes.append(image.shape)
        view = memoryview(image.data).cast("B")
        if self._kept:
            self._digest.update(view)
        try:
            # A call may write less than it is given: Linux stops at 2 GiB.
            while view:
                view = view[os.write(self._file, view) :]
        except OSError as error:
            self.discard()
            raise self._no_room(error) from error

    def discard(self) -> None:
        """Remove what was written."""
        if self._temporary:
            Path(self._temporary).unlink(missing_ok=True)
            self._temporary = None

    def done(self) -> DecodedImages:
        """The images; they are kept from now on."""
        if self._kept and self._temporary:
            os.chmod(self._temporary, 0o644)  # mkstemp makes files for their owner alone
            # Under its name only once it is whole; the index follows, and makes it count.
            os.replace(self._temporary, self._kept)
            about = {
                "of": self._kept.name,
                "sha256": self._digest.hexdigest(),
                "shapes": _runs(self._shapes),
                "unreadable": {str(row): reason for row, reason in self._lost.items()},
            }
            write_record(_index(self._kept), about)
        return _pixels(self._file, self._shapes, self._lost)

    def _no_room(self, error: OSError) -> NsbenchError:
        return NsbenchError(
            f"the decoded images cannot be written to {self._where} ({error.strerror}): "
            f"{place_to_write(error)}, as with --cache FOLDER"
        )


def _open(expected: int, kept: Path | None) -> tuple[int, str | None]:
    if kept:
        # In the folder of the file itself, since os.replace cannot cross file systems.
        kept.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.mkstemp(prefix=f".{kept.name}.", dir=kept.parent)
    # A file in memory, where the system has such: read as any other, and shared by forked workers.
    if hasattr(os, "memfd_create") and expected < free_memory(CPU) / 2:
        return os.memfd_create("nsbench"), None
    # Without a name on disk, so that nothing is left when the process is killed. dup, as closing
    # the file object closes its own descriptor.
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno()), None


def cached(kept: Path) -> DecodedImages | None:
    """The images that an earlier command kept, None if there are none.

    What is not as it was written is moved aside.
    """
    index = _index(kept)
    # The index is written last: without one the images are those of a command that was killed.
    if not (kept.exists() and is_usable(index)):
        return None
    about = read_record(index, "repeat the command")
    if about["of"] != kept.name:
        set_aside(index, "is of other images")
    elif file_sha256(kept) != about["sha256"]:
        set_aside(kept, "is not as it was written")
    else:
        shapes = [tuple(shape) for count, shape in about["shapes"] for _ in range(count)]
        lost = {int(row): str(reason) for row, reason in about["unreadable"].items()}
        return _pixels(os.open(kept, os.O_RDONLY), shapes, lost)
    return None


def _pixels(file: int, shapes: list[tuple[int, ...]], lost: dict[int, str]) -> DecodedImages:
    # reshape and the slice below are for no images at all: the sums of nothing still begin with 0.
    table = np.array(shapes, np.int64).reshape(-1, 3)
    starts = np.concatenate([[0], np.cumsum(table.prod(1))[:-1]]).astype(np.int64)
    return DecodedImages(file, table, starts[: len(table)], lost)


def _runs(shapes: list[tuple[int, ...]]) -> list[tuple[int, tuple[int, ...]]]:
    """Runs of equal shapes as (count, shape): crops, which are all alike, take one line."""
    runs: list[tuple[int, tuple[int, ...]]] = []
    for shape in shapes:
        if runs and runs[-1][1] == shape:
            runs[-1] = (runs[-1][0] + 1, shape)
        else:
            runs.append((1, shape))
    return runs


def _index(kept: Path) -> Path:
    return kept.with_name(f"{kept.name}.json")
