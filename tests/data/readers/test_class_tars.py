"""One tar a class, as ImageNet's archive of training images unpacks to."""

from pathlib import Path

import numpy as np
import pytest

from nsbench.data.label_files import labels_of
from nsbench.data.open import open_source
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import png, spec, write_tar

WNIDS = ("n01440764", "n01443537")


def write_all(folder: Path, *, unpacked: Path) -> Path:
    for value, wnid in enumerate(WNIDS):
        members = {f"{wnid}_{number}.JPEG": png(10 * value + number) for number in (10, 9)}
        write_tar(folder / f"{wnid}.tar", members | {"._x.JPEG": b""})
        for name, content in members.items():
            (unpacked / wnid).mkdir(parents=True, exist_ok=True)
            (unpacked / wnid / name).write_bytes(content)
    return folder


def test_tars_of_classes_are_the_folders_they_unpack_to(tmp_path: Path) -> None:
    tars = open_source(spec(write_all(tmp_path / "tars", unpacked=tmp_path / "train")))
    folder = open_source(spec(tmp_path / "train"))
    assert (tars.ids, tars.classes) == (folder.ids, folder.classes) == (folder.ids, WNIDS)
    assert tars.labels is not None
    assert tars.labels.tolist() == [0, 0, 1, 1]
    assert tars.version == folder.version
    assert [int(np.asarray(tars.image(n)).max()) for n in range(4)] == [10, 9, 20, 19]
    assert tars.passed_over == {"hidden (._x.JPEG)": 2}


@pytest.mark.parametrize("below", ["", "{}/", "./{}/", "{}/images/"])
def test_tars_named_by_any_class(tmp_path: Path, below: str) -> None:
    for number, name in enumerate(("grey wolf", "zebra 2")):
        members = {f"{below.format(name)}{number}{i}.png": png(i) for i in range(2)}
        write_tar(tmp_path / f"{name}.tar", members)
    source = open_source(spec(tmp_path))
    assert source.classes == ("grey wolf", "zebra 2")
    assert source.labels is not None
    assert source.labels.tolist() == [0, 0, 1, 1]
    inside = "images/" if "images" in below else ""
    assert source.ids[0] == f"grey wolf/{inside}00.png"


@pytest.mark.parametrize(
    "names", [("0", "1"), ("a-0", "a-1"), ("train", "val"), ("train-0", "val-0")]
)
def test_shards_of_images_alone_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        write_tar(tmp_path / f"{name}.tar", {f"{name}.png": png()})
    source = open_source(spec(tmp_path))
    assert source.labels is None
    with pytest.raises(
        NsbenchError, match="has no labels, but training.*: its shards have no .cls"
    ):
        labels_of(source, "training on it")


def test_numbers_are_classes_where_the_tars_hold_their_folders(tmp_path: Path) -> None:
    for name in ("0", "10"):
        write_tar(tmp_path / f"{name}.tar", {f"{name}/x.png": png()})
    source = open_source(spec(tmp_path, label_space="indices"))
    assert source.labels is not None
    assert (source.classes, source.labels.tolist()) == (None, [0, 10])


def test_tars_of_classes_that_are_wrong(tmp_path: Path) -> None:
    place = write_all(tmp_path / "tars", unpacked=tmp_path / "train")
    with pytest.raises(NsbenchError, match="are not named by class index: 'n01440764'"):
        open_source(spec(place, label_space="indices"))
    write_tar(place / "n01484850.tar", {"a.txt": b""})
    with pytest.raises(NsbenchError, match=r"n01484850\.tar holds no images: fetch it again"):
        open_source(spec(place))
