"""NumPy files that are written piece by piece, so that memory does not grow with them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nsbench.util.files import written_whole


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
