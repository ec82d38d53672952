import shutil
from pathlib import Path

import pytest

from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_text
from nsbench.util.sealed import (
    BLANK,
    flaw,
    is_sealed_text,
    read_record,
    seal_text,
    sealed_line,
    sealed_lines,
    set_aside,
    update_record,
    write_record,
    written_sealed,
)

VALUE = {"a": [1, 0.1, None], "é": {"b": "ü"}}


def test_a_record_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_record(path, VALUE)
    assert read_record(path, "") == VALUE
    assert flaw(path) is None


def test_a_copy_of_another_record_is_refused(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        write_record(tmp_path / name, VALUE)
    shutil.copy(tmp_path / "a.json", tmp_path / "b.json")
    with pytest.raises(NsbenchError, match=r"b\.json is a copy of a\.json: the way out"):
        read_record(tmp_path / "b.json", "the way out")


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_record(path, VALUE)
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        assert flaw(path), bit
        with pytest.raises(NsbenchError, match=r"r\.json .*: the way out"):
            read_record(path, "the way out")


def test_what_is_missing_empty_or_old_is_said(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    assert flaw(path) == "is missing"
    path.touch()
    assert flaw(path) == "cannot be read (it is empty)"
    path.write_text("{}")
    assert "earlier versions of nsbench" in str(flaw(path))
    assert "cannot be read (Is a directory)" in str(flaw(tmp_path))


def test_names_may_look_like_digests(tmp_path: Path) -> None:
    path, other = tmp_path / "f", BLANK.replace("0", "f")
    for names in ([other, BLANK], [BLANK, other], [BLANK[:-60], BLANK], [BLANK, BLANK]):
        with written_sealed(path) as file:
            file.write("/".join(names).encode())
        assert flaw(path) is None
        content = path.read_bytes()
        for place in range(len(content)):
            path.write_bytes(content[:place] + b"?" + content[place + 1 :])
            assert flaw(path)
    record = {BLANK: BLANK, "name": f"{other}.png"}
    write_record(path, record)
    assert read_record(path, "") == record


def test_what_cannot_be_used_is_kept_under_a_free_name(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for content in ("one", "two"):
        write_text(tmp_path / "f", content)
        set_aside(tmp_path / "f", "is broken")
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["f.set-aside-1", "f.set-aside-2"]
    assert (tmp_path / "f.set-aside-2").read_text() == "two"
    assert "f is broken; it is kept as f.set-aside-1, and made again" in capfd.readouterr().err


def test_a_record_is_written_only_where_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    update_record(path, VALUE)
    first = path.stat().st_ino
    update_record(path, dict(reversed(VALUE.items())))
    assert path.stat().st_ino == first
    update_record(path, {**VALUE, "a": 2})
    assert read_record(path, "")["a"] == 2


def test_lines_are_sealed_one_by_one(tmp_path: Path) -> None:
    rows = [{"step": step, "loss": 0.1 * step} for step in range(3)]
    path = tmp_path / "log"
    path.write_text("".join(map(sealed_line, rows)))
    assert sealed_lines(path, {}) == (rows, 0)
    assert sealed_lines(path, {"step": 1}) == (rows[1:2], 2)
    path.write_text(path.read_text().replace('"step": 1', '"step": 7')[:-20] + "\n\xff[1]\n")
    assert sealed_lines(path, {}) == (rows[:1], 3)


def test_a_text_ends_in_the_digest_of_what_is_above(tmp_path: Path) -> None:
    text = seal_text("a = 1\nb = 2\n")
    assert text.startswith("a = 1\nb = 2\n# nsbench-sha256:")
    assert is_sealed_text(text)
    for other in ("", "a = 1\n", text.replace("2", "3", 1), text + "c = 3\n", text[:-1]):
        assert not is_sealed_text(other)
