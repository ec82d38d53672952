"""Damaged files of users end in one sentence, or are read: 300 of them, and more by tests.fuzz."""

import random
from pathlib import Path

import pytest

from tests import fuzz


def test_damaged_files_are_read_or_refused() -> None:
    assert fuzz.run(300, seed=0, start=0, wanted=list(fuzz.KINDS)) == []


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_each_kind_is_read_while_it_is_whole(kind: str, tmp_path: Path) -> None:
    # Or else its damage would be refused for another reason.
    path = tmp_path / fuzz.KINDS[kind][0]
    whole = fuzz.whole_files(tmp_path, [kind])[kind]
    path.write_bytes(whole)
    fuzz.KINDS[kind][2](path)
    assert fuzz.damaged(whole, random.Random(1)) != whole


def test_what_is_neither_read_nor_refused_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> None:
        raise KeyError("nothing")

    monkeypatch.setitem(fuzz.KINDS, "txt", ("classes.txt", lambda: b"a\nb\n", broken))
    (first, _) = fuzz.run(2, seed=0, start=0, wanted=["txt"])
    assert first.startswith("number 0, txt: Traceback")
