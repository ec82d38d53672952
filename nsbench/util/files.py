"""Files on disk: written whole, read with errors for people, hashed, and kept until they change."""

import errno
import hashlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from pathlib import Path
from typing import IO, Any, TypeVar, TypeVarTuple

from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.text import a_type

Ts = TypeVarTuple("Ts")
T = TypeVar("T")

TEMPORARY = ".nsbench-"
"""How names of half-written files begin: hidden, and known to the commands that remove them."""


@contextmanager
def written_whole(path: Path, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """A file to fill that appears whole or not at all: a temporary neighbour, then renamed.

    sync: whether to wait until the disk has it; without, a crash of the machine may lose it.

    Raises NsbenchError where the folder cannot be made or the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # in the same folder: a rename is atomic only within one file system
        handle, temporary = tempfile.mkstemp(prefix=f"{TEMPORARY}{path.name}.", dir=path.parent)
        with os.fdopen(handle, "w+b") as file:
            yield file
            file.flush()
            if sync:
                # before the rename, or a crash could leave a whole name with half a content
                os.fsync(file.fileno())
        # mkstemp makes files that only their owner can read
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise NsbenchError(
            f"cannot write {path}: {error.strerror or error}; what was finished before is kept, so "
            f"{place_to_write(error)} and repeat the command"
        ) from error
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def place_to_write(error: OSError) -> str:
    """What helps where nothing could be written, as a clause: room only where it is short."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room or choose another place"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "allow writing there or choose another place"
    return "choose another place"


def is_there(path: Path) -> bool:
    """Whether a path leads anywhere; not if it cannot be one, as it is too long."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def leads_nowhere(path: Path) -> str | None:
    """What a link that leads nowhere is, as a clause; None for any other path."""
    # islink: a name that cannot be one, as it is too long, is no link either.
    if os.path.islink(path) and not is_there(path):
        return f"a link that leads nowhere ({os.readlink(path)})"
    return None


def why_unread(error: OSError, path: Path) -> str:
    """Why a path could not be read, as a clause: for a link to nothing, where it leads."""
    broken = leads_nowhere(path)
    return f"it is {broken}" if broken else error.strerror or str(error)


def no_file(path: Path, near: str = "") -> str:
    """That nothing can be read at a path, as a sentence. near: a clause that offers what is."""
    broken = leads_nowhere(path)
    return f"cannot read {path}: " + (
        f"it is {broken}: restore what it leads to, or name another"
        if broken
        else f"No such file or directory{near}"
    )


def is_temporary(name: str) -> bool:
    """Whether a file of this name is what a killed process left of `written_whole`."""
    return re.fullmatch(re.escape(TEMPORARY) + r".+\.[a-z0-9_]{8}", name) is not None


SPECIAL = "it is a pipe or a device, whose content must be saved to a file first"
"""What is wrong with a path that nobody could finish reading."""


def is_special(path: Path) -> bool:
    """Whether a path leads to a pipe or a device, of which reading may never end."""
    try:
        mode = os.stat(path).st_mode  # one look, as every image that is read asks for it
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def refuse_unreadable(path: Path) -> None:
    """Raise NsbenchError for a path that leads to a pipe, a device or, as a link, nowhere."""
    if leads_nowhere(path):
        raise NsbenchError(no_file(path))
    if is_special(path):
        raise NsbenchError(f"cannot read {path}: {SPECIAL}")


def plain(path: T) -> T:
    """The path, if what it leads to is no pipe and no device. Raises OSError if it is one.

    What is no path on the disk, but a file inside an archive, is plain always.
    """
    if isinstance(path, Path) and is_special(path):
        raise OSError(errno.EINVAL, SPECIAL, str(path))
    return path


def read_plain(path: Path) -> bytes:
    """The content of a file. Raises OSError where there is none, or a pipe or device."""
    return plain(path).read_bytes()


def read_utf8(path: Path) -> str:
    """A text file, without the byte order mark that some editors begin with.

    Raises OSError as `read_plain`, and UnicodeDecodeError for another encoding.
    """
    return read_plain(path).decode("utf-8-sig")


def read_text(path: Path, way_out: str, what: str = "") -> str:
    """A text file, as `read_utf8`. Raises NsbenchError where it cannot be read or is not UTF-8.

    what: in front of the path in the sentence, such as `the labels `. way_out: at its end.
    """
    try:
        return read_utf8(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = why_unread(error, path) if isinstance(error, OSError) else "it is not UTF-8"
        raise NsbenchError(f"cannot read {what}{path} ({reason}): {way_out}") from error


def write_bytes(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write a file whole or not at all, as `written_whole` does."""
    with written_whole(path, sync=sync) as file:
        file.write(content)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON. Raises NsbenchError naming the file if it is missing or broken."""
    try:
        return parsed_json(read_plain(path))
    except (OSError, ValueError) as error:
        reason = why_unread(error, path) if isinstance(error, OSError) else first_line(error)
        raise NsbenchError(
            f"cannot read {path} ({reason}): repair it, or remove it and repeat the command that "
            "made it"
        ) from error


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises NsbenchError as `read_json`, and for JSON of another shape."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise NsbenchError(
            f"{path} holds {a_type(content)}, not a JSON object: repair it, or remove it and "
            "repeat the command that made it"
        )
    return content


def parsed_json(content: bytes) -> Any:
    """JSON in UTF-8, with or without a byte order mark. Raises ValueError for anything else."""
    try:
        return json.loads(content.decode("utf-8-sig"))
    # Of brackets within brackets, as no file of ours has.
    except RecursionError as error:
        raise ValueError("its brackets are too deep") from error


def sha256(content: bytes) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content, read in pieces."""
    with plain(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint(value: Any) -> str:
    """Hash of a JSON-like value, independent of the order of keys."""
    # sorted, so that a hash does not depend on the order in which a dict was filled
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())


def cached_while_unchanged(
    maxsize: int,
) -> Callable[[Callable[[Path, *Ts], T]], Callable[[Path, *Ts], T]]:
    """Keep what a function makes of a file, its first argument, until the file changes.

    A change is another time, size or inode. What is kept belongs to the function and not to an
    object, so that objects which are sent to worker processes carry none of it. As with
    `lru_cache`, `cache_clear()` forgets it. Calls raise OSError if the file is missing.
    maxsize: how many results are kept, those last asked for.
    """

    def decorate(function: Callable[[Path, *Ts], T]) -> Callable[[Path, *Ts], T]:
        @lru_cache(maxsize=maxsize)
        def kept(path: Path, _state: tuple[int, ...], more: tuple[Any, ...]) -> Any:
            return function(path, *more)

        @wraps(function)
        def current(path: Path, *more: *Ts) -> T:
            found = os.stat(path)
            # The time of change too, which no tool sets back, as some do with that of the content.
            state = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
            value: T = kept(path, state, more)
            return value

        current.cache_clear = kept.cache_clear  # type: ignore[attr-defined]
        return current

    return decorate
