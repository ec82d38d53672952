"""Names of files, and the layouts that sets were released in."""

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.open import FolderSource
from nsbench.released.make import make_imagenet_c, make_imagenet_p
from nsbench.released.reader import ClipFiles, CorruptedFiles, file_names
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import tar_of, write_tar

CELL = [("fog", 2)]
TEN = np.arange(10)


class Listed:
    """A source of names alone."""

    name, version = "listed", "1"
    passed_over: dict[str, int] = {}
    digests = np.zeros((0, 16), np.uint8)

    def digests_of(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.zeros((len(indices), 16), np.uint8)

    def __init__(self, ids: list[str], classes: tuple[str, ...] | None = ("c",)) -> None:
        self.ids, self.classes = ids, classes
        self.labels: NDArray[np.int64] | None = np.zeros(len(ids), np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def image(self, index: int) -> Image.Image:
        raise NotImplementedError


def released(root: Path, ending: str = "JPEG", size: int = 32) -> Path:
    """Severity 2 of fog for the images of `small_folder`, each of one grey of its own."""
    for number in range(10):
        path = root / "fog" / "2" / ("cat", "dog")[number // 5] / f"{number % 5}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (size, size), (20 * number,) * 3).save(path)
    return root


def test_names_are_class_and_stem(small_folder: Path) -> None:
    source = FolderSource(small_folder)
    assert file_names(source, [0, 9]) == ["cat/0", "dog/4"]
    listed = Listed(["val/n01/ILSVRC_1.JPEG", "train-00000001", "v1.2"], ("tench, Tinca tinca",))
    assert file_names(listed, range(3)) == [
        f"tench, Tinca tinca/{stem}" for stem in ("ILSVRC_1", "train-00000001", "v1.2")
    ]
    assert file_names(Listed(["a.png"], None), [0]) == ["0/a"]


@pytest.mark.parametrize(
    "name", ["..", ".", "../up", "a/b", "a\\b", "a:b", "nul\0", ".hidden", "end. ", "", "x" * 300]
)
def test_names_are_safe_and_stay_apart(name: str) -> None:
    (first,) = file_names(Listed(["x/.."], (name,)), [0])
    folder, stem = first.split("/")
    assert not set('\\:\0/<>"|?*') & set(folder + stem)
    assert not folder.startswith(".")
    assert not stem.startswith(".")
    assert 0 < len(folder.encode()) < 200
    assert file_names(Listed(["x/.."], (name,)), [0]) == [first]
    assert file_names(Listed(["x/.."], (name + "/",)), [0]) != [first]


def test_two_images_of_one_name_are_refused() -> None:
    with pytest.raises(NsbenchError, match=r"a/1.png and b/1.jpg of listed would share .* c/1"):
        file_names(Listed(["a/1.png", "b/1.jpg"]), [0, 1])
    unlabeled = Listed(["a"])
    unlabeled.labels = None
    with pytest.raises(NsbenchError, match="listed has no labels"):
        file_names(unlabeled, [0])


@pytest.mark.parametrize("group", ["", "noise", "weather", "extra"])
@pytest.mark.parametrize("ending", ["JPEG", "jpeg", "jpg", "png"])
def test_released_folders_are_read(
    small_folder: Path, tmp_path: Path, group: str, ending: str
) -> None:
    released(tmp_path / "c" / group, ending)
    files = CorruptedFiles(tmp_path / "c", FolderSource(small_folder))
    files.check(CELL)
    for index in (0, 3, 7):
        image = files.read("fog", 2, index)
        assert image.dtype == np.uint8
        assert image.shape == (3, 32, 32)
        assert (image == 20 * index).all()


def test_what_is_missing_is_named(small_folder: Path, tmp_path: Path) -> None:
    source = FolderSource(small_folder)
    with pytest.raises(NsbenchError, match=r"there is no folder .*c: nsbench make imagenet-c"):
        CorruptedFiles(tmp_path / "c", source).check(CELL)
    files = CorruptedFiles(released(tmp_path / "c" / "weather").parent, source)
    with pytest.raises(NsbenchError, match="has no folder or file for 'snow'; it has fog: let"):
        files.check([*CELL, ("snow", 2)])
    with pytest.raises(NsbenchError, match="has no severity 3; it has 2: let nsbench make"):
        files.check([("fog", 3)])
    (tmp_path / "c/weather/fog/2/cat/1.JPEG").unlink()
    with pytest.raises(NsbenchError, match=r"there is no .*cat/1\.JPEG: repeat the nsbench make"):
        files.read("fog", 2, 1)
    (tmp_path / "c/weather/fog/2/cat/2.JPEG").write_bytes(b"broken")
    with pytest.raises(NsbenchError, match=r"cat/2\.JPEG cannot be read .*: remove it and repeat"):
        files.read("fog", 2, 2)


def test_files_of_other_classes_are_refused(image_folder: Path, tmp_path: Path) -> None:
    (image_folder / "cat").rename(image_folder / "n01")
    (image_folder / "dog").rename(image_folder / "n02")
    files = CorruptedFiles(released(tmp_path / "c"), FolderSource(image_folder))
    with pytest.raises(NsbenchError, match=r"no folder for any class of .*n01\); it has cat, dog"):
        files.check(CELL)


def test_identity_notices_other_files(small_folder: Path, tmp_path: Path) -> None:
    source = FolderSource(small_folder)
    first = CorruptedFiles(released(tmp_path / "c"), source).identity(["fog/2"], TEN)
    assert CorruptedFiles(released(tmp_path / "d"), source).identity(["fog/2"], TEN) == first
    assert (
        CorruptedFiles(released(tmp_path / "e", size=64), source).identity(["fog/2"], TEN) != first
    )
    arrays = []
    for value in (1, 2):
        np.save(tmp_path / "fog.npy", np.full((50, 32, 32, 3), value, np.uint8))
        arrays.append(CorruptedFiles(tmp_path, source).identity(["fog/2"], TEN))
    assert len({first, *arrays}) == 3


def test_a_replaced_file_is_another_set_and_a_copy_the_same(
    small_folder: Path, tmp_path: Path
) -> None:
    """Though the manifest of nsbench make is unchanged, and size and time are as they were."""
    made = tmp_path / "c"
    make_imagenet_c(
        str(small_folder), made, corruptions=["fog"], severities=[1], layout="folder", workers=1
    )
    source, every = FolderSource(small_folder), np.arange(10)
    first = CorruptedFiles(made, source).identity(["fog/1"], every)
    shutil.copytree(made, tmp_path / "copy", copy_function=shutil.copyfile)
    assert CorruptedFiles(tmp_path / "copy", source).identity(["fog/1"], every) == first
    file = next(iter((made / "fog" / "1" / "cat").iterdir()))
    stat, content = file.stat(), bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    sentence = r"image cat/0\.png in fog/1 is not as nsbench make wrote it: remove it and repeat"
    with pytest.raises(NsbenchError, match=sentence):
        CorruptedFiles(made, source).identity(["fog/1"], every)
    shutil.rmtree(made / ".digests")
    with pytest.raises(NsbenchError, match=r"fog/1\.parquet is missing: repeat the nsbench make"):
        CorruptedFiles(made, source).identity(["fog/1"], every)
    (made / "nsbench.json").unlink()  # as of any set that somebody else has made
    assert CorruptedFiles(made, source).identity(["fog/1"], every) != first


@pytest.mark.parametrize("layout", ["folder", "npy"])
def test_damage_to_what_was_made_is_named_and_mended(
    small_folder: Path, tmp_path: Path, layout: str
) -> None:
    source, every, made = FolderSource(small_folder), TEN, tmp_path / "c"
    options: dict[str, Any] = {"corruptions": ["fog"], "layout": layout, "workers": 1}
    make_imagenet_c(str(small_folder), made, **options)
    first = CorruptedFiles(made, source).identity(["fog/1"], every)
    file = made / "fog.npy" if layout == "npy" else next((made / "fog" / "1" / "cat").iterdir())
    whole, content = file.read_bytes(), bytearray(file.read_bytes())
    content[len(content) // 50] ^= 1
    file.write_bytes(content)
    for again in (
        lambda: CorruptedFiles(made, source).identity(["fog/1"], every),
        lambda: make_imagenet_c(str(small_folder), made, **options),
    ):
        with pytest.raises(NsbenchError, match="in fog/1 is not as nsbench make wrote it: remove"):
            again()
    if layout == "folder":
        file.write_bytes(b"")
        with pytest.raises(NsbenchError, match=r"JPEG cannot be read \(it is empty"):
            CorruptedFiles(made, source).identity(["fog/1"], every)
    file.unlink()
    make_imagenet_c(str(small_folder), made, **options)
    assert file.read_bytes() == whole
    assert CorruptedFiles(made, source).identity(["fog/1"], every) == first


def test_a_set_is_not_used_beside_another_image_than_it_was_made_of(
    small_folder: Path, tmp_path: Path
) -> None:
    make_imagenet_c(
        str(small_folder), tmp_path / "c", corruptions=["fog"], layout="folder", workers=1
    )
    shutil.copy(small_folder / "dog" / "0.png", small_folder / "cat" / "0.png")
    files = CorruptedFiles(tmp_path / "c", FolderSource(small_folder))
    with pytest.raises(NsbenchError, match=r"was made of another image cat/0\.png than there is"):
        files.identity(["fog/1"], TEN)
    assert files.identity(["fog/1"], TEN[1:])  # of the others it says nothing


def test_arrays_are_read_in_the_order_of_the_source(small_folder: Path, tmp_path: Path) -> None:
    source = FolderSource(small_folder)
    array = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), np.uint8)
    np.save(tmp_path / "fog.npy", array)
    files = CorruptedFiles(tmp_path, source)
    files.check(CELL)
    assert (files.read("fog", 2, 3) == array[13].transpose(2, 0, 1)).all()
    assert len(pickle.dumps(files)) < 5000
    with pytest.raises(NsbenchError, match="it has fog"):
        files.check([("snow", 1)])
    clips = np.random.default_rng(1).integers(0, 256, (10, 4, 32, 32, 3), np.uint8)
    np.save(tmp_path / "tilt.npy", clips)
    sequences = ClipFiles(tmp_path, source)
    sequences.check(["tilt"])
    assert (sequences.read("tilt", 3) == clips[3].transpose(0, 3, 1, 2)).all()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((49, 32, 32, 3), np.uint8),
        np.zeros((50, 32, 32), np.uint8),
        np.zeros((50, 3, 32, 32), np.uint8),
        np.zeros((50, 32, 32, 3), np.float32),
    ],
)
def test_arrays_of_other_shapes_are_refused(
    small_folder: Path, tmp_path: Path, array: NDArray[np.generic]
) -> None:
    np.save(tmp_path / "fog.npy", array)
    files = CorruptedFiles(tmp_path, FolderSource(small_folder))
    with pytest.raises(NsbenchError, match=r"need uint8 \(50, S, S, 3\): name the source"):
        files.check(CELL)


