"""Several sources as one, against a list of their images."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from nsbench.data.joined import JoinedSource
from nsbench.data.open import Source, open_source
from nsbench.data.subset import select_per_class
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import arrays_of, png, renamed, shards_of, spec, tar_of


@pytest.fixture
def parts(image_folder: Path, tmp_path: Path) -> list[Source]:
    """The same six pictures as a folder, a tar of it, and arrays with names for the classes."""
    arrays = arrays_of(image_folder, tmp_path / "npy")
    (arrays / "classnames.txt").write_text("cat\ndog\n")
    tar = tar_of(image_folder, tmp_path / "a.tar")
    return [open_source(spec(place)) for place in (image_folder, tar, arrays)]


def test_the_images_are_those_of_the_parts_in_their_order(parts: list[Source]) -> None:
    joined = JoinedSource(parts, labeled=True)
    rows = [(part, row) for part in range(3) for row in range(6)]
    assert len(joined) == len(joined.ids) == len(rows)
    assert [joined.locate(index) for index in range(18)] == rows
    assert list(joined.ids) == [f"{part}/{parts[part].ids[row]}" for part, row in rows]
    assert joined.ids[5:13] == list(joined.ids)[5:13]
    assert joined.ids[0] == "0/cat/0.png"
    assert len(set(joined.ids)) == 18  # though those of the folder and of the tar are the same
    assert joined.classes == ("cat", "dog")
    assert joined.labels is not None
    assert joined.labels.tolist() == [0, 0, 0, 1, 1, 1] * 3
    for index, (part, row) in enumerate(rows):
        assert joined.image(index).tobytes() == parts[part].image(row).tobytes()
    for index in (-1, 18):
        with pytest.raises(IndexError):
            joined.image(index)


def test_a_joined_source_is_chosen_from_and_sent_to_workers(parts: list[Source]) -> None:
    joined = JoinedSource(parts, labeled=True)
    chosen = select_per_class(joined, 4, "x")
    assert joined.labels is not None
    assert np.bincount(joined.labels[chosen]).tolist() == [4, 4]
    sent = pickle.loads(pickle.dumps(joined))
    assert list(sent.ids) == list(joined.ids)
    assert sent.image(17).tobytes() == joined.image(17).tobytes()


def test_the_version_covers_all_parts(parts: list[Source]) -> None:
    versions = {
        JoinedSource(some, labeled=labeled).version
        for some in (parts, parts[::-1], parts[:2], parts[1:])
        for labeled in (True, False)
    }
    assert len(versions) == 8
    again = JoinedSource(parts, labeled=True).version
    assert again in versions


def test_without_labels_any_sources_are_joined(
    parts: list[Source], image_folder: Path, tmp_path: Path
) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "x.png").write_bytes(png(9))
    digits = open_source(spec("digits"))
    joined = JoinedSource([parts[0], open_source(spec(flat)), digits], labeled=False)
    assert (joined.labels, joined.classes, len(joined)) == (None, None, 1007)
    assert np.asarray(joined.image(6)).max() == 9
    assert joined.ids[7] == f"2/{digits.ids[0]}"


def test_classes_that_differ(parts: list[Source], image_folder: Path, tmp_path: Path) -> None:
    shards = open_source(spec(shards_of(image_folder, tmp_path / "wds")))
    with pytest.raises(NsbenchError, match=r"images has class names and .*wds has none.*label_sp"):
        JoinedSource([shards, parts[0]], labeled=True)
    flat = open_source(spec(image_folder / "cat"))
    with pytest.raises(NsbenchError, match=r"images has class names and .*cat has none"):
        JoinedSource([parts[0], flat], labeled=True)
    with pytest.raises(NsbenchError, match=r"cat has no labels, but"):
        JoinedSource([shards, flat], labeled=True)
    renamed(image_folder, {"dog": "emu"})
    other = open_source(spec(image_folder))
    with pytest.raises(
        NsbenchError, match=r"npy\S* and \S*images cannot .* class 1 is 'dog' .*'emu'"
    ):
        JoinedSource([parts[2], other], labeled=True)
    renamed(image_folder, {"emu": "../emu"})
    other = open_source(spec(image_folder))
    with pytest.raises(NsbenchError, match=r"class 1 is 'dog' in the first and missing in the sec"):
        JoinedSource([parts[2], other], labeled=True)


def test_bare_labels_are_joined(image_folder: Path, tmp_path: Path) -> None:
    shards = open_source(spec(shards_of(image_folder, tmp_path / "wds")))
    arrays = open_source(spec(arrays_of(image_folder, tmp_path / "npy")))
    joined = JoinedSource([shards, arrays], labeled=True)
    assert joined.classes is None
    assert joined.labels is not None
    assert np.bincount(joined.labels).tolist() == [6, 6]
