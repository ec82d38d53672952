"""Data sets by name, in the layouts and names that they are released in."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from nsbench.data import catalog
from nsbench.data.catalog import data_sets, files_root, find, require, resolve, set_roots
from nsbench.data.open import FolderSource, label_sets, open_source
from nsbench.names import CORRUPTIONS
from nsbench.released.make import make_imagenet_c
from nsbench.released.reader import CorruptedFiles
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import png, renamed, spec, tar_of
from tests.test_cli import call


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "root").mkdir()
    set_roots([tmp_path / "root"])
    yield tmp_path / "root"
    set_roots(None)


def test_every_entry_can_be_had_and_refers_to_others() -> None:
    for name, entry in data_sets().items():
        assert entry.archives or entry.get, name
        assert entry.locations or entry.base, name
        for other in (entry.base, entry.changed_from):
            assert other is None or other in data_sets()
        assert len({archive.name for archive in entry.archives}) == len(entry.archives)


@pytest.mark.parametrize("below", ["imagenet-a", "ImageNet-A"])
def test_a_folder_is_found(image_folder: Path, root: Path, below: str) -> None:
    shutil.copytree(image_folder, root / below)
    assert find("imagenet-a") == require("imagenet-a") == root / below
    assert open_source(spec("data:imagenet-a")).ids == FolderSource(image_folder).ids


def test_a_tar_is_found_where_there_is_no_folder(image_folder: Path, root: Path) -> None:
    tar_of(image_folder, root / "imagenet-a.tar", "imagenet-a")
    assert open_source(spec("data:imagenet-a")).ids == FolderSource(image_folder).ids
    renamed(image_folder, {"cat": "0", "dog": "1"})
    tar = "imagenetv2-top-images.tar"
    tar_of(image_folder, root / tar, "imagenetv2-top-images-format-val")
    source = open_source(spec("data:imagenet-v2-top-images"))
    assert source.classes is None
    assert source.labels is not None
    assert source.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_labels_come_with_a_place(root: Path) -> None:
    val = root / "tiny-imagenet-200" / "val"
    (val / "images").mkdir(parents=True)
    lines = []
    for number in range(4):
        (val / "images" / f"val_{number}.JPEG").write_bytes(png(number))
        lines.append(f"val_{number}.JPEG\tn0{number % 2}\t0\t32\t44\t62")
    (val / "val_annotations.txt").write_text("\n".join(lines))
    source = open_source(spec("data:tiny-imagenet"))
    assert source.classes == ("n00", "n01")
    assert source.labels is not None
    assert source.labels.tolist() == [0, 1, 0, 1]


def test_real_is_imagenet_with_other_labels(root: Path) -> None:
    for number in range(1, 4):
        path = root / "imagenet" / "val" / "n01" / f"ILSVRC2012_val_{number:08d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    sets = ((970, 795), (230, 231))
    for source in ("data:imagenet-real", "data:imagenet-1k"):
        assert label_sets(open_source(spec(source, labels="real"))) == sets
    assert label_sets(open_source(spec("data:imagenet-real"))) == sets
    assert label_sets(open_source(spec("data:imagenet-1k"))) is None


def test_what_a_suite_says_goes_before_what_a_place_says(root: Path) -> None:
    (root / "imagenetv2-top-images-format-val").mkdir()
    found = resolve(spec("data:imagenet-v2-top-images"))
    assert found.label_space == "indices"
    assert resolve(spec("data:imagenet-v2-top-images", label_space="names")).label_space == "names"
    assert resolve(spec("digits")) == spec("digits")


def test_parquet_is_found_by_its_split(shared: Path) -> None:
    set_roots([shared / "data"])
    try:
        assert resolve(spec("data:cifar10")).split == "test"
        assert len(open_source(spec("data:cifar10"))) == 10_000
    finally:
        set_roots(None)


def test_several_roots_in_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "b" / "imagenet-r").mkdir(parents=True)
    monkeypatch.setenv("NSBENCH_DATA", f"{tmp_path / 'a'}:{tmp_path / 'b'}")
    assert find("imagenet-r") == tmp_path / "b" / "imagenet-r"
    assert find("imagenet-a") is None
    with pytest.raises(NsbenchError, match=r"not in .*/a \(no such folder\), .*/b \(tried ima"):
        require("imagenet-a")
    monkeypatch.delenv("NSBENCH_DATA")
    with pytest.raises(NsbenchError, match="name the folders of your data by --data or in the env"):
        require("imagenet-a")


def test_what_is_missing_has_a_way_out(root: Path) -> None:
    with pytest.raises(
        NsbenchError,
        match=r"to get it: nsbench data fetch imagenet-c; or nsbench "
        r"make imagenet-c data:imagenet-1k .*root/imagenet-c makes such files$",
    ):
        require("imagenet-c")  # fmt: skip
    with pytest.raises(NsbenchError, match="to get it: download the validation images with an acc"):
        open_source(spec("data:imagenet-1k"))
    with pytest.raises(NsbenchError, match="no data set imagenet-q; did you mean"):
        open_source(spec("data:imagenet-q"))
    with pytest.raises(NsbenchError, match='names data:imagenet-1k as its source and "data:'):
        open_source(spec("data:imagenet-c"))
    (root / "imagenet-c").mkdir()
    assert find("imagenet-c") is None  # an empty folder is nothing


@pytest.mark.parametrize("packed", [False, True])
def test_changed_images_are_found_and_read(small_folder: Path, root: Path, packed: bool) -> None:
    shutil.copytree(small_folder, root / "imagenet" / "val")
    target = root / ("made" if packed else "imagenet-c")
    make_imagenet_c(
        spec("data:imagenet-1k"), target, corruptions=["fog"], severities=[1], layout="folder",
        workers=1,
    )  # fmt: skip
    if packed:
        (root / "imagenet-c").mkdir()
        tar_of(target / "fog", root / "imagenet-c" / "weather.tar", "fog")
    assert files_root("data:imagenet-c") == root / "imagenet-c"
    assert files_root("some/folder") == Path("some/folder")
    files = CorruptedFiles(files_root("data:imagenet-c"), open_source(spec("data:imagenet-1k")))
    files.check([("fog", 1)])
    assert files.read("fog", 1, 9).dtype == np.uint8


def test_the_table(
    root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "imagenet-r").mkdir()
    monkeypatch.setenv("COLUMNS", "200")
    assert call("data", "--data", root, "--json", tmp_path / "d.json") == 0
    assert "missing" in capfd.readouterr().out
    entries = {entry["name"]: entry for entry in json.loads((tmp_path / "d.json").read_text())}
    assert list(entries) == list(data_sets())
    assert entries["imagenet-r"]["path"] == str(root / "imagenet-r")
    assert entries["imagenet-a"]["path"] is None
    assert entries["imagenet-c"]["gigabytes"] == 47
    assert entries["imagenet-a"]["how_to_get"] == "nsbench data fetch imagenet-a"


def test_wrong_names_and_roots(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NSBENCH_DATA", raising=False)
    assert call("data", "fetch", "imagenet-a", "imagnet-c") == 2
    assert "no data set imagnet-c; did you mean 'imagenet-c'?" in capfd.readouterr().err
    assert call("data", "fetch", "imagenet-a") == 2
    assert "name the folder to download to by --data" in capfd.readouterr().err
    assert call("data") == 0
    assert "no data roots are named" in capfd.readouterr().err
    assert catalog.roots() == []


def test_the_released_images_are_counted_right() -> None:
    counts = {name: entry.images for name, entry in data_sets().items()}
    assert counts["imagenet-c"] == 50_000 * len(CORRUPTIONS) * 5
    assert counts["imagenet-3dcc"] == 50_000 * len(data_sets()["imagenet-3dcc"].archives) * 5


def test_downloads_are_checked_as_torchvision_does() -> None:
    from torchvision.datasets import STL10, SVHN

    svhn = {archive.url: archive.md5 for archive in data_sets()["svhn"].archives}
    assert svhn == {url: md5 for url, _, md5 in SVHN.split_list.values()}
    (stl10,) = data_sets()["stl10"].archives
    assert (stl10.url, stl10.md5) == (STL10.url, STL10.tgz_md5)


def test_the_training_images_beside_the_test_images(image_folder: Path, root: Path) -> None:
    shutil.copytree(image_folder, root / "cifar10" / "test")
    shutil.copytree(image_folder / "cat", root / "cifar10" / "train" / "cat")
    assert len(open_source(spec("data:cifar10"))) == 6
    assert len(open_source(spec("data:cifar10", split="train"))) == 3
    shutil.copytree(image_folder, root / "imagenet" / "train")
    assert len(open_source(spec("data:imagenet-train"))) == 6
