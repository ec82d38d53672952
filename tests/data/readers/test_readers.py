"""Tars, shards and arrays give what the folder gives."""

import os
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from nsbench.data.label_files import labels_of
from nsbench.data.open import Source, open_source
from nsbench.released.make import make_imagenet_c
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import arrays_of, png, renamed, shards_of, spec, tar_of, write_tar


def pixels(source: Source) -> dict[bytes, int]:
    """The label of each image, by its pixels."""
    assert source.labels is not None
    found = [np.asarray(source.image(index)).tobytes() for index in range(len(source))]
    return dict(zip(found, source.labels.tolist(), strict=True))


@pytest.mark.parametrize("below", ["", "imagenet-a", "group/imagenet-a"])
def test_a_tar_is_the_folder_it_holds(image_folder: Path, tmp_path: Path, below: str) -> None:
    (image_folder / "README.txt").write_text("hello")
    (image_folder / "cat" / "._0.png").write_bytes(b"what macOS adds")
    folder = open_source(spec(image_folder))
    tar = open_source(spec(tar_of(image_folder, tmp_path / "a.tar", below)))
    assert (tar.ids, tar.classes) == (folder.ids, folder.classes)
    assert tar.labels is not None
    assert folder.labels is not None
    assert tar.labels.tolist() == folder.labels.tolist()
    assert pixels(tar) == pixels(folder)


def test_the_version_of_a_tar_is_that_of_the_folder_it_unpacks_to(
    image_folder: Path, tmp_path: Path
) -> None:
    tar = tar_of(image_folder, tmp_path / "a.tar")
    os.utime(image_folder / "cat" / "0.png", (10**9, 10**9))
    assert open_source(spec(tar)).version == open_source(spec(image_folder)).version
    (image_folder / "cat" / "0.png").write_bytes(png(7))
    changed = tar_of(image_folder, tmp_path / "b.tar")
    assert open_source(spec(changed)).version == open_source(spec(image_folder)).version
    assert open_source(spec(changed)).version != open_source(spec(tar)).version


def test_shards_and_arrays_hold_the_same_pixels(image_folder: Path, tmp_path: Path) -> None:
    wanted = pixels(open_source(spec(image_folder)))
    shards = shards_of(image_folder, tmp_path / "wds")
    for name in (shards, shards / "test-{000..001}.tar"):
        source = open_source(spec(name))
        assert pixels(source) == wanted
        assert source.classes is None
        assert sorted(source.ids) == [f"{c}_{i}" for c in ("cat", "dog") for i in range(3)]
    arrays = arrays_of(image_folder, tmp_path / "npy")
    for name in (arrays, arrays / "images.npy"):
        source = open_source(spec(name))
        assert pixels(source) == wanted
        assert source.ids[:2] == ["images-00000000", "images-00000001"]


def test_class_names_beside_shards_and_arrays(image_folder: Path, tmp_path: Path) -> None:
    shards = shards_of(image_folder, tmp_path / "wds" / "test")
    arrays = arrays_of(image_folder, tmp_path / "npy")
    for place, source in [(tmp_path / "wds", shards), (arrays, arrays)]:
        (place / "classnames.txt").write_text("cat\ndog\n")
        assert open_source(spec(source)).classes == ("cat", "dog")
        assert open_source(spec(source, label_space="indices")).classes is None
        (place / "classnames.txt").write_text("cat\n")
        with pytest.raises(NsbenchError, match=r"classnames\.txt lists 1 name, but"):
            open_source(spec(source))
    assert len(open_source(spec(tmp_path / "wds", split="test", label_space="indices"))) == 6


def test_shards_and_arrays_without_labels(image_folder: Path, tmp_path: Path) -> None:
    write_tar(tmp_path / "wds" / "0.tar", {"a.png": png(), "b.png": png()})
    arrays = arrays_of(image_folder, tmp_path / "npy")
    (arrays / "labels.npy").unlink()
    for place in (tmp_path / "wds", arrays):
        source = open_source(spec(place))
        assert (source.labels, source.classes) == (None, None)


