"""Files that say themselves whether they are as they were written: each holds its own digest.

What nsbench writes and reads again, it verifies. The digest stands where a format has room for
text: as a key of JSON, a comment of TOML, or in the metadata of Parquet, Arrow and safetensors.
"""

import hashlib
import json
import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from nsbench.util.errors import NsbenchError
from nsbench.util.files import (
    fingerprint,
    parsed_json,
    plain,
    read_object,
    read_plain,
    sha256,
    written_whole,
)
from nsbench.util.progress import say

_MARK = b"nsbench-sha256:"
_DIGITS = 64  # hexadecimal ones of a SHA-256

BLANK = (_MARK + b"0" * _DIGITS).decode()
"""What a format gets in place of its digest, which `seal` fills in once the rest is written."""

KEY, FILE = "digest", "file"
"""The keys of JSON that hold the digest, and the name of the file."""


@contextmanager
def written_sealed(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """A file to fill, with `BLANK` in it, that appears whole and sealed or not at all.

    sync: as in `written_whole`, whose errors are raised.
    """
    with written_whole(path, sync=sync) as file:
        yield file
        file.flush()
        with mmap.mmap(file.fileno(), 0) as content:
            # The last one: names of the user's may look like it, and formats have it behind them.
            blank = content.rfind(BLANK.encode())
            assert blank >= 0
            at = blank + len(_MARK)
            content[at : at + _DIGITS] = _digest(content, at)


def _marks(content: mmap.mmap) -> Iterator[int]:
    """Where digests may begin."""
    at = content.find(_MARK)
    while at >= 0:
        start = at + len(_MARK)
        # Arrow has its metadata twice, of which one stays blank.
        if content[start : start + _DIGITS] != b"0" * _DIGITS:
            yield start
        at = content.find(_MARK, start)


def _digest(content: mmap.mmap, at: int) -> bytes:
    """Hexadecimal SHA-256 of a file as if its own digest were still blank."""
    with memoryview(content) as view:
        digest = hashlib.sha256(view[:at])
        digest.update(b"0" * _DIGITS)
        digest.update(view[at + _DIGITS :])
    return digest.hexdigest().encode()


UNSEALED = "holds no digest, as files of earlier versions of nsbench"
"""What `flaw` says of a file that was never sealed."""


def flaw(path: Path) -> str | None:
    """Why a sealed file cannot be trusted, as the end of a sentence; None if it can be."""
    try:
        with (
            plain(path).open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole,
        ):
            if whole.find(_MARK) < 0:
                return UNSEALED
            # Any of them will do, since a name in the file may look like one.
            if not any(whole[at : at + _DIGITS] == _digest(whole, at) for at in _marks(whole)):
                return "is not as it was written: its content does not have its digest"
    except FileNotFoundError:
        return "is missing"
    # An empty file cannot be mapped.
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or 'it is empty'})"
    return None


def set_aside(path: Path, why: str) -> Path:
    """Move what cannot be used out of the way, say why, and return its new path.

    It is kept, as somebody may want to look at it. Raises NsbenchError if it cannot be moved.
    """
    numbers = (path.with_name(f"{path.name}.set-aside-{number}") for number in range(1, 10_000))
    kept = next(free for free in numbers if not free.exists())
    try:
        os.replace(path, kept)
    except OSError as error:
        raise NsbenchError(
            f"{path} {why}, and cannot be moved ({error.strerror}): remove it and repeat the "
            "command"
        ) from error
    say(f"{path} {why}; it is kept as {kept.name}, and made again")
    return kept


def is_usable(path: Path) -> bool:
    """Whether a file is there and as it was written; what is not is moved aside.

    Raises NsbenchError if it cannot be moved.
    """
    if not path.exists():
        return False
    if problem := flaw(path):
        set_aside(path, problem)
    return problem is None


def write_record(path: Path, value: dict[str, Any], *, named: bool = True) -> None:
    """Write a JSON object with its digest, whole or not at all.

    named: with its own name in it, by which `read_record` tells it from other records; without,
    users may rename it.
    """
    own = {FILE: path.name} if named else {}
    text = json.dumps({**value, **own, KEY: BLANK}, indent=2, ensure_ascii=False) + "\n"
    with written_sealed(path) as file:
        file.write(text.encode())


def read_record(path: Path, way_out: str) -> dict[str, Any]:
    """A JSON object as `write_record` wrote it.

    way_out: what to do if it is damaged, as the end of a sentence. Raises NsbenchError if it is
    missing, was changed, has no digest, or is a copy of another record.
    """
    if problem := flaw(path):
        raise NsbenchError(f"{path} {problem}: {way_out}")
    record = read_object(path)
    record.pop(KEY, None)
    if (name := record.pop(FILE, None)) != path.name:
        raise NsbenchError(f"{path} is a copy of {name or 'some other file'}: {way_out}")
    return record


def update_record(path: Path, value: dict[str, Any]) -> None:
    """As `write_record`, unless the file says the same already: it may lie where none can write."""
    if flaw(path) is not None or read_record(path, "") != json.loads(json.dumps(value)):
        write_record(path, value)


def sealed_line(row: dict[str, Any]) -> str:
    """A JSON object as a line of a file that grows, with a digest of its own."""
    # 16 of 64 digits: lines are short, and none of them decides more than a point of a curve.
    return json.dumps({**row, KEY: fingerprint(row)[:16]}) + "\n"


def sealed_lines(path: Path, of: Mapping[str, Any]) -> tuple[list[dict[str, Any]], int]:
    """The objects of a file of sealed lines, and how many lines are of no use.

    Those are damaged, cut short, or of something else than `of`, which their objects contain.
    """
    rows, damaged = [], 0
    for line in read_plain(path).splitlines():
        try:
            row = dict(parsed_json(line))
            whole = row.pop(KEY) == fingerprint(row)[:16] and of.items() <= row.items()
        except (ValueError, TypeError, KeyError):
            whole = False
        if whole:
            rows.append(row)
        else:
            damaged += 1
    return rows, damaged


def seal_text(text: str, comment: str = "#") -> str:
    """A text with a last line, a comment, that holds the digest of what stands above it."""
    return f"{text}{comment} {_MARK.decode()}{sha256(text.encode())}\n"


def is_sealed_text(text: str) -> bool:
    """Whether a text ends in the digest of what stands above its last line."""
    above, _, _ = text.removesuffix("\n").rpartition("\n")
    return seal_text(f"{above}\n") == text
