"""The identity of data is its content, wherever it lies and whenever it was copied."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nsbench.data import content
from nsbench.data.cache import VARIABLE
from nsbench.data.content import StoredSource
from nsbench.data.joined import JoinedSource
from nsbench.data.label_files import of_classes
from nsbench.data.open import Source, open_source
from nsbench.data.readers.folder import FolderSource
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import (
    arrays_of,
    png,
    shards_of,
    spec,
    tar_of,
    write_parquet,
    write_tar,
)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """How many images each pass over images hashed, with an empty cache."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    counts: list[int] = []
    real = content._hashed

    def counted(source: StoredSource, indices: "np.typing.NDArray[np.int64]") -> content.Digests:
        counts.append(len(indices))
        return real(source, indices)

    monkeypatch.setattr(content, "_hashed", counted)
    return counts


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "digests").glob("*.bin"))


def of(*contents: bytes) -> list[bytes]:
    return [hashlib.sha256(content).digest()[:16] for content in contents]


def listed(source: Source) -> list[bytes]:
    assert source.digests.dtype == np.uint8
    assert source.digests.shape == (len(source), 16)
    return [row.tobytes() for row in source.digests]


def parquet_of(folder: Path, path: Path) -> Path:
    files = sorted(folder.rglob("*.png"))
    return write_parquet(path, [f.parent.name for f in files], [f.read_bytes() for f in files])


