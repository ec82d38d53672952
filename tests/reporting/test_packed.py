"""Packed predictions are what was stored, but for what no number is made of."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from nsbench.predictions import MANIFEST, Predictions, Store, read_cell
from nsbench.reporting.packed import IMAGES, PACKED, Packer, unpack
from nsbench.util.errors import NsbenchError

RNG = np.random.default_rng(0)
IDS, CLIPS = [f"image-{n}" for n in range(40)], ["a", "b", "c"]


def stored(root: Path, kind: str, name: str, *, classes: int = 1000, frames: int = 1) -> Path:
    """Random predictions of a suite with two cells, the second with an image that was not read."""
    identity = {"weights": "w" * 64, "suite": name}
    store = Store(root / "run" / "generation-0" / "results", name, identity)
    ids = IDS if frames == 1 else CLIPS
    labels = RNG.integers(classes, size=len(ids)).astype(np.int32)
    for cell, lost in (("clean", {}), ("fog/3", {ids[0]: "it is cut off"})):
        count = len(ids) * frames
        top = RNG.integers(classes, size=(count, 5)).astype(np.int32)
        top[: frames * len(lost)] = -1
        proper = RNG.random((count, 2)).astype(np.float32) if cell == "clean" else None
        confidence = RNG.random(count).astype(np.float32)
        store.write(cell, Predictions(ids, labels, top, confidence, proper), frames, lost)
    store.finish({"suite": {"name": name, "kind": kind}, "evaluated": "2026-01-01T00:00:00"})
    return store.folder


def packed(root: Path, folders: list[Path], *, over_seeds: bool = False) -> Path:
    """Packed and unpacked again; the folder of the second."""
    packer = Packer(root / "packed", over_seeds=over_seeds)
    for folder in folders:
        packer.add(folder, folder.relative_to(root))
    packer.close()
    unpack(root / "packed", root / "again")
    return root / "again"


@pytest.mark.parametrize(
    ("kind", "classes", "frames"),
    [
        ("accuracy", 1000, 1),
        ("accuracy", 10, 1),
        ("detection", 200, 1),
        ("corruption", 100_000, 1),
        ("attack", 10, 1),
        ("perturbation", 10, 31),
    ],
)
def test_what_numbers_are_made_of_is_exact(
    kind: str, classes: int, frames: int, tmp_path: Path
) -> None:
    folder = stored(tmp_path, kind, "one", classes=classes, frames=frames)
    again = packed(tmp_path, [folder]) / folder.relative_to(tmp_path)
    assert (again / MANIFEST).read_bytes() == (folder / MANIFEST).read_bytes()
    for cell in ("clean", "fog/3"):
        alone = kind in ("corruption", "attack") or (kind, cell) == ("accuracy", "clean")
        before, after = read_cell(folder, cell), read_cell(again, cell)
        assert after.ids == before.ids
        assert np.array_equal(after.labels, before.labels)
        ranks = 1 if alone else 5
        assert np.array_equal(after.top[:, :ranks], before.top[:, :ranks])
        assert (after.top[:, ranks:] == -1).all()
        if alone or frames > 1:
            assert not after.confidence.any()
        else:
            assert np.array_equal(after.confidence, before.confidence)
        if alone or before.proper is None:
            assert after.proper is None
        else:
            assert after.proper is not None
            assert np.array_equal(after.proper, before.proper)
        identity = {"weights": "w" * 64, "suite": "one"}
        one, other = (Store(f.parents[1], "one", identity) for f in (again, folder))
        assert one.folder == again
        assert one.unreadable(cell) == other.unreadable(cell)


def test_over_seeds_proper_scores_are_left_out(tmp_path: Path) -> None:
    folder = stored(tmp_path, "detection", "one")
    again = packed(tmp_path, [folder], over_seeds=True) / folder.relative_to(tmp_path)
    before, after = read_cell(folder, "clean"), read_cell(again, "clean")
    assert before.proper is not None
    assert after.proper is None
    assert np.array_equal(after.confidence, before.confidence)
    assert np.array_equal(after.top, before.top)


def test_images_are_listed_once(tmp_path: Path) -> None:
    sizes = []
    for count in (1, 2):
        root = tmp_path / str(count)
        folders = [stored(root, "corruption", name) for name in ("one", "two")[:count]]
        packed(root, folders)
        sizes.append((root / "packed" / IMAGES).stat().st_size)
    # Labels are drawn anew, so that the ids are the same and the lists are not.
    assert sizes[1] < 2 * sizes[0]
    assert len(list((tmp_path / "2").rglob(PACKED))) == 2


@pytest.mark.parametrize("name", [IMAGES, PACKED])
@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 50, None])
def test_what_is_damaged_is_named(name: str, content: bytes | None, tmp_path: Path) -> None:
    folder = stored(tmp_path, "accuracy", "one")
    packed(tmp_path, [folder])
    (file,) = (tmp_path / "packed").rglob(name)
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    elif name == PACKED:
        return  # then there is nothing to unpack
    with pytest.raises(NsbenchError, match=rf"{name} (is|cannot|holds) .*: restore it"):
        unpack(tmp_path / "packed", tmp_path / "again")


def test_a_list_of_other_images_is_told(tmp_path: Path) -> None:
    for name in ("one", "other"):
        packed(tmp_path / name, [stored(tmp_path / name, "accuracy", "one")])
    shutil.copyfile(tmp_path / "other" / "packed" / IMAGES, tmp_path / "one" / "packed" / IMAGES)
    with pytest.raises(NsbenchError, match=f"{PACKED} is damaged"):
        unpack(tmp_path / "one" / "packed", tmp_path / "third")


def test_cells_of_another_model_are_told(tmp_path: Path) -> None:
    folders = [stored(tmp_path, "accuracy", name) for name in ("one", "two")]
    packed(tmp_path, folders)
    one, other = (tmp_path / "packed" / f.relative_to(tmp_path) / PACKED for f in folders)
    shutil.copyfile(other, one)
    with pytest.raises(NsbenchError, match=f"{PACKED} is of another model or other settings"):
        unpack(tmp_path / "packed", tmp_path / "third")
