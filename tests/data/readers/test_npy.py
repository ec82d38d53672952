"""NumPy arrays as sources."""

from pathlib import Path

import numpy as np
import pytest

from nsbench.data.open import open_source
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import arrays_of, spec


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3, 8, 8), np.uint8),
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((2, 8, 8), np.uint8),
        np.array([{}]),
        np.zeros((0, 8, 8, 3), np.uint8),
    ],
)
def test_wrong_arrays(tmp_path: Path, array: "np.typing.NDArray[np.generic]") -> None:
    np.save(tmp_path / "images.npy", array, allow_pickle=True)
    with pytest.raises(NsbenchError, match=r"images are uint8 \(N, H, W, 3\)|cannot be read"):
        open_source(spec(tmp_path))


def test_wrong_labels_of_arrays(image_folder: Path, tmp_path: Path) -> None:
    arrays = arrays_of(image_folder, tmp_path / "npy")
    for labels in (np.zeros(5, int), np.zeros(6), np.full(6, -1)):
        np.save(arrays / "labels.npy", labels)
        with pytest.raises(NsbenchError, match="need as many whole numbers from 0"):
            open_source(spec(arrays))
