from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from nsbench.util import npy
from nsbench.util.npy import npy_appender


@pytest.mark.parametrize("dtype", [np.uint32, np.int64, np.float16])
def test_pieces_make_one_file(tmp_path: Path, dtype: type[np.generic]) -> None:
    path = tmp_path / "values.npy"
    with npy_appender(path, dtype) as append:
        for piece in (np.arange(3), np.arange(0), np.arange(3, 1003)[::-1]):
            append(piece)
        assert not path.exists()
    found = np.load(path, mmap_mode="r", allow_pickle=False)
    assert found.dtype == dtype
    assert found.tolist() == [0, 1, 2, *range(1002, 2, -1)]


def test_the_header_of_any_count_is_as_long() -> None:
    lengths = set()
    for count in (0, 130_000_000, 2**60):
        file = BytesIO()
        npy._header(file, np.dtype(np.int64), count)
        lengths.add(file.tell())
    assert len(lengths) == 1


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def stopped() -> None:
        with npy_appender(tmp_path / "values.npy", np.int64) as append:
            append(np.arange(5))
            raise KeyError

    with pytest.raises(KeyError):
        stopped()
    assert not list(tmp_path.iterdir())
