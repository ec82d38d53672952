"""Sets as files: the same pixels as on the fly, and exactly what is missing when repeated."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from nsbench import perturbations
from nsbench.corruptions import corrupt
from nsbench.corruptions.digital import jpeg_compression
from nsbench.data.open import FolderSource, SourceSpec, open_source
from nsbench.data.preprocessing import fixed_crop
from nsbench.data.transforms import center_crop, resized
from nsbench.released.make import make_imagenet_c, make_imagenet_p
from nsbench.released.reader import ClipFiles, CorruptedFiles
from nsbench.util.errors import NsbenchError
from nsbench.util.locks import only_writer
from tests.data.readers.kinds import png

TEN = np.arange(10)

FEW: dict[str, Any] = {
    "corruptions": ["gaussian_noise", "fog"],
    "severities": [1, 4],
    "layout": "folder",
    "workers": 1,
}


def crops(source: FolderSource, size: int = 32, resize: int = 32) -> torch.Tensor:
    crop = fixed_crop(size, resize)
    images = [center_crop(source.image(index), crop) for index in range(len(source))]
    return torch.from_numpy(np.stack(images))


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def read_all(files: CorruptedFiles, name: str, severity: int, count: int) -> NDArray[np.uint8]:
    return np.stack([files.read(name, severity, index) for index in range(count)])


@pytest.mark.parametrize("lossless", [False, True])
def test_files_hold_what_evaluation_makes_on_the_fly(
    image_folder: Path, tmp_path: Path, lossless: bool
) -> None:
    summary = make_imagenet_c(
        str(image_folder), tmp_path / "c", **FEW, image_size=48, resize_size=50, lossless=lossless
    )
    del summary["seconds"]
    assert summary == {
        "target": str(tmp_path / "c"), "images": 6, "cells": 4, "written": 24, "kept": 0
    }  # fmt: skip
    ending = "png" if lossless else "JPEG"
    assert (tmp_path / f"c/fog/4/dog/2.{ending}").is_file()
    source = FolderSource(image_folder)
    files = CorruptedFiles(tmp_path / "c", source)
    files.check([("fog", 4), ("gaussian_noise", 1)])
    images = crops(source, 48, 50)
    for name, severity in [("fog", 4), ("gaussian_noise", 1)]:
        with pytest.warns(UserWarning, match="get the constants"):
            made = corrupt(images, name, severity, ids=source.ids)
        wanted = made if lossless else jpeg_compression(made, 85)
        assert (read_all(files, name, severity, 6) == wanted.numpy()).all()


def test_by_default_images_are_of_224_px_as_in_imagenet_c(
    image_folder: Path, tmp_path: Path
) -> None:
    make_imagenet_c(
        str(image_folder), tmp_path / "c", corruptions=["brightness"], severities=[1], workers=1
    )
    source = FolderSource(image_folder)
    made = jpeg_compression(corrupt(crops(source, 224, 256), "brightness", 1, ids=source.ids), 85)
    files = CorruptedFiles(tmp_path / "c", source)
    assert (read_all(files, "brightness", 1, 6) == made.numpy()).all()


def test_small_images_become_the_arrays_of_cifar_10_c(small_folder: Path, tmp_path: Path) -> None:
    made = make_imagenet_c(
        str(small_folder), tmp_path / "c", corruptions=["fog", "frost"], workers=2
    )
    assert (made["cells"], made["written"]) == (10, 2)
    source = FolderSource(small_folder)
    array = np.load(tmp_path / "c" / "fog.npy")
    assert (array.dtype, array.shape) == (np.uint8, (50, 32, 32, 3))
    assert source.labels is not None
    assert (np.load(tmp_path / "c" / "labels.npy") == np.tile(source.labels, 5)).all()
    images = crops(source)
    files = CorruptedFiles(tmp_path / "c", source)
    for severity in (1, 5):
        wanted = corrupt(images, "fog", severity, ids=source.ids).numpy()
        rows = array[10 * (severity - 1) : 10 * severity]
        assert (rows == wanted.transpose(0, 2, 3, 1)).all()
        assert (read_all(files, "fog", severity, 10) == wanted).all()


def test_clips_hold_the_frames(small_folder: Path, tmp_path: Path) -> None:
    names = ["rotate", "gaussian_noise"]
    source = FolderSource(small_folder)
    images = torch.from_numpy(np.stack([resized(source.image(index), 32) for index in range(10)]))
    for layout, lossless in [("folder", True), ("folder", False), ("npy", False)]:
        target = tmp_path / f"{layout}-{lossless}"
        make_imagenet_p(
            str(small_folder), target, perturbations=names, layout=layout, lossless=lossless,
            seed=3, workers=1,
        )  # fmt: skip
        files = ClipFiles(target, source)
        files.check(names)
        for name in names:
            sequence = perturbations.frames(images, name, ids=source.ids, seed=3)
            wanted = torch.stack(list(sequence), 1).numpy()
            found = np.stack([files.read(name, index) for index in range(10)])
            assert found.shape == wanted.shape
            exact = lossless or layout == "npy"
            error = np.abs(found.astype(int) - wanted).mean()
            assert error == 0 if exact else 0 < error < 4


def test_clip_arrays_are_those_of_cifar_10_p(small_folder: Path, tmp_path: Path) -> None:
    make_imagenet_p(str(small_folder), tmp_path / "p", perturbations=["translate"], workers=1)
    array = np.load(tmp_path / "p" / "translate.npy")
    assert (array.dtype, array.shape) == (np.uint8, (10, 16, 32, 32, 3))
    assert np.load(tmp_path / "p" / "labels.npy").tolist() == [0] * 5 + [1] * 5


def test_noises_of_other_difficulties_get_folders_of_their_own(
    small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def frames(images: torch.Tensor, name: str, **options: Any) -> list[torch.Tensor]:
        asked.append((name, options.get("difficulty"), options.get("size")))
        return [images, images]

    monkeypatch.setattr("nsbench.released.make.frames", frames)
    names = ["shot_noise", "tilt"]
    for difficulty in (1, 3):
        make_imagenet_p(
            str(small_folder), tmp_path / "p", perturbations=names, difficulty=difficulty, workers=1
        )
    made = [
        ".digests",
        "labels.npy",
        "nsbench.json",
        "shot_noise.npy",
        "shot_noise_3.npy",
        "tilt.npy",
    ]
    assert sorted(os.listdir(tmp_path / "p")) == made
    assert set(asked) == {("shot_noise", 1, 32), ("tilt", 1, 32), ("shot_noise", 3, 32)}


def test_sequences_get_images_of_one_shape_uncropped(
    image_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = set()

    def frames(images: torch.Tensor, name: str, **options: Any) -> list[torch.Tensor]:
        shapes.add((len(images), *images.shape[2:], options["size"]))
        return [images[:, :, :64, :64]]

    Image.new("RGB", (36, 40)).save(image_folder / "cat" / "0.png")
    monkeypatch.setattr("nsbench.released.make.frames", frames)
    options: dict[str, Any] = {"image_size": 64, "resize_size": 72, "lossless": True, "workers": 1}
    make_imagenet_p(str(image_folder), tmp_path / "p", perturbations=["tilt"], **options)
    assert shapes == {(1, 80, 72, 64), (5, 72, 80, 64)}
    image = ClipFiles(tmp_path / "p", FolderSource(image_folder)).read("tilt", 1)
    assert (image == resized(FolderSource(image_folder).image(1), 72)[:, :64, :64]).all()


def test_workers_make_the_same_bytes(small_folder: Path, tmp_path: Path) -> None:
    for name, workers in [("one", 1), ("three", 3)]:
        make_imagenet_c(str(small_folder), tmp_path / name, **FEW | {"workers": workers})
        make_imagenet_p(
            str(small_folder), tmp_path / f"{name}-p", perturbations=["snow"], layout="folder",
            workers=workers,
        )  # fmt: skip
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    assert contents(tmp_path / "one-p") == contents(tmp_path / "three-p")


@pytest.mark.parametrize("layout", ["folder", "npy"])
def test_a_repeated_command_completes_what_is_missing(
    small_folder: Path, tmp_path: Path, layout: str, capfd: pytest.CaptureFixture[str]
) -> None:
    options = FEW | {"layout": layout, "severities": [1, 2, 3, 4, 5]}
    make_imagenet_c(str(small_folder), tmp_path / "c", **options)
    made, when = contents(tmp_path / "c"), times(tmp_path / "c")
    again = make_imagenet_c(str(small_folder), tmp_path / "c", **options)
    assert (again["written"], again["kept"]) == ((0, 100) if layout == "folder" else (0, 2))
    assert times(tmp_path / "c") == when
    assert "is complete: nothing left to do" in capfd.readouterr().err
    lost = [name for name in sorted(made) if name.startswith("fog")][:3]
    for name in lost:  # as a killed process leaves them: half-written beside their place
        path = tmp_path / "c" / name
        path.rename(path.with_name(f".nsbench-{path.name}.abcd_123"))
    again = make_imagenet_c(str(small_folder), tmp_path / "c", **options)
    assert again["written"] == len(lost)
    assert contents(tmp_path / "c") == made
    kept = {path: time for path, time in when.items() if str(path.name) not in str(lost)}
    assert kept.items() <= times(tmp_path / "c").items()


def test_more_corruptions_and_severities_may_be_added(small_folder: Path, tmp_path: Path) -> None:
    make_imagenet_c(str(small_folder), tmp_path / "c", **FEW | {"severities": [1]})
    identity = CorruptedFiles(tmp_path / "c", FolderSource(small_folder)).identity(["fog/1"], TEN)
    make_imagenet_c(str(small_folder), tmp_path / "c", **FEW | {"corruptions": ["fog", "saturate"]})
    files = CorruptedFiles(tmp_path / "c", FolderSource(small_folder))
    files.check([("fog", 1), ("fog", 4), ("saturate", 4), ("gaussian_noise", 1)])
    assert files.identity(["fog/1"], TEN) == identity
    with pytest.raises(NsbenchError, match="has no severity 4; it has 1: let nsbench make"):
        files.check([("gaussian_noise", 4)])


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"seed": 1}, "was made with seed 0, not 1: choose another folder"),
        ({"lossless": True}, "was made with storage jpeg-85, not png"),
        ({"image_size": 64}, "was made with image_size 32, not 64"),
        ({"layout": "npy", "severities": [1, 2, 3, 4, 5]}, "was made with layout folder, not npy"),
    ],
)
def test_other_settings_are_refused(
    small_folder: Path, tmp_path: Path, other: dict[str, Any], sentence: str
) -> None:
    make_imagenet_c(str(small_folder), tmp_path / "c", **FEW)
    when = times(tmp_path / "c")
    with pytest.raises(NsbenchError, match=sentence):
        make_imagenet_c(str(small_folder), tmp_path / "c", **FEW | other)
    with pytest.raises(NsbenchError, match="was made with kind imagenet-c, not imagenet-p"):
        make_imagenet_p(str(small_folder), tmp_path / "c")
    assert times(tmp_path / "c") == when


@pytest.mark.parametrize("layout", ["folder", "npy"])
def test_a_source_that_moved_or_was_touched_is_the_same(
    small_folder: Path, tmp_path: Path, layout: str, capfd: pytest.CaptureFixture[str]
) -> None:
    options = FEW | {"layout": layout, "severities": [1, 2, 3, 4, 5]}
    make_imagenet_c(str(small_folder), tmp_path / "c", **options)
    moved = small_folder.rename(tmp_path / "moved")
    os.utime(moved / "cat" / "0.png", (1, 1))
    assert make_imagenet_c(str(moved), tmp_path / "c", **options)["written"] == 0
    assert "have changed since" not in capfd.readouterr().err
    (moved / "cat" / "0.png").write_bytes((moved / "cat" / "1.png").read_bytes())
    before = contents(tmp_path / "c")
    with pytest.raises(NsbenchError, match=r"was made of another image cat/0\.png than there is"):
        make_imagenet_c(str(moved), tmp_path / "c", **options)
    assert contents(tmp_path / "c") == before


def test_an_image_may_be_replaced_or_removed_that_could_not_be_read(
    small_folder: Path, tmp_path: Path
) -> None:
    broken = small_folder / "dog" / "4.png"
    good = broken.read_bytes()
    broken.write_bytes(good[:50])
    with pytest.raises(NsbenchError, match=r"dog/4\.png cannot be read"):
        make_imagenet_c(str(small_folder), tmp_path / "c", **FEW)
    broken.unlink()
    assert make_imagenet_c(str(small_folder), tmp_path / "c", **FEW)["kept"] == 32
    broken.write_bytes(good)
    again = make_imagenet_c(str(small_folder), tmp_path / "c", **FEW)
    assert (again["written"], again["kept"]) == (4, 36)


def test_other_images_are_refused(small_folder: Path, tmp_path: Path) -> None:
    make_imagenet_c(str(small_folder), tmp_path / "c", **FEW)
    arrays = FEW | {"layout": "npy", "severities": [1, 2, 3, 4, 5]}
    make_imagenet_c(str(small_folder), tmp_path / "n", **arrays)
    (small_folder / "cat" / "0.png").rename(small_folder / "cat" / "other.png")
    when = times(tmp_path)
    with pytest.raises(NsbenchError, match=r"was made of other images \(such as cat/0\.JPEG\)"):
        make_imagenet_c(str(small_folder), tmp_path / "c", **FEW)
    with pytest.raises(NsbenchError, match="was made of other images"):
        make_imagenet_c(str(small_folder), tmp_path / "n", **arrays)
    assert times(tmp_path) == when


def test_empty_files_of_a_crash_are_made_again(small_folder: Path, tmp_path: Path) -> None:
    make_imagenet_c(str(small_folder), tmp_path / "c", **FEW)
    made = contents(tmp_path / "c")
    (tmp_path / "c" / "fog" / "1" / "cat" / "2.JPEG").write_bytes(b"")
    assert make_imagenet_c(str(small_folder), tmp_path / "c", **FEW)["written"] == 1
    assert contents(tmp_path / "c") == made


def test_two_commands_do_not_write_to_one_target(small_folder: Path, tmp_path: Path) -> None:
    with (
        only_writer(tmp_path / "c"),
        pytest.raises(NsbenchError, match="another nsbench is writing to .*c: wait"),
    ):
        make_imagenet_c(str(small_folder), tmp_path / "c", **FEW)
    assert not (tmp_path / "c").exists()
    assert make_imagenet_c(str(small_folder), tmp_path / "c", **FEW)["written"] == 40


def test_a_target_inside_the_source_is_refused(small_folder: Path) -> None:
    with pytest.raises(NsbenchError, match="lies in the source"):
        make_imagenet_c(str(small_folder), small_folder / "c", **FEW)
    assert sorted(os.listdir(small_folder)) == ["cat", "dog"]


def test_images_under_32_px_are_refused(small_folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (31, 90)).save(small_folder / "dog" / "1.png")
    with pytest.raises(NsbenchError, match=r"dog/1\.png of .* is 31 x 90 px, but must be 32 px"):
        make_imagenet_c(str(small_folder), tmp_path / "c", **FEW, image_size=224)


def test_a_target_with_other_files_is_left_alone(small_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "full" / "cat").mkdir(parents=True)
    with pytest.raises(NsbenchError, match=r"holds files \(cat\) but no nsbench.json"):
        make_imagenet_c(str(small_folder), tmp_path / "full", **FEW)
    assert os.listdir(tmp_path / "full") == ["cat"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / ".env.template").write_text("kept")
    with pytest.raises(NsbenchError, match=r"holds files \(\.env\.template\)"):
        make_imagenet_c(str(small_folder), tmp_path / "mine", **FEW)
    assert os.listdir(tmp_path / "mine") == [".env.template"]
    (tmp_path / "file").write_text("kept")
    with pytest.raises(NsbenchError, match="file is a file: name a folder"):
        make_imagenet_c(str(small_folder), tmp_path / "file", **FEW)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("workers", [1, 2])
def test_an_unreadable_image_is_named(small_folder: Path, tmp_path: Path, workers: int) -> None:
    (small_folder / "dog" / "3.png").write_bytes(b"no image")
    with pytest.raises(NsbenchError, match=r"the image .*dog/3\.png cannot be read"):
        make_imagenet_c(str(small_folder), tmp_path / "c", **FEW | {"workers": workers})
    assert not [name for name in contents(tmp_path / "c") if "/." in name]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("layout", ["folder", "npy"])
def test_a_full_disk_is_one_sentence_and_the_rest_is_kept(
    small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, layout: str
) -> None:
    options = FEW | {"severities": [1, 2, 3, 4, 5], "layout": layout, "workers": workers}
    replace = os.replace

    def full(source: str, target: Path) -> None:
        if "fog" in str(target):
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(NsbenchError, match=r"cannot write .*fog.*: No space left on device"):
            make_imagenet_c(str(small_folder), tmp_path / "c", **options)
    assert not [path for path in contents(tmp_path / "c") if "/." in f"/{path}"]
    kept = len(contents(tmp_path / "c"))
    make_imagenet_c(str(small_folder), tmp_path / "c", **options)
    assert len(contents(tmp_path / "c")) > kept
    make_imagenet_c(str(small_folder), tmp_path / "whole", **options)
    assert contents(tmp_path / "c") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"corruptions": ["fogg"]}, "there is no corruption 'fogg'; did you mean 'fog'?"),
        ({"corruptions": []}, "name at least one corruption"),
        ({"severities": [0]}, "the severity is 0, but must be a whole number from 1 to 5"),
        ({"severities": []}, "the severity is missing"),
        ({"image_size": 31}, "the image size is 31, but must be 32 px or more"),
        ({"image_size": 64, "resize_size": 60}, "a crop of 64 px needs as much"),
        ({"layout": "tar"}, "there is no layout 'tar'"),
        ({"layout": "npy"}, "a .npy file holds all five severities"),
    ],
)
def test_settings_that_cannot_be(
    small_folder: Path, tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(NsbenchError) as raised:
        make_imagenet_c(str(small_folder), tmp_path / "c", **FEW | options)
    assert sentence in str(raised.value)
    assert not (tmp_path / "c").exists()


def test_settings_of_sequences_that_cannot_be(small_folder: Path, tmp_path: Path) -> None:
    def fails(sentence: str, **options: Any) -> None:
        with pytest.raises(NsbenchError, match=sentence):
            make_imagenet_p(str(small_folder), tmp_path / "p", **options)

    fails("there is no perturbation 'rotat'; did you mean 'rotate'", perturbations=["rotat"])
    fails("the difficulty is 4, but must be a whole number from 1 to 3", difficulty=4)
    fails("the image size is 48, but sequences are of 32, 64 or 224 px", image_size=48)
    assert not (tmp_path / "p").exists()


def test_labels_that_are_no_class_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "t.parquet"
    cells = [{"bytes": png(n), "path": None} for n in range(2)]
    pq.write_table(pa.table({"image": cells, "label": [0, -1]}), table)
    with pytest.raises(NsbenchError, match=r"label -1, but nsbench make needs class numbers from"):
        make_imagenet_c(str(table), tmp_path / "c", layout="npy")
    assert not (tmp_path / "c").exists()


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    digits = SourceSpec(source="digits", split="unlabeled")
    assert open_source(digits).labels is None
    with pytest.raises(NsbenchError, match=r"digits \(unlabeled\) has no labels"):
        make_imagenet_c(digits, tmp_path / "c")
    assert not (tmp_path / "c").exists()
