"""Streams of any encoding take our signs, as plain ones where they have to."""

import io
import sys

import pytest

from nsbench.util.streams import PLAIN, take_any_text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "utf-16"])
def test_any_text_can_be_printed(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding=encoding))
    take_any_text()
    text = "96.1 ± 0.4 → 97 κ … 水"
    print(text, flush=True)
    shown = buffer.getvalue().decode(encoding).strip()
    if encoding.startswith("utf"):
        assert shown == text
    else:
        kept = "±" if encoding == "latin-1" else "+-"
        assert shown == f"96.1 {kept} 0.4 -> 97 kappa ... ?"


def test_plain_signs_are_ascii() -> None:
    assert "".join(PLAIN.values()).isascii()
