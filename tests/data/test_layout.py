"""Folders within folders: which are classes, and which tell nothing."""

from pathlib import Path

import pytest

from nsbench.data.label_files import labels_of
from nsbench.data.open import SourceSpec, open_source
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import spec, tar_of
from tests.data.test_found import images

TINY = ("n01/images/n01_0.JPEG", "n01/images/n01_1.JPEG", "n02/images/n02_0.JPEG")


def of_both(folder: Path) -> list[SourceSpec]:
    """A folder, and a tar of it."""
    return [spec(folder), spec(tar_of(folder, folder.with_suffix(".tar")))]


def test_class_folders_with_a_folder_of_images_each(tmp_path: Path) -> None:
    # as Tiny ImageNet has them
    images(tmp_path / "train", *TINY, "n01/n01_boxes.txt", "n02/n02_boxes.txt")
    for one in of_both(tmp_path / "train"):
        source = open_source(one)
        assert source.ids == list(TINY)
        assert source.classes == ("n01", "n02")
        assert source.labels is not None
        assert source.labels.tolist() == [0, 0, 1]
        assert source.passed_over == {"not named as images (.txt)": 2}
        assert source.image(2).size == (8, 6)


def test_the_validation_images_of_tiny_imagenet(tmp_path: Path) -> None:
    names = [f"val_{number}.JPEG" for number in range(3)]
    place = images(tmp_path / "tiny-imagenet-200" / "val", *(f"images/{name}" for name in names))
    lines = (f"{name}\tn0{number % 2}\t0\t0\t62\t62\n" for number, name in enumerate(names))
    (place / "val_annotations.txt").write_text("".join(lines))
    for one in (spec(place), spec(place.parent, split="val")):
        source = open_source(one)
        assert list(source.ids) == names
        assert source.classes == ("n00", "n01")
        assert source.labels is not None
        assert source.labels.tolist() == [0, 1, 0]


def test_a_class_folder_that_is_empty_is_named_at_any_depth(tmp_path: Path) -> None:
    images(tmp_path / "x", *(f"train/{name}" for name in TINY))
    (tmp_path / "x" / "train" / "n00").mkdir()
    with pytest.raises(NsbenchError, match=r"the class folder .*train/n00 is empty: fill or rem"):
        open_source(spec(tmp_path / "x"))


def test_class_folders_in_one_folder_further_down(tmp_path: Path) -> None:
    images(tmp_path / "x", "a/b/cat/1.png", "a/b/dog/1.png", "a/b/dog/22.png")
    for one in of_both(tmp_path / "x"):
        source = open_source(one)
        assert source.ids == ["cat/1.png", "dog/1.png", "dog/22.png"]
        assert source.classes == ("cat", "dog")
    folder, tar = (open_source(one) for one in of_both(tmp_path / "x"))
    assert folder.version == tar.version


@pytest.mark.parametrize(
    "names",
    [
        ("a/b/1.png", "a/c/2.png", "d/e/3.png"),
        ("a/b/c/1.png", "d/2/2.png", "d/3/4/3.png"),
        ("train/cat/1.png", "train/dog/2.png", "val/cat/3.png"),
        ("train/images/1.png", "val/images/2.png"),
    ],
)
def test_folders_that_tell_no_class_are_unlabeled(tmp_path: Path, names: tuple[str, ...]) -> None:
    images(tmp_path / "unl", *names)
    for one in of_both(tmp_path / "unl"):
        source = open_source(one)
        assert source.ids == list(names)
        assert (source.classes, source.labels) == (None, None)
        why = r"no labels, but training needs them: its images lie in several places, such as"
        with pytest.raises(NsbenchError, match=why):
            labels_of(source, "training")


def test_a_folder_called_images_is_no_class(tmp_path: Path) -> None:
    images(tmp_path / "val", "images/1.png", "images/22.png")
    for one in of_both(tmp_path / "val"):
        source = open_source(one)
        assert (list(source.ids), source.labels) == (["images/1.png", "images/22.png"], None)
        with pytest.raises(NsbenchError, match="a folder called images is no class"):
            labels_of(source, "training")
    with pytest.raises(NsbenchError, match="has no folders named by class index"):
        open_source(spec(tmp_path / "val", label_space="indices"))


def test_folders_that_are_linked_twice_are_read_once(tmp_path: Path) -> None:
    images(tmp_path / "unl", "a/b/1.png", "c/d/22.png")
    (tmp_path / "unl" / "c" / "again").symlink_to(tmp_path / "unl" / "a")
    (tmp_path / "unl" / "a" / "b" / "up").symlink_to(tmp_path / "unl")
    assert len(open_source(spec(tmp_path / "unl"))) == 2
    (tmp_path / "unl" / "a" / "gone").symlink_to("nowhere")
    source = open_source(spec(tmp_path / "unl"))
    assert source.passed_over == {"links that lead nowhere (a/gone)": 1}
    assert source.image(1).size == (8, 6)
