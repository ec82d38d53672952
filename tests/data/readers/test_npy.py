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
        np.zeros((8, 8, 3), np.uint8),  # one image, not eight grey ones
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((2, 8, 8, 4), np.uint8),
        np.array([{}]),
        np.zeros((0, 8, 8, 3), np.uint8),
    ],
)
def test_wrong_arrays(tmp_path: Path, array: "np.typing.NDArray[np.generic]") -> None:
    np.save(tmp_path / "images.npy", array, allow_pickle=True)
    with pytest.raises(NsbenchError, match=r"images are uint8 \(N, H, W, 3\)|cannot be read"):
        open_source(spec(tmp_path))


@pytest.mark.parametrize("shape", [(2, 8, 6), (2, 8, 6, 1)])
@pytest.mark.parametrize("column", [True, False])
def test_grey_arrays_and_columns_of_labels(
    tmp_path: Path, shape: tuple[int, ...], column: bool
) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.save(tmp_path / "images.npy", array)
    np.save(tmp_path / "labels.npy", np.array([1, 0], np.uint8).reshape((2, 1) if column else 2))
    source = open_source(spec(tmp_path))
    assert source.labels is not None
    assert source.labels.tolist() == [1, 0]
    wanted = np.repeat(array.reshape(2, 8, 6, 1), 3, axis=3)
    assert (np.stack([np.asarray(source.image(row)) for row in range(2)]) == wanted).all()


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "classnames.txt"])
def test_links_beside_arrays_that_lead_nowhere(
    image_folder: Path, tmp_path: Path, name: str
) -> None:
    arrays = arrays_of(image_folder, tmp_path / "npy")
    (arrays / name).unlink(missing_ok=True)
    (arrays / name).symlink_to("gone")
    with pytest.raises(NsbenchError, match=rf"{name} .*it is a link that leads nowhere \(gone\)"):
        open_source(spec(arrays))


def test_wrong_labels_of_arrays(image_folder: Path, tmp_path: Path) -> None:
    arrays = arrays_of(image_folder, tmp_path / "npy")
    for labels in (np.zeros(5, int), np.zeros(6), np.full(6, -1)):
        np.save(arrays / "labels.npy", labels)
        with pytest.raises(NsbenchError, match="need as many whole numbers from 0"):
            open_source(spec(arrays))
