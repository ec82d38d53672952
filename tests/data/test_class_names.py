"""Class names, from folders and lists, and the same class under two numbers."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from timm.data import ImageNetInfo

from nsbench.data.class_names import (
    by_name,
    imagenet_classes,
    is_class_number,
    listed_classes,
    match_classes,
    read_class_names,
)
from nsbench.util.errors import NsbenchError


def test_folders_are_numbered_by_name() -> None:
    classes, labels = by_name(["b", "a", "b", "c"], "names", "here")
    assert classes == ("a", "b", "c")
    assert labels.tolist() == [1, 0, 1, 2]


def test_folders_may_be_numbers() -> None:
    classes, labels = by_name(["10", "2", "2"], "indices", "here")
    assert classes is None
    assert labels.tolist() == [10, 2, 2]
    # Arabic-Indic digits are decimal to Python; as the name of a folder they are a mistake.
    for name in ("-1", "two", "٣", ""):
        with pytest.raises(NsbenchError, match="the classes of here are not named by class index"):
            by_name(["1", name], "indices", "here")


def test_classes_are_matched_by_name() -> None:
    matched = match_classes(["b", "x", "a"], ["a", "b", "c"])
    assert matched.tolist() == [1, -1, 0]
    assert matched.dtype == np.int64
    assert match_classes([], ["a"]).tolist() == []


NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(("wanted", "known"), [(NFC, NFD), (NFD, NFC)])
def test_forms_of_unicode_are_one_class(tmp_path: Path, wanted: str, known: str) -> None:
    assert match_classes([wanted], ["a", known]).tolist() == [1]
    assert by_name([wanted], "names", "here")[0] == (NFC,)
    (tmp_path / "names.txt").write_text(wanted, "utf-8")
    assert read_class_names(tmp_path / "names.txt") == (NFC,)


def test_the_classes_of_imagenet_are_those_of_timm() -> None:
    classes = imagenet_classes()
    assert (len(set(classes)), classes[0], classes[-1]) == (1000, "n01440764", "n15075141")
    assert list(classes) == sorted(classes) == ImageNetInfo().label_names()


def test_listed_names_must_reach_the_labels_and_differ(tmp_path: Path) -> None:
    labels = np.array([0, 2])
    assert listed_classes(tmp_path, labels, "names") is None
    (tmp_path / "classnames.txt").write_text("cat\ndog\nfox\n", "utf-8")
    assert listed_classes(tmp_path, labels, "names") == ("cat", "dog", "fox")
    assert listed_classes(tmp_path, labels, "indices") is None
    for text, sentence in (
        ("cat\ndog\n", "lists 2 names, but the labels beside it go up to 2"),
        (
            "cat\ndog\ncat\n",
            "the class 'cat' twice, as numbers 0 and 2: rename one, .*indices",
        ),
    ):
        (tmp_path / "classnames.txt").write_text(text, "utf-8")
        with pytest.raises(NsbenchError, match=sentence):
            listed_classes(tmp_path, labels, "names")
        assert listed_classes(tmp_path, labels, "indices") is None


@pytest.mark.parametrize(
    "content",
    [b"cat\ndog\n", b"\xef\xbb\xbfcat\ndog", b"cat\r\ndog\r\n", b"cat \n\tdog\n\n \n"],
)
def test_lists_of_classes_are_read_as_meant(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "classnames.txt").write_bytes(content)
    assert read_class_names(tmp_path / "classnames.txt") == ("cat", "dog")
    assert listed_classes(tmp_path, np.array([0, 1]), "names") == ("cat", "dog")


def test_lists_of_classes_that_cannot_be_meant(tmp_path: Path) -> None:
    path = tmp_path / "classnames.txt"
    for content in ("café\nb\n".encode("latin-1"), "a\nb\n".encode("utf-16")):
        path.write_bytes(content)
        with pytest.raises(NsbenchError, match=r"class names .*classnames\.txt \(it is not UTF-8"):
            read_class_names(path)
    path.write_bytes(b"a\n\nb\n")
    with pytest.raises(NsbenchError, match=r"classnames\.txt, line 2 is blank, but each line is"):
        read_class_names(path)


@pytest.mark.parametrize("text", ["9" * 19, "9" * 5000, "-1", "1.0", "٣", ""])
def test_numbers_of_classes_are_whole_and_short(text: str) -> None:
    assert not is_class_number(text)
    assert is_class_number("0")
    assert is_class_number("9" * 18)
    with pytest.raises(NsbenchError, match="are not named by class index"):
        by_name(["1", text], "indices", "x.csv")
