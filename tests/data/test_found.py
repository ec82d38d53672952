"""What a source passes over is said, and what cannot be told apart is refused."""

import json
import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nsbench.data.found import found
from nsbench.data.joined import JoinedSource
from nsbench.data.open import open_source
from nsbench.recipes.parts import Data
from nsbench.training.data import open_data
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import arrays_of, png, spec, tar_of, write_parquet, write_tar


def images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(len(name)) if "." in name else b"")
    return folder


def test_a_folder_beside_flat_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat = images(tmp_path / "unl", "a.png", "b.png", "c.PNG", "thumbs/a.png", "d.txt", "e.TXT")
    source = open_source(spec(flat))
    assert source.ids == ["a.png", "b.png", "c.PNG"]
    assert source.labels is None
    assert source.passed_over == {
        "not named as images (.txt)": 2,
        "in thumbs (in folders beside the images)": 1,
    }
    line = (
        f"{flat}: 3 images without labels; passed over: 2 not named as images (.txt), 1 in thumbs "
        "(in folders beside the images)"
    )
    assert found(source) == line
    assert capsys.readouterr().err == line + "\n"


def test_what_lies_beside_class_folders(image_folder: Path) -> None:
    images(
        image_folder, "top.png", "cat/more/a.png", "dog/more/b.png", "dog/more/c/d.png",
        "cat/notes.txt", "._x.png", ".ipynb_checkpoints/x.png", ".DS_Store", "cat/README",
    )  # fmt: skip
    source = open_source(spec(image_folder))
    assert len(source) == 6
    assert source.passed_over == {
        "at the top (beside class folders)": 1,
        "hidden (._x.png, .ipynb_checkpoints)": 2,
        "not named as images (without an ending, .txt)": 2,
        "in cat/more, dog/more (deeper than class folders)": 3,
    }
    assert found(source).startswith(f"{image_folder}: 6 images of 2 classes; passed over: 1 at the")


def test_both_may_be_the_data(image_folder: Path) -> None:
    images(image_folder, *(f"{number}.png" for number in range(5)))
    with pytest.raises(NsbenchError, match=r"holds 5 images at the top and 6 in 2 folders, and ei"):
        open_source(spec(image_folder))


def test_class_folders_of_which_one_has_its_images_further_down(tmp_path: Path) -> None:
    tiny = images(tmp_path / "tiny", "a/images/1.png", "b/images/2.png", "b/1.png")
    with pytest.raises(NsbenchError, match=r"tiny/a holds images only in folders below it \(1\)"):
        open_source(spec(tiny))


def test_links_that_lead_in_circles(image_folder: Path) -> None:
    (image_folder / "cat" / "up").symlink_to(image_folder)
    (image_folder / "self").symlink_to(image_folder)
    (image_folder / "dog" / "round").symlink_to(image_folder / "dog" / "round")
    source = open_source(spec(image_folder))
    assert (len(source), source.classes) == (6, ("cat", "dog"))
    (image_folder / "emu").symlink_to(image_folder / "cat")  # a class by a link is one
    assert open_source(spec(image_folder)).classes == ("cat", "dog", "emu")


def test_pipes_are_passed_over_and_broken_links_are_not(image_folder: Path) -> None:
    os.mkfifo(image_folder / "cat" / "pipe.png")
    (image_folder / "cat" / "gone.png").symlink_to(image_folder / "nowhere.png")
    source = open_source(spec(image_folder))
    assert source.passed_over == {"neither files nor folders (pipe.png)": 1}
    with pytest.raises(NsbenchError, match=r"cat/gone\.png cannot be read \(it is a link th"):
        source.image(list(source.ids).index("cat/gone.png"))


def test_a_class_folder_that_is_gone_is_named(image_folder: Path) -> None:
    (image_folder / "emu").symlink_to("nowhere")
    (image_folder / "cat" / "more").symlink_to("nowhere")  # not even an image
    with pytest.raises(NsbenchError, match=r"emu, .*, is a link that leads nowhere \(nowhere\)"):
        open_source(spec(image_folder))
    (image_folder / "emu").unlink()
    source = open_source(spec(image_folder))
    assert source.passed_over == {"not named as images (without an ending)": 1}


