"""NumPy files that are written piece by piece, so that memory does not grow with them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.files import plain, written_whole


def map_npy(path: Path) -> NDArray[Any]:
    """The array of a .npy file, mapped into memory and never unpickled.

    Raises NsbenchError naming the file if that cannot be.
    """
    try:
        array: NDArray[Any] = np.load(plain(path), mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy parses the header as Python, which fails in any way
        reason = getattr(error, "strerror", None) or first_line(error)
        raise NsbenchError(
            f"{path} cannot be read ({reason}): remove it and make or fetch it again"
        ) from error
    return array


@contextmanager
def npy_appender(path: Path, dtype: DTypeLike) -> Iterator[Callable[[NDArray[Any]], None]]:
    """A function that appends arrays (n,) to a .npy file, which appears whole or not at all."""
    kind, count = np.dtype(dtype), 0
    with written_whole(path) as file:
        # of the final size: NumPy leaves room for any count, so that it can be filled in at the end
        _header(file, kind, 0)

        def append(values: NDArray[Any]) -> None:
            nonlocal count
            count += len(values)
            file.write(np.ascontiguousarray(values, kind).data)

        yield append
        file.seek(0)
        _header(file, kind, count)  # NumPy leaves room for any count


def _header(file: IO[bytes], kind: np.dtype[Any], count: int) -> None:
    shape = {"descr": kind.str, "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(file, shape)
