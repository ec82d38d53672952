"""Decoded images: the same from memory, a file or a cache, and read once."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nsbench.data.open import FolderSource
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.transforms import center_crop, resized
from nsbench.evaluation import decoded_file
from nsbench.evaluation.decoded import View, load_images
from nsbench.util.errors import NsbenchError

CROP = Preprocessing(image_size=24, crop_pct=0.75)
VIEWS: list[View] = [CROP, 28]


def photos(folder: Path) -> FolderSource:
    Image.new("RGB", (50, 31), (9, 99, 199)).save(folder / "cat" / "1.png")
    return FolderSource(folder)


def check(source: FolderSource, indices: list[int], cache: Path | None = None) -> None:
    crops, wholes = load_images(source, np.array(indices), VIEWS, cache)
    assert len(crops) == len(wholes) == len(indices)
    batch = crops.batch(slice(0, len(indices))).numpy()
    for row, index in enumerate(indices):
        image = source.image(index)
        assert (batch[row] == center_crop(image, CROP)).all()
        assert (crops.image(row) == batch[row]).all()
        assert (wholes.image(row) == resized(image, 28)).all()
    some = crops.take(np.array([2, 0]))
    assert (some.batch(slice(0, 2)).numpy() == batch[[2, 0]]).all()
    assert (crops.batch(slice(1, 3)).numpy() == batch[1:3]).all()


@pytest.mark.parametrize("memory", [True, False])
def test_pixels_are_those_of_the_transform(
    image_folder: Path, monkeypatch: pytest.MonkeyPatch, memory: bool
) -> None:
    if not memory:
        monkeypatch.setattr(decoded_file, "free_memory", lambda device: 0)
    check(photos(image_folder), [4, 0, 1, 5])


def test_a_cache_is_read_and_not_decoded_again(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "crops"
    check(photos(image_folder), [4, 0, 1], cache)
    kept = sorted(os.listdir(cache))
    assert len(kept) == 4
    source, image = FolderSource(image_folder), FolderSource.image
    with monkeypatch.context() as patch:
        patch.setattr(FolderSource, "image", None)
        load_images(source, np.array([4, 0, 1]), VIEWS, cache)
    assert FolderSource.image is image
    check(source, [4, 0, 1], cache)
    assert sorted(os.listdir(cache)) == kept
    for name in kept:
        if not name.endswith(".json"):
            (cache / name).write_bytes(b"cut short")
    check(source, [4, 0, 1], cache)
    check(source, [0, 1, 4], cache)
    aside = [name for name in os.listdir(cache) if "set-aside" in name]
    assert len(aside) == 2
    assert len(os.listdir(cache)) == 10


def test_unreadable_images_are_remembered_by_the_cache(
    image_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (image_folder / "dog" / "1.png").write_bytes(b"")
    source = FolderSource(image_folder)
    for _ in range(2):
        crops, wholes = load_images(source, np.arange(6), VIEWS, tmp_path / "crops")
        assert list(crops.unreadable) == list(wholes.unreadable) == [4]
        assert "1.png" in crops.unreadable[4]
        assert not crops.image(4).any()
        assert capfd.readouterr().err.count("1 image of") == 1
    assert crops.take(np.array([0, 4])).unreadable == {1: crops.unreadable[4]}


def test_no_room_is_one_sentence_and_leaves_nothing(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int, __: memoryview) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(
        NsbenchError, match=r"cannot be written to .*crops \(No space left on device\)"
    ):
        load_images(FolderSource(image_folder), np.arange(6), VIEWS, tmp_path / "crops")
    assert not os.listdir(tmp_path / "crops")