def test_threads_and_other_processes_read_the_right_images(
    image_folder: Path, tmp_path: Path
) -> None:
    tar = tar_of(image_folder, tmp_path / "a.tar")
    places = [tar, shards_of(image_folder, tmp_path / "w"), arrays_of(image_folder, tmp_path / "n")]
    for place in places:
        source = open_source(spec(place))
        wanted = [np.asarray(source.image(index)).tobytes() for index in range(6)]
        order = random.Random(0).choices(range(6), k=200)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda i: np.asarray(source.image(i)).tobytes(), order))  # noqa: B023
        assert found == [wanted[index] for index in order]
        sent = pickle.loads(pickle.dumps(source))
        assert np.asarray(sent.image(5)).tobytes() == wanted[5]
        assert len(pickle.dumps(source)) < 3000


def test_numbers_as_class_folders_in_a_tar(image_folder: Path, tmp_path: Path) -> None:
    renamed(image_folder, {"cat": "10", "dog": "9"})
    tar = tar_of(image_folder, tmp_path / "v2.tar", "imagenetv2")
    source, folder = (open_source(spec(s, label_space="indices")) for s in (tar, image_folder))
    assert source.classes is None
    assert source.labels is not None
    assert source.labels.tolist() == [10] * 3 + [9] * 3
    assert source.ids == folder.ids


def test_a_folder_of_a_tar(tmp_path: Path) -> None:
    members = {f"blur/{c}/1/n01/a.png": png(v) for v, c in enumerate(("glass", "zoom"))}
    tar = write_tar(tmp_path / "blur.tar", members)
    with pytest.raises(NsbenchError, match=r"places, such as blur/glass/1/n01 and blur/zoom/1/n01"):
        labels_of(open_source(spec(tar)), "training on it")
    source = open_source(spec(tar, split="blur/zoom/1"))
    assert source.ids == ["n01/a.png"]
    assert np.asarray(source.image(0)).max() == 1
    with pytest.raises(NsbenchError, match=r"blur\.tar holds no images in fog"):
        open_source(spec(tar, split="fog"))


def test_a_flat_tar_is_unlabeled(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"./b.png": png(1), "./a.png": png(2)})
    source = open_source(spec(tar))
    assert (source.ids, source.labels) == (["a.png", "b.png"], None)
    with pytest.raises(NsbenchError, match="has no folders named by class index"):
        open_source(spec(tar, label_space="indices"))
    mixed = write_tar(tmp_path / "b.tar", {"b.png": png(1), "cat/a.png": png(2)})
    with pytest.raises(NsbenchError, match="1 image in no folder and 1 in folders, and either"):
        open_source(spec(mixed))


def test_empty_images_are_said_to_be_empty(image_folder: Path, tmp_path: Path) -> None:
    (image_folder / "cat" / "1.png").write_bytes(b"")
    (image_folder / "cat" / "2.png").write_bytes(b"GIF no more")
    tar = tar_of(image_folder, tmp_path / "a.tar")
    for place in (image_folder, tar):
        source = open_source(spec(place))
        with pytest.raises(NsbenchError, match=r"cat/1\.png.* cannot be read \(it is empty\): rep"):
            source.image(1)
        with pytest.raises(
            NsbenchError, match=r"cat/2\.png.* cannot be read \(it is not an image\)"
        ):
            source.image(2)


def test_a_tar_makes_the_files_that_its_folder_makes(small_folder: Path, tmp_path: Path) -> None:
    made: list[list[tuple[str, bytes]]] = []
    for place in (small_folder, tar_of(small_folder, tmp_path / "a.tar", "val")):
        target = tmp_path / f"made-{len(made)}"
        make_imagenet_c(
            str(place), target, corruptions=["gaussian_noise"], severities=[1], layout="folder",
            workers=2,
        )  # fmt: skip
        files = sorted(target.glob("*/*/*/*"))
        made.append([(str(file.relative_to(target)), file.read_bytes()) for file in files])
    assert len(made[0]) == 10
    assert made[0] == made[1]
