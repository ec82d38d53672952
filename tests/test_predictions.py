import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from nsbench import predictions
from nsbench.predictions import Predictions, Store, read_cell, read_manifest, results_of
from nsbench.util.errors import NsbenchError
from nsbench.util.sealed import BLANK

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
        np.testing.assert_array_equal(found, expected)


def test_proper_scores_come_back_where_a_cell_has_them(tmp_path: Path) -> None:
    store = Store(tmp_path, "suite", {"a": 1})
    proper = np.array([[0.5, 1.5], [2.0, 0.25]], np.float32)
    store.write("images", ROWS._replace(proper=proper))
    store.write("fog/3", ROWS)
    np.testing.assert_array_equal(read_cell(store.folder, "images").proper, proper)
    assert read_cell(store.folder, "fog/3").proper is None


@pytest.mark.parametrize(("frames", "group"), [(1, 4), (3, 7), (3, 6), (31, 64), (5, 3)])
def test_clips_of_many_groups_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: int, group: int
) -> None:
    """As those of ImageNet-P, whose 50,000 clips are many groups, which end within clips."""
    monkeypatch.setattr(predictions, "GROUP", group)
    clips, rng = 23, np.random.default_rng(0)
    rows = clips * frames
    made = Predictions(
        [f"clip-{number}" for number in range(clips)],
        rng.integers(0, 9, clips).astype(np.int32),
        rng.integers(0, 99, (rows, 5)).astype(np.int32),
        rng.random(rows).astype(np.float32),
        rng.random((rows, 2)).astype(np.float32),
    )
    store = Store(tmp_path, "suite", {})
    store.write("tilt", made, frames)
    monkeypatch.setattr(predictions, "GROUP", group + 1)  # of another version
    back = read_cell(store.folder, "tilt", id_step=frames)
    assert list(back.ids) == list(made.ids)
    assert back.labels.tolist() == np.repeat(made.labels, frames).tolist()
    for found, expected in ((back.top, made.top), (back.confidence, made.confidence)):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(back.proper, made.proper)
    every = read_cell(store.folder, "tilt")
    assert list(every.ids) == [name for name in made.ids for _ in range(frames)]


def test_ids_may_look_like_digests(tmp_path: Path) -> None:
    """Parquet keeps the first and last id in its footer, before the digest."""
    for number, name in enumerate(("nsbench-sha256:0.png", BLANK)):
        store = Store(tmp_path, "suite", {"number": number})
        store.write("images", ROWS._replace(ids=[name, name]))
        assert store.has("images")
        assert list(read_cell(store.folder, "images").ids) == [name, name]


def test_another_identity_is_another_folder(tmp_path: Path) -> None:
    one, other = (Store(tmp_path, "suite", {"weights": w}) for w in ("x", "y"))
    one.write("images", ROWS)
    assert not other.has("images")
    assert one.folder == Store(tmp_path, "suite", {"weights": "x"}).folder


def test_broken_cells_are_named(tmp_path: Path) -> None:
    store = Store(tmp_path, "suite", {})
    store.write("images", ROWS)
    store.path("images").write_bytes(b"PAR1 no")
    with pytest.raises(NsbenchError, match=r"images\.parquet holds no digest.*repeat the nsbench"):
        read_cell(store.folder, "images")
    with pytest.raises(NsbenchError, match=r"absent\.parquet is missing: repeat"):
        read_cell(store.folder, "absent")


def test_only_some_rows_of_a_cell_are_noticed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A Parquet file that is whole, but is not the one that was written."""
    store = Store(tmp_path, "suite", {})
    store.write("images", ROWS)
    path = store.path("images")
    pq.write_table(pq.read_table(path).slice(0, 1), path)
    with pytest.raises(NsbenchError, match="holds no digest"):
        read_cell(store.folder, "images")
    assert not store.has("images")
    assert path.exists()  # who only looks moves nothing
    store.make_room("images")
    assert "holds no digest" in capfd.readouterr().err
    assert not path.exists()
    assert path.with_name("images.parquet.set-aside-1").exists()


def test_a_cell_of_something_else_is_noticed(tmp_path: Path) -> None:
    one, other = (Store(tmp_path, "suite", {"weights": w}) for w in ("x", "y"))
    named = Store(tmp_path, "named", {"weights": "x"})
    for store in (one, other, named):
        store.write("fog/1", ROWS)
    copies = {
        "another generation's": (one.path("fog/1"), other, "fog/1"),
        "another suite's": (one.path("fog/1"), named, "fog/1"),
        "another severity's": (one.path("fog/1"), one, "fog/2"),
    }
    for source, store, cell in copies.values():
        shutil.copy(source, store.path(cell))
        with pytest.raises(NsbenchError, match="is of another"):
            read_cell(store.folder, cell)
        assert not store.has(cell)


def test_a_manifest_of_another_folder_is_refused(tmp_path: Path) -> None:
    one, other = (Store(tmp_path, "suite", {"weights": w}) for w in ("x", "y"))
    one.finish({"evaluated": "2026-01-02"})
    assert read_manifest(one.folder)["identity"] == {"weights": "x"}
    other.folder.mkdir()
    shutil.copy(one.folder / "suite.json", other.folder)
    with pytest.raises(NsbenchError, match="is of another folder of results"):
        read_manifest(other.folder)


def test_full_results_come_first_then_the_newest(tmp_path: Path) -> None:
    stores = [Store(tmp_path, "suite", {"weights": "x", "n": n}) for n in range(3)]
    stores[0].finish({"evaluated": "2026-01-02", "chosen": None})
    stores[1].finish({"evaluated": "2026-01-03", "chosen": None})
    stores[2].finish({"evaluated": "2026-01-04", "chosen": "--limit 4"})
    (results,) = results_of(tmp_path).values()
    assert [result.folder for result in results] == [stores[n].folder for n in (1, 0, 2)]
    assert [list(results_of(tmp_path, weights)) for weights in ("x", "z")] == [["suite"], []]


def test_results_without_a_digest_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    old, new = (Store(tmp_path, "suite", {"weights": w}) for w in ("x", "y"))
    old.folder.mkdir(parents=True)
    (old.folder / "suite.json").write_text('{"identity": {"weights": "x"}, "evaluated": "2026"}')
    with pytest.raises(NsbenchError, match="holds no digest, as files of earlier versions"):
        results_of(tmp_path)
    new.finish({"evaluated": "2026-01-02"})
    assert [result.folder for result in results_of(tmp_path)["suite"]] == [new.folder]
    assert "left out: " in capfd.readouterr().err


def test_what_could_not_be_read_is_stored_with_the_cell(tmp_path: Path) -> None:
    store = Store(tmp_path, "suite", {})
    store.write("images", ROWS, unreadable={"a": "it is empty"})
    assert store.unreadable("images") == {"a": "it is empty"}
    footer = json.loads(pq.read_metadata(store.path("images")).metadata[b"nsbench"])
    assert (footer["suite"], footer["cell"], footer["rows"]) == ("suite", "images", 2)


def test_a_broken_cell_is_made_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path, "suite", {})
    store.write("images", ROWS)
    content = store.path("images").read_bytes()
    for broken in (content[:-9], b"", content[:-1] + b"2"):
        store.path("images").write_bytes(broken)
        assert not store.has("images")
        store.make_room("images")
        assert "images.parquet" in (told := capfd.readouterr().err)
        assert "made again" in told
        store.write("images", ROWS)
        assert store.path("images").read_bytes() == content
    assert len([*store.folder.glob("*.set-aside-*")]) == 3