def test_folders_that_cannot_be_read(image_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.scandir

    def locked(path: Any) -> Any:
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(NsbenchError, match=r"cannot read the folder .*/dog \(Permission denied\)"):
        open_source(spec(image_folder))


@pytest.mark.parametrize(
    ("first", "second"),
    [("Cat", "cat"), ("café", unicodedata.normalize("NFD", "café")), ("cat", "cat ")],
)
def test_classes_that_look_alike(tmp_path: Path, first: str, second: str) -> None:
    folder = images(tmp_path / "x", f"{first}/a.png", f"{second}/b.png")
    table = write_parquet(tmp_path / "t.parquet", [first, second], [png(), png()])
    for place in (folder, tar_of(folder, tmp_path / "x.tar"), table):
        with pytest.raises(NsbenchError, match=r"classes that differ only in case, spaces or Uni"):
            open_source(spec(place))


def test_letters_are_classes_of_both_cases(tmp_path: Path) -> None:
    folder = images(tmp_path / "x", "a/1.png", "A/1.png")
    assert open_source(spec(folder)).classes == ("A", "a")


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    folder = images(tmp_path / "x", "a/1.png", f"a/{name}.txt", "b/2.png")
    assert open_source(spec(folder)).passed_over == {"not named as images (.txt)": 1}
    for made in (
        write_tar(tmp_path / "x.tar", {f"a/{name}.png": png()}),
        write_tar(tmp_path / "wds" / "0.tar", {f"{name}.png": png()}).parent,
        images(tmp_path / "y", f"a/{name}.png"),
    ):
        with pytest.raises(NsbenchError, match=r"is not UTF-8: rename it"):
            open_source(spec(made))


def test_files_of_a_tar_that_are_no_images(image_folder: Path, tmp_path: Path) -> None:
    images(image_folder, "cat/._x.png", "cat/a.txt", "b.json")
    source = open_source(spec(tar_of(image_folder, tmp_path / "a.tar")))
    assert source.passed_over == {
        "hidden (._x.png)": 1,
        "not named as images (.json, .txt)": 2,
    }


def test_keys_end_at_the_first_dot(tmp_path: Path) -> None:
    members = {"n01.1.jpg": png(), "n01.2.jpg": png(), "n01.1.cls": b"0"}
    with pytest.raises(NsbenchError, match=r"holds no images: .*, not 2 with a dot before the en"):
        open_source(spec(write_tar(tmp_path / "x" / "0.tar", members).parent))
    more = {
        "n01.jpg": png(), "a/n01.jpg": png(1), "n01.txt": b"", "n02.json": b"", ".n3.jpg": png(),
        "n4.tiff": png(),
    }  # fmt: skip
    source = open_source(spec(write_tar(tmp_path / "y" / "0.TAR", members | more).parent))
    assert sorted(source.ids) == ["a/n01", "n01"]
    assert source.passed_over == {
        "with a dot before the ending, where keys end (.1.jpg, .2.jpg)": 2,
        "with other endings (.1.cls, .txt, .json and 1 more)": 4,
        "hidden": 1,
    }


def test_labels_of_shards_are_not_dropped_or_merged(tmp_path: Path) -> None:
    members = {"a.png": png(), "a.cls": b"0", "b.cls": b"1"}
    source = open_source(spec(write_tar(tmp_path / "x" / "0.tar", members).parent))
    assert source.passed_over == {"without an image of their key (.cls)": 1}
    members["a.CLS"] = b"1"
    with pytest.raises(NsbenchError, match="holds two labels of the key 'a'"):
        open_source(spec(write_tar(tmp_path / "x" / "0.tar", members).parent))


def test_a_shard_in_large_letters_is_one(tmp_path: Path) -> None:
    write_tar(tmp_path / "x" / "0.tar", {"a.png": png()})
    write_tar(tmp_path / "x" / "1.TAR", {"b.png": png()})
    write_tar(tmp_path / "x" / "._1.tar", {})
    assert open_source(spec(tmp_path / "x")).ids == ["a", "b"]


def test_a_stray_folder_beside_shards(tmp_path: Path) -> None:
    for number in range(2):
        write_tar(tmp_path / "x" / f"{number}.tar", {f"{number}.png": png(), f"{number}.cls": b"0"})
    source = open_source(spec(images(tmp_path / "x", "thumbs/a.png")))
    assert source.ids == ["0", "1"]
    assert source.passed_over == {"in image files beside what is read": 1}
    # as left by unpacking
    images(tmp_path / "x", "0/a.png", "1/a.png")
    source = open_source(spec(tmp_path / "x"))
    assert source.classes == ("0", "1", "thumbs")
    assert source.passed_over == {"not named as images (.tar)": 2}


def test_images_beside_what_is_read(image_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    table = write_parquet(images(tmp_path / "table", "cat/a.txt") / "t.parquet", [0], [png()])
    assert open_source(spec(table.parent)).passed_over == {}
    # a folder is of what most of its files are
    images(table.parent, "cat/1.png")
    assert open_source(spec(table.parent)).passed_over == {"in image files beside what is read": 1}
    write_parquet(image_folder / "t.parquet", [0], [png()])
    beside = open_source(spec(image_folder))
    assert (len(beside), beside.passed_over) == (6, {"not named as images (.parquet)": 1})
    arrays = arrays_of(image_folder, tmp_path / "npy")
    images(arrays, "cat/1.png")
    assert open_source(spec(arrays)).passed_over == {"in image files beside what is read": 1}


def test_parquet_files_of_no_split(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    for name in ("images", "train-0"):
        write_parquet(tmp_path / "x" / f"{name}.parquet", [0], [png()])
    source = open_source(spec(tmp_path / "x"))
    assert len(source) == 1
    assert source.passed_over == {
        "of the Parquet files, whose names are of no split (images.parquet)": 1
    }


def test_wrapped_sources_tell_too(
    image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images(image_folder, "cat/notes.txt")
    first = open_source(spec(image_folder))
    assert JoinedSource([first, first], labeled=True).passed_over == {
        "not named as images (.txt)": 2
    }
    flat = images(tmp_path / "val", *(f"ILSVRC2012_val_0000000{n}.png" for n in (1, 2)))
    (tmp_path / "real.json").write_text(json.dumps([[], [1]]))
    capsys.readouterr()
    real = open_source(spec(flat, labels=str(tmp_path / "real.json")))
    assert list(real.passed_over.values()) == [1]
    assert "1 image of 1,000 classes; passed over: 1 without a label in" in capsys.readouterr().err


def test_training_says_what_it_found(
    image_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flat = images(tmp_path / "unl", "a.png", "b.png", "thumbs/c.png")
    data = Data.model_validate({"labeled": str(image_folder), "unlabeled": [str(flat), "digits"]})
    open_data(data, seed=0)
    assert capsys.readouterr().err.splitlines() == [
        f"{image_folder}: 6 images of 2 classes",
        f"{flat}: 2 images without labels; passed over: 1 in thumbs (in folders beside the images)",
        "digits (test): 1,000 images of 10 classes",
    ]


def test_opened_once_and_said_once(image_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images(image_folder, "x.txt")
    opened: dict[Any, Any] = {}
    assert open_source(spec(image_folder), opened) is open_source(spec(image_folder), opened)
    assert capsys.readouterr().err.count("passed over: 1 not named as images (.txt)") == 1


def test_labels_of_another_length(image_folder: Path, tmp_path: Path) -> None:
    arrays = arrays_of(image_folder, tmp_path / "npy")
    np.save(arrays / "labels.npy", np.zeros(7, int))
    with pytest.raises(NsbenchError, match=r"the 6 images of .* need as many whole numbers"):
        open_source(spec(arrays))
