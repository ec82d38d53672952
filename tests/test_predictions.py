from pathlib import Path

import numpy as np
import pytest

from nsbench.predictions import Predictions, Store, latest, read_cell
from nsbench.util.errors import NsbenchError

ROWS = Predictions(
    ["a", "b/ü"],
    np.array([1, 2], np.int32),
    np.array([[1, 2, 3, 4, 0], [0, 1, -1, -1, -1]], np.int32),
    np.array([0.5, 0.25], np.float32),
)


def test_rows_come_back_and_files_are_the_same_bytes(tmp_path: Path) -> None:
    stores = [Store(tmp_path / name, "suite", {"a": 1}) for name in ("one", "two")]
    for store in stores:
        assert not store.has("fog/3")
        store.write("fog/3", ROWS)
        assert store.has("fog/3")
    assert stores[0].path("fog/3").read_bytes() == stores[1].path("fog/3").read_bytes()
    back = read_cell(stores[0].folder, "fog/3")
    assert list(back.ids) == ROWS.ids
    for found, expected in zip(back[1:], ROWS[1:], strict=True):
        assert (found == expected).all()


def test_another_identity_is_another_folder(tmp_path: Path) -> None:
    one, other = (Store(tmp_path, "suite", {"weights": w}) for w in ("x", "y"))
    one.write("images", ROWS)
    assert not other.has("images")
    assert one.folder == Store(tmp_path, "suite", {"weights": "x"}).folder


def test_broken_cells_are_named(tmp_path: Path) -> None:
    store = Store(tmp_path, "suite", {})
    store.write("images", ROWS)
    store.path("images").write_bytes(b"PAR1 no")
    with pytest.raises(NsbenchError, match=r"cannot read .*images\.parquet.*delete it"):
        read_cell(store.folder, "images")
    with pytest.raises(NsbenchError, match=r"cannot read .*absent\.parquet"):
        read_cell(store.folder, "absent")


def test_the_latest_predictions_of_a_suite(tmp_path: Path) -> None:
    old, new = (Store(tmp_path, "suite", {"weights": w}) for w in ("x", "y"))
    old.finish({"evaluated": "2026-01-02"})
    new.finish({"evaluated": "2026-01-01"})
    assert latest(tmp_path) == {"suite": old.folder}
    assert latest(tmp_path, "y") == {"suite": new.folder}
    assert latest(tmp_path, "z") == {}


def test_a_broken_cell_is_made_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path, "suite", {})
    store.write("images", ROWS)
    store.path("images").write_bytes(store.path("images").read_bytes()[:-9])
    assert not store.has("images")
    assert "images.parquet is broken and is made again" in capfd.readouterr().err
    store.write("images", ROWS)
    assert store.has("images")
