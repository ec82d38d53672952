"""Folders of images as sources."""

import shutil
from pathlib import Path

import pytest

from nsbench.data.open import SourceSpec, open_source
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import spec


def test_an_image_folder(image_folder: Path) -> None:
    source = open_source(spec(str(image_folder)))
    assert source.classes == ("cat", "dog")
    assert source.ids == [f"{c}/{i}.png" for c in ("cat", "dog") for i in range(3)]
    assert source.labels is not None
    assert source.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert source.image(4).size == (40, 36)


def test_a_split_of_an_image_folder(image_folder: Path) -> None:
    shutil.copytree(image_folder, image_folder.parent / "data" / "val")
    source = open_source(spec(str(image_folder.parent / "data"), split="val"))
    assert source.classes == ("cat", "dog")


def test_a_flat_folder_is_unlabeled(image_folder: Path) -> None:
    source = open_source(spec(str(image_folder / "cat")))
    assert (len(source), source.labels, source.classes) == (3, None, None)


def test_folders_that_hold_nothing(tmp_path: Path, image_folder: Path) -> None:
    with pytest.raises(NsbenchError, match="holds no images"):
        open_source(_empty(tmp_path))
    (image_folder / "emu").mkdir()
    with pytest.raises(NsbenchError, match=r"class folder .*emu is empty"):
        open_source(spec(str(image_folder)))
    with pytest.raises(NsbenchError, match="there is no .*absent"):
        open_source(spec(str(tmp_path / "absent")))


def _empty(tmp_path: Path) -> SourceSpec:
    (tmp_path / "empty").mkdir()
    return spec(str(tmp_path / "empty"))


def test_real_image_folder(shared: Path) -> None:
    source = open_source(spec(str(shared / "data" / "imagenet-sample")))
    assert len(source) == 100
    assert source.classes is not None
    assert source.classes[0] == "n01440764"
    assert source.image(0).mode == "RGB"


def test_folders_named_by_class_index(image_folder: Path) -> None:
    with pytest.raises(NsbenchError, match="are not named by class index: 'cat'"):
        open_source(spec(str(image_folder), label_space="indices"))
    (image_folder / "cat").rename(image_folder / "10")
    (image_folder / "dog").rename(image_folder / "9")
    source = open_source(spec(str(image_folder), label_space="indices"))
    assert source.classes is None
    assert source.labels is not None
    assert source.labels.tolist() == [10] * 3 + [9] * 3
