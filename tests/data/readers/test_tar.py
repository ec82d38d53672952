"""Archives that are not what they should be."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from nsbench.data.open import open_source
from nsbench.data.tar_index import TarPath, read_index
from nsbench.util.errors import NsbenchError
from tests.data.readers.kinds import png, spec, write_tar


@pytest.mark.parametrize("name", ["/etc/cat/a.png", "../cat/a.png", "x/../../cat/a.png"])
def test_paths_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    tar = write_tar(tmp_path / "a.tar", {"cat/b.png": png(), name: png()})
    with pytest.raises(NsbenchError, match=r"a\.tar holds '.*cat/a\.png', a path that leads out"):
        open_source(spec(tar))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        member = tarfile.TarInfo("cat/a.png")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    with pytest.raises(NsbenchError, match=r"holds 'cat/a\.png', which is not a plain file"):
        open_source(spec(tmp_path / "a.tar"))


def test_files_named_twice_are_refused(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"cat/a.png": png(), "./cat/a.png": png(1)})
    with pytest.raises(NsbenchError, match=r"holds 'cat/a\.png' twice"):
        open_source(spec(tar))


def test_compressed_archives_have_a_way_out(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"cat/a.png": png()})
    for name in ("a.tar.gz", "a.tgz"):
        (tmp_path / name).write_bytes(gzip.compress(tar.read_bytes()))
        with pytest.raises(NsbenchError, match=rf"{name} is compressed, .* by gunzip .*{name}$"):
            open_source(spec(tmp_path / name))


def test_archives_in_archives_have_a_way_out(tmp_path: Path) -> None:
    inner = write_tar(tmp_path / "n01.tar", {"a.png": png()}).read_bytes()
    tar = write_tar(tmp_path / "x" / "train.tar", {"n01.tar": inner, "n02.tar": inner})
    for place in (tar, tar.parent):
        with pytest.raises(
            NsbenchError, match=r"no images but 2 archives, such as n01\.tar, and.*: unp"
        ):
            open_source(spec(place))
    for name, way_out in (("x.tar", "name the folder that holds it"), ("x.zip", "unpack it first")):
        (tmp_path / name / "in").mkdir(parents=True)
        (tmp_path / name / "in" / name).write_bytes(inner)
        with pytest.raises(NsbenchError, match=rf"1 archive, such as in/{name}: {way_out}"):
            open_source(spec(tmp_path / name))
    with pytest.raises(NsbenchError, match=r"in/x\.zip is an archive: unpack it"):
        open_source(spec(tmp_path / "x.zip" / "in" / "x.zip"))


def test_braces_in_a_path_that_exists_are_no_pattern(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a{0..1}" / "b{0..1}.tar", {"cat/a.png": png()})
    assert len(open_source(spec(tar))) == len(open_source(spec(tar.parent))) == 1


@pytest.mark.parametrize("name", ["x", "x.tar", "x.npy", "x.parquet", "in/0.tar"])
def test_links_that_lead_nowhere_are_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / name).symlink_to("gone")
    source = tmp_path / "in" if name.startswith("in") else tmp_path / name
    with pytest.raises(
        NsbenchError, match=rf"{name}: it is a link that leads nowhere \(gone\): rest"
    ):
        open_source(spec(source))


def test_a_pipe_among_the_shards_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "0.tar")
    with pytest.raises(NsbenchError, match=r"0\.tar: it is a pipe or a device"):
        open_source(spec(tmp_path))


@pytest.mark.parametrize("keep", [0.1, 0.3, 0.6, 0.85])
def test_archives_that_were_cut_off(tmp_path: Path, keep: float) -> None:
    tar = write_tar(tmp_path / "a.tar", {f"cat/{i}.png": png(i) * 40 for i in range(4)})
    content = tar.read_bytes().rstrip(b"\0")
    tar.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(NsbenchError, match=r"a\.tar is not a whole tar archive .*: fetch it again"):
        open_source(spec(tar))


def test_a_damaged_header_is_not_the_end(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {f"cat/{i}.png": png(i) for i in range(4)})
    content = bytearray(tar.read_bytes())
    content[2 * 1024 + 5] ^= 1  # in the name of the third member
    tar.write_bytes(content)
    with pytest.raises(NsbenchError, match="the header at byte 2048 is damaged"):
        open_source(spec(tar))


def test_a_file_that_is_no_tar(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"<html>not found</html>" * 100)
    with pytest.raises(NsbenchError, match="not a whole tar archive"):
        open_source(spec(tmp_path / "a.tar"))
    (tmp_path / "a.tar").write_bytes(b"")
    with pytest.raises(NsbenchError, match="not a whole tar archive"):
        open_source(spec(tmp_path / "a.tar"))


def test_an_archive_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", {"cat/a.png": png()})
    source = open_source(spec(tar))
    tar.write_bytes(tar.read_bytes()[:520])
    with pytest.raises(NsbenchError, match="ends too early: it changed while it was read"):
        source.image(0)


def test_long_names_and_a_path_inside(tmp_path: Path) -> None:
    name = f"{'d' * 90}/{'e' * 90}/cat/a.png"
    for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(tmp_path / "a.tar", "w", format=kind) as tar:
            member = tarfile.TarInfo(name)
            member.size = len(png())
            tar.addfile(member, io.BytesIO(png()))
        assert read_index(tmp_path / "a.tar").names == [name]
        place = TarPath(tmp_path / "a.tar") / ("d" * 90)
        assert place.is_dir()
        assert place.folders() == {"e" * 90}
        assert (place / ("e" * 90) / "cat" / "a.png").read_bytes() == png()
        with pytest.raises(FileNotFoundError):
            (place / "none").read_bytes()
        (tmp_path / "a.tar").unlink()