def test_arrays_with_pickles_or_half_written_are_refused(
    small_folder: Path, tmp_path: Path
) -> None:
    files = CorruptedFiles(tmp_path, FolderSource(small_folder))
    np.save(tmp_path / "fog.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(NsbenchError, match=r"fog\.npy cannot be read"):
        files.check(CELL)
    for content in (b"", b"half"):
        (tmp_path / "fog.npy").write_bytes(content)
        with pytest.raises(NsbenchError, match=r"fog\.npy cannot be read"):
            files.check(CELL)


def test_labels_must_be_those_of_the_source(small_folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "fog.npy", np.zeros((50, 32, 32, 3), np.uint8))
    files = CorruptedFiles(tmp_path, FolderSource(small_folder))
    same = np.repeat([0, 1], 5)
    for labels in (same, 7 - same):  # classes may be numbered otherwise
        np.save(tmp_path / "labels.npy", np.tile(labels, 5))
        files.check(CELL)
    np.save(tmp_path / "labels.npy", np.tile([0, 1], 25))
    with pytest.raises(NsbenchError, match=r"labels in .* are not those of .* the same order"):
        files.check(CELL)


def test_missing_and_broken_clips_are_named(small_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "p" / "digital" / "tilt" / "cat").mkdir(parents=True)
    files = ClipFiles(tmp_path / "p", FolderSource(small_folder))
    files.check(["tilt"])
    with pytest.raises(NsbenchError, match="has no folder or file for 'gaussian_noise_2'"):
        files.check(["gaussian_noise_2"])
    with pytest.raises(NsbenchError, match=r"there is no .*cat/0\.mp4: repeat"):
        files.read("tilt", 0)
    (tmp_path / "p/digital/tilt/cat/0.mp4").write_bytes(b"broken")
    with pytest.raises(NsbenchError, match=r"cat/0\.mp4 cannot be read .*: remove it"):
        files.read("tilt", 0)


def packed(folder: Path, tar: Path, below: str = "") -> Path:
    """A tar of a folder, which then is removed."""
    tar.parent.mkdir(parents=True, exist_ok=True)
    tar_of(folder, tar, below)
    shutil.rmtree(folder)
    return tar


@pytest.mark.parametrize("below", ["", "weather", "imagenet-c/weather"])
def test_released_tars_are_read_without_unpacking(
    small_folder: Path, tmp_path: Path, below: str
) -> None:
    source = FolderSource(small_folder)
    unpacked = CorruptedFiles(released(tmp_path / "c"), source)
    identity = unpacked.identity(["fog/2"], TEN)
    packed(tmp_path / "c", tmp_path / "tars" / "weather.tar", below)
    write_tar(tmp_path / "tars" / "blur.tar", {"zoom_blur/1/cat/0.JPEG": b"broken"})
    files = CorruptedFiles(tmp_path / "tars", source)
    files.check(CELL)
    assert files.identity(["fog/2"], TEN) == identity
    for index in (0, 3, 7):
        assert (files.read("fog", 2, index) == 20 * index).all()
    assert len(pickle.dumps(files)) < 5000
    with pytest.raises(NsbenchError, match="has no folder or file for 'snow'; it has fog, zoom_bl"):
        files.check([("snow", 1)])
    with pytest.raises(NsbenchError, match=r"weather\.tar/.*fog has no severity 3; it has 2"):
        files.check([("fog", 3)])
    with pytest.raises(NsbenchError, match=r"blur\.tar/zoom_blur/1/cat/0\.JPEG cannot be read"):
        files.read("zoom_blur", 1, 0)
    with pytest.raises(NsbenchError, match=r"there is no .*zoom_blur/1/cat/1\.JPEG"):
        files.read("zoom_blur", 1, 1)


def test_unlikely_tars_are_not_even_opened(small_folder: Path, tmp_path: Path) -> None:
    packed(released(tmp_path / "c"), tmp_path / "tars" / "weather.tar")
    (tmp_path / "tars" / "blur.tar").write_bytes(b"still being downloaded")
    files = CorruptedFiles(tmp_path / "tars", FolderSource(small_folder))
    files.check(CELL)
    with pytest.raises(NsbenchError, match=r"blur\.tar is not a whole tar archive"):
        files.check([("zoom_blur", 1)])


def test_arrays_inside_a_tar(small_folder: Path, tmp_path: Path) -> None:
    source = FolderSource(small_folder)
    array = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), np.uint8)
    (tmp_path / "c").mkdir()
    np.save(tmp_path / "c" / "fog.npy", array)
    np.save(tmp_path / "c" / "labels.npy", np.tile(np.repeat([0, 1], 5), 5))
    np.save(tmp_path / "c" / "frost.npy", np.array([{}] * 50), allow_pickle=True)
    identity = CorruptedFiles(tmp_path / "c", source).identity(["fog/2"], TEN)
    tar = packed(tmp_path / "c", tmp_path / "CIFAR-10-C.tar", "CIFAR-10-C")
    files = CorruptedFiles(tar, source)
    files.check(CELL)
    assert files.identity(["fog/2"], TEN) == identity
    assert (files.read("fog", 2, 3) == array[13].transpose(2, 0, 1)).all()
    with pytest.raises(NsbenchError, match=r"CIFAR-10-C/frost\.npy cannot be read"):
        files.check([("frost", 1)])
    with pytest.raises(NsbenchError, match="no folder or file for 'snow'; it has fog, frost"):
        files.check([("snow", 1)])


def test_clips_inside_a_tar(small_folder: Path, tmp_path: Path) -> None:
    make_imagenet_p(
        str(small_folder), tmp_path / "p", perturbations=["rotate"], layout="folder", workers=1
    )
    source = FolderSource(small_folder)
    wanted = ClipFiles(tmp_path / "p", source).read("rotate", 9)
    packed(tmp_path / "p", tmp_path / "tars" / "digital.tar")
    files = ClipFiles(tmp_path / "tars", source)
    files.check(["rotate"])
    assert (files.read("rotate", 9) == wanted).all()
    with pytest.raises(NsbenchError, match="for 'tilt'; it has rotate"):
        files.check(["tilt"])
