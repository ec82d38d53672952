"""Downloads from a server on this machine, also one that fails."""

import gzip
import hashlib
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from nsbench.data import catalog
from nsbench.data.catalog import Archive, DataSet
from nsbench.data.download import fetch, fetch_data_set
from nsbench.util.errors import NsbenchError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `files`; the next answers end after the numbers of bytes in `cuts`."""

    files: dict[str, bytes]
    cuts: list[int]
    ranges: bool = True
    length: str = ""
    asked: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int(asked[6:-1]) if asked and self.server.ranges else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", self.server.length or str(len(content) - start))
        self.end_headers()
        end = start + self.server.cuts.pop(0) if self.server.cuts else None
        self.wfile.write(content[start:end])

    def log_message(self, *_: object) -> None:
        pass


class Place(NamedTuple):
    server: Server
    url: str

    def archive(self, md5: str | None = MD5, name: str = "a.tar") -> Archive:
        return Archive(url=f"{self.url}/{name}", md5=md5)


@pytest.fixture
def place() -> Iterator[Place]:
    server = Server(("127.0.0.1", 0), Handler)
    server.files, server.cuts, server.asked = {"/a.tar": CONTENT}, [], []
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield Place(server, f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    server.server_close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_download(place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "new" / "a.tar"
    fetch(place.archive(), target)
    assert target.read_bytes() == CONTENT
    assert names(target.parent) == ["a.tar"]
    assert re.search(r"a\.tar: [23] MB in", capfd.readouterr().err)
    fetch(place.archive(), target)
    assert "is there already" in capfd.readouterr().err
    assert place.server.asked == [None]


@pytest.mark.parametrize("length", ["abc", "-5", "9" * 5000, "3e6"])
def test_a_length_that_is_none_is_not_believed(place: Place, tmp_path: Path, length: str) -> None:
    place.server.length = length
    fetch(place.archive(), tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == CONTENT


def test_an_interrupted_download_goes_on(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place.server.cuts = [1_200_000, 700_000]
    for size in ("1,200,000", "1,900,000"):
        with pytest.raises(NsbenchError, match=rf"stopped \(.*after {size} of 3,000,000 bytes"):
            fetch(place.archive(), tmp_path / "a.tar")
        assert names(tmp_path) == ["a.tar.part"]
    fetch(place.archive(), tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    assert place.server.asked == [None, "bytes=1200000-", "bytes=1900000-"]
    assert names(tmp_path) == ["a.tar"]
    assert "a.tar: going on after 2 MB" in capfd.readouterr().err


def test_a_server_that_ignores_ranges_starts_again(place: Place, tmp_path: Path) -> None:
    place.server.ranges = False
    (tmp_path / "a.tar.part").write_bytes(CONTENT[:1000] + b"other")
    fetch(place.archive(), tmp_path / "a.tar")
    assert (tmp_path / "a.tar").read_bytes() == CONTENT
    (tmp_path / "b.tar.part").write_bytes(b"longer" * 600_000)
    fetch(place.archive(), tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == CONTENT


def test_a_part_that_is_whole_or_too_long(place: Place, tmp_path: Path) -> None:
    (tmp_path / "a.tar.part").write_bytes(CONTENT)
    fetch(place.archive(), tmp_path / "a.tar")
    assert place.server.asked == ["bytes=3000000-"]
    (tmp_path / "b.tar.part").write_bytes(CONTENT + b"more")
    fetch(place.archive(), tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == CONTENT


def test_a_wrong_md5_removes_the_part(place: Place, tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match=rf"of MD5 {MD5}, not {'0' * 32}, which was removed: r"):
        fetch(place.archive("0" * 32), tmp_path / "a.tar")
    assert names(tmp_path) == []


def test_without_an_md5_it_is_said(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fetch(place.archive(None), tmp_path / "a.tar")
    assert "no MD5 is published for a.tar" in capfd.readouterr().err


def test_what_is_not_there(place: Place, tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match=r"b\.tar responds with 404 .* put it as .*x/b\.tar$"):
        fetch(place.archive(name="b.tar"), tmp_path / "x" / "b.tar")
    place.server.shutdown()
    place.server.server_close()
    with pytest.raises(NsbenchError, match=r"a\.tar stopped \(.*refused\): repeat the command"):
        fetch(place.archive(), tmp_path / "a.tar")
    assert names(tmp_path) == ["x"]


def test_too_little_room(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1_000_000))
    with pytest.raises(NsbenchError, match="has 1 MB free, but the download needs 3 MB: make room"):
        fetch(place.archive(), tmp_path / "a.tar")
    assert names(tmp_path) == []


def test_a_data_set_of_packed_archives(
    place: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    place.server.files["/b.tar.gz"] = gzip.compress(CONTENT, 1)
    place.server.files["/c.tar.gz"] = gzip.compress(CONTENT, 1)[:5000]
    made = {
        name: DataSet(
            title="", images=1, classes=1, source="", locations=[], folder="sub",
            archives=[place.archive(None, f"{name}.tar.gz")], get="look at it",
        )
        for name in "bc"
    }  # fmt: skip
    monkeypatch.setattr(catalog, "data_sets", lambda: made)
    monkeypatch.setenv("NSBENCH_DATA", str(tmp_path))
    for _ in range(2):
        assert fetch_data_set("b") == [tmp_path / "sub" / "b.tar"]
    assert (tmp_path / "sub" / "b.tar").read_bytes() == CONTENT
    assert f"now look at it: {tmp_path / 'sub'}" in capfd.readouterr().err
    with pytest.raises(NsbenchError, match=r"c\.tar\.gz is not a whole gzip file and was removed"):
        fetch_data_set("c")
    assert names(tmp_path) == ["b.tar", "sub"]
    assert len(place.server.asked) == 2


def test_what_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NsbenchError, match=r"imagenet-1k cannot be fetched; to get it: download"):
        fetch_data_set("imagenet-1k")
    monkeypatch.delenv("NSBENCH_DATA", raising=False)
    with pytest.raises(NsbenchError, match="name the folder to download to by --data"):
        fetch_data_set("imagenet-a")
