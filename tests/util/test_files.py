import errno
import os
import tempfile
from pathlib import Path

import pytest

from nsbench.util import files
from nsbench.util.config import read_toml
from nsbench.util.errors import NsbenchError


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deep" / "file.bin"
    files.write_bytes(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(NsbenchError, match=r"cannot write .*file\.bin: No space left"):
            files.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["file.bin"]


def test_a_path_through_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NsbenchError, match="cannot write"):
        files.write_text(tmp_path / "file" / "below", "x")


def test_fingerprints_ignore_order_and_notice_values() -> None:
    assert files.fingerprint({"a": 1, "b": [2]}) == files.fingerprint({"b": [2], "a": 1})
    assert files.fingerprint({"a": 1}) != files.fingerprint({"a": 2})


def test_broken_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(NsbenchError, match=r"cannot read .*x\.json"):
        files.read_json(tmp_path / "x.json")


def test_leftovers_are_told_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:  # as a killed process leaves them
        patch.setattr(os, "replace", lambda *_: None)
        patch.setattr(os, "unlink", lambda _: None)
        files.write_bytes(tmp_path / "cat.JPEG", b"", sync=False)
    assert [files.is_temporary(name) for name in os.listdir(tmp_path)] == [True]
    assert not any(
        map(files.is_temporary, ("cat.JPEG", ".DS_Store", ".env.template", "nsbench.json", ".."))
    )


def test_what_is_made_of_a_file_is_kept_until_it_changes(tmp_path: Path) -> None:
    path, calls = tmp_path / "f", []

    @files.cached_while_unchanged(2)
    def content(path: Path, ending: str) -> str:
        calls.append(path)
        return path.read_text() + ending

    path.write_text("a")
    assert [content(path, "!"), content(path, "!"), content(path, "?")] == ["a!", "a!", "a?"]
    assert len(calls) == 2
    path.write_text("bb")
    assert content(path, "!") == "bb!"
    os.utime(path, ns=(0, 0))  # the same size, another time
    assert content(path, "!") == "bb!"
    assert len(calls) == 4
    path.write_text("cc")
    os.utime(path, ns=(0, 0))  # another content behind the same size and time
    assert content(path, "!") == "cc!"
    assert len(calls) == 5
    content.cache_clear()  # type: ignore[attr-defined]
    assert content(path, "!") == "cc!"
    assert len(calls) == 6
    path.unlink()
    with pytest.raises(FileNotFoundError):
        content(path, "!")


def test_a_byte_order_mark_is_no_part_of_json(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf{}")
    assert files.read_object(tmp_path / "x.json") == {}


DEEP = b"[" * 5000 + b"]" * 5000
HUGE = b'{"a": ' + b"9" * 5000 + b"}"


@pytest.mark.parametrize("content", [b"[]", b"null", b"3", b"", b"{", b"\xff{}", DEEP, HUGE])
def test_json_of_another_shape_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(NsbenchError, match=r"x\.json") as raised:
        files.read_object(path)
    assert "\n" not in str(raised.value)


def test_a_pipe_is_never_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "x.json"
    os.mkfifo(pipe)
    with pytest.raises(NsbenchError, match="it is a pipe or a device"):
        files.read_json(pipe)
    with pytest.raises(OSError, match="it is a pipe or a device"):
        files.plain(pipe)
    with pytest.raises(NsbenchError, match="/dev/zero: it is a pipe or a device"):
        files.refuse_unreadable(Path("/dev/zero"))
    files.refuse_unreadable(tmp_path)
    files.refuse_unreadable(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("code", "way_out"),
    [
        (errno.ENOSPC, "make room or choose another place and repeat"),
        (errno.EDQUOT, "make room or choose another place and repeat"),
        (errno.EROFS, "is kept, so choose another place and repeat"),
        (errno.EACCES, "allow writing there or choose another place and repeat"),
    ],
)
def test_room_is_asked_for_only_where_it_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, way_out: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    with pytest.raises(NsbenchError, match=way_out):
        files.write_text(tmp_path / "x", "y")
    assert list(tmp_path.iterdir()) == []


def test_files_of_windows_begin_with_a_mark(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("\ufeff[1]", "utf-8")
    (tmp_path / "x.toml").write_text("\ufeffa = 1\n", "utf-8")
    assert files.read_json(tmp_path / "x.json") == [1]
    assert read_toml(tmp_path / "x.toml") == {"a": 1}