KINDS: dict[str, Callable[[Path, Path], Path]] = {
    "folder": lambda folder, _: folder,
    "tar": lambda folder, target: tar_of(folder, target / "a.tar"),
    "shards": lambda folder, target: shards_of(folder, target / "wds"),
    "arrays": lambda folder, target: arrays_of(folder, target / "npy"),
    "parquet": lambda folder, target: parquet_of(folder, target / "t.parquet"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_elsewhere_is_the_same_data(
    image_folder: Path, tmp_path: Path, kind: str, read: list[int]
) -> None:
    place = KINDS[kind](image_folder, tmp_path)
    version = open_source(spec(place)).version
    copy = tmp_path / "other" / "root" / place.name
    copy.parent.mkdir(parents=True)
    if place.is_dir():
        shutil.copytree(place, copy)
    else:
        shutil.copy(place, copy)
    for path in [copy, *copy.rglob("*")]:
        os.utime(path, (10**9, 10**9))
    assert open_source(spec(copy)).version == version
    assert read == [6, 6]


@pytest.mark.parametrize("kind", ["folder", "tar", "shards", "arrays"])
def test_a_byte_changed_behind_equal_size_and_times_is_noticed(
    image_folder: Path, tmp_path: Path, kind: str, read: list[int]
) -> None:
    place = KINDS[kind](image_folder, tmp_path)
    first = open_source(spec(place))
    before = first.digests
    file = max(
        (p for p in [place, *place.rglob("*")] if p.is_file()), key=lambda p: p.stat().st_size
    )
    stat = file.stat()
    changed = bytearray(file.read_bytes())
    # the middle of the largest file is the pixels of an image, in every kind
    changed[len(changed) // 3] ^= 1
    file.write_bytes(changed)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = open_source(spec(place))
    assert (second.digests != before).any(axis=1).sum() == 1
    assert second.version != first.version


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_unchanged_is_not_read_again(
    image_folder: Path, tmp_path: Path, kind: str, read: list[int]
) -> None:
    place = KINDS[kind](image_folder, tmp_path)
    first = open_source(spec(place))
    assert (read, kept(tmp_path)) == ([], [])  # opening hashes nothing
    again = open_source(spec(place))
    assert (listed(first), first.version) == (listed(again), again.version)
    assert read == [6]
    assert len(kept(tmp_path)) == 1


def test_only_the_changed_file_of_a_folder_is_read(image_folder: Path, read: list[int]) -> None:
    before = open_source(spec(image_folder)).digests
    (image_folder / "cat" / "1.png").write_bytes(png(3))
    (image_folder / "cat" / "00.png").write_bytes(png(4))
    assert listed(open_source(spec(image_folder))) == [
        before[0].tobytes(), *of(png(4), png(3)), *(row.tobytes() for row in before[2:])
    ]  # fmt: skip
    assert read == [6, 2]


def test_of_some_images_only_those_are_read(
    image_folder: Path, tmp_path: Path, read: list[int]
) -> None:
    every = listed(open_source(spec(image_folder)))
    read.clear()
    for path in kept(tmp_path):
        path.unlink()
    source = open_source(spec(image_folder))
    rows = np.array([4, 1, 4])
    assert [row.tobytes() for row in source.digests_of(rows)] == [every[row] for row in rows]
    parts = [open_source(spec(image_folder)), of_classes(source, ("dog",))]
    joined = JoinedSource(parts, labeled=False)
    found = joined.digests_of(np.array([8, 1, 7]))  # of which the cache has all but one
    assert [row.tobytes() for row in found] == [every[5], every[1], every[4]]
    assert read == [2, 1]
    assert listed(open_source(spec(image_folder))) == every
    assert read == [2, 1, 3]


def test_digests_are_of_the_stored_bytes(image_folder: Path, tmp_path: Path) -> None:
    wanted = of(*(file.read_bytes() for file in sorted(image_folder.rglob("*.png"))))
    for kind in ("folder", "tar", "parquet"):
        assert listed(open_source(spec(KINDS[kind](image_folder, tmp_path)))) == wanted
    arrays = open_source(spec(arrays_of(image_folder, tmp_path / "npy")))
    assert listed(arrays) == of(*(arrays.image(index).tobytes() for index in range(6)))
    digits = open_source(spec("digits"))
    assert len(set(listed(digits))) == 1000
    source = FolderSource(image_folder)
    assert source.storage.file_of(4) == image_folder / "dog" / "1.png"
    assert source.raw(4) == (image_folder / "dog" / "1.png").read_bytes()


def test_parts_of_one_file_are_not_taken_for_each_other(tmp_path: Path, read: list[int]) -> None:
    members = {f"{split}/cat/a.png": png(value) for value, split in enumerate(("one", "two"))}
    tar = write_tar(tmp_path / "a.tar", members)
    for value, split in enumerate(("one", "two")):
        assert listed(open_source(spec(tar, split=split))) == of(png(value))
    cells = [{"bytes": png(n), "path": None} for n in range(4)]
    columns = {"left": cells[:2], "right": cells[2:]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    for start, column in ((0, "left"), (2, "right")):
        source = open_source(spec(tmp_path / "t.parquet", image_column=column))
        assert listed(source) == of(png(start), png(start + 1))


def test_rows_that_name_files_and_rows_without_an_image(
    image_folder: Path, tmp_path: Path, read: list[int]
) -> None:
    file = image_folder / "cat" / "0.png"
    cells = [{"bytes": png(1), "path": "x.png"}, {"bytes": None, "path": str(file)}, None]
    pq.write_table(pa.table({"image": cells}), tmp_path / "t.parquet")
    table = tmp_path / "t.parquet"
    assert listed(open_source(spec(table))) == of(png(1), file.read_bytes(), b"")
    file.write_bytes(png(9))
    assert listed(open_source(spec(table))) == of(png(1), png(9), b"")
    assert read == [3, 1]


def test_wrapped_sources_pass_digests_on(image_folder: Path, tmp_path: Path) -> None:
    source = open_source(spec(image_folder))
    dogs = of_classes(source, ("dog",))
    assert listed(dogs) == listed(source)[3:]
    joined = JoinedSource([source, dogs], labeled=False)
    assert listed(joined) == listed(source) + listed(dogs)
    (tmp_path / "l.txt").write_text("".join(f"{name} {name[0]}\n" for name in source.ids))
    other = open_source(spec(image_folder, labels=str(tmp_path / "l.txt")))
    assert listed(other) == listed(source)
    assert len({s.version for s in (source, dogs, joined, other)}) == 4


def test_names_and_labels_are_part_of_the_version(image_folder: Path, tmp_path: Path) -> None:
    arrays = arrays_of(image_folder, tmp_path / "npy")
    versions = {open_source(spec(arrays)).version}
    (arrays / "classnames.txt").write_text("cat\ndog\n")
    versions.add(open_source(spec(arrays)).version)
    np.save(arrays / "labels.npy", np.array([0, 0, 1, 1, 1, 1]))
    versions.add(open_source(spec(arrays)).version)
    (arrays / "labels.npy").unlink()
    versions.add(open_source(spec(arrays)).version)
    (image_folder / "cat" / "0.png").rename(image_folder / "cat" / "9.png")
    versions |= {open_source(spec(p)).version for p in (image_folder, image_folder / "cat")}
    assert len(versions) == 6


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped", "other", "folder"])
def test_a_broken_cache_is_made_again(
    image_folder: Path, tmp_path: Path, read: list[int], damage: str
) -> None:
    wanted = listed(open_source(spec(image_folder)))
    (path,) = kept(tmp_path)
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        flipped = whole[:-1] + bytes([whole[-1] ^ 1])
        broken = {"cut": whole[:-32], "empty": b"", "flipped": flipped, "other": b"PAR1" * 20}
        path.write_bytes(broken[damage])
    assert listed(open_source(spec(image_folder))) == wanted
    assert read == [6, 6]
    if damage != "folder":
        assert path.read_bytes() == whole


def test_where_nothing_can_be_kept(
    image_folder: Path, tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "file"))
    wanted = of(*(file.read_bytes() for file in sorted(image_folder.rglob("*.png"))))
    for _ in range(2):
        assert listed(open_source(spec(image_folder))) == wanted
    assert read == [6, 6]

    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    source = open_source(spec(image_folder))
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(Path, "expanduser", homeless)
    assert listed(source) == wanted


def test_a_folder_whose_name_is_not_utf8(image_folder: Path, read: list[int]) -> None:
    other = image_folder.rename(image_folder.with_name(os.fsdecode(b"caf\xe9")))
    assert len({FolderSource(other).version for _ in range(2)}) == 1
    assert read == [6]


def test_an_image_that_cannot_be_read_is_named(image_folder: Path, read: list[int]) -> None:
    source = FolderSource(image_folder)
    (image_folder / "dog" / "2.png").unlink()
    assert source.digests.any(1).tolist() == [True] * 5 + [False]
    (image_folder / "dog" / "2.png").symlink_to("nowhere")
    assert not FolderSource(image_folder).digests[5].any()
    (image_folder / "dog" / "2.png").unlink()
    with pytest.raises(NsbenchError, match=r"the image .*dog/2\.png cannot be read \(No such"):
        source.image(5)
    # what could not be read is not kept: it may be there again
    (image_folder / "dog" / "2.png").write_bytes(png(1))
    assert FolderSource(image_folder).digests.any(1).all()


def test_long_hashing_is_told(
    image_folder: Path,
    read: list[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert len(open_source(spec(image_folder)).digests) == 6
    assert capsys.readouterr().err == ""
    (image_folder / "cat" / "0.png").write_bytes(png(1))
    (image_folder / "cat" / "1.png").write_bytes(png(2))
    monkeypatch.setattr(content, "QUIET", -1.0)
    monkeypatch.setattr(content, "CHUNK", 1)
    assert len(open_source(spec(image_folder)).digests) == 6
    assert f"hashing {image_folder}: 1 images in" in capsys.readouterr().err


PROCESS = """
import sys, time
from nsbench.data import content
from nsbench.data.open import SourceSpec, open_source

real = content._hashed

def slow(source, indices):
    print("hashed", len(indices), flush=True)
    time.sleep(1)
    return real(source, indices)

content._hashed = slow
print(open_source(SourceSpec(source=sys.argv[1])).version)
"""


def test_of_several_processes_one_hashes(image_folder: Path, tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(image_folder)],
            env=os.environ | {VARIABLE: str(tmp_path / "cache")},
            stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    said = "".join(process.communicate()[0] for process in started).splitlines()
    assert said.count("hashed 6") == 1
    assert len(said) == 4
    assert len(set(said)) == 2
    assert [path.suffix for path in (tmp_path / "cache" / "digests").iterdir()] == [".bin"]
