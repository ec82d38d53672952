"""Released archives from the network: downloads that resume and are checked."""

import errno
import gzip
import hashlib
import os
import re
import shutil
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from nsbench.data.catalog import Archive, data_set, how_to_get, roots
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.files import place_to_write, written_whole
from nsbench.util.progress import Advance, say, stage

CHUNK = 2**20
"""Bytes read and written at once: of a download, what an interruption can lose."""

TIMEOUT = 60.0
"""Seconds without any byte after which a server is given up; the whole download may take days."""

MEGA = 1_000_000
"""Bytes of a megabyte, as disks and browsers count."""


def fetch_data_set(name: str) -> list[Path]:
    """Download the archives of a data set into the first data root; returns their files.

    What is there already is kept, and an interrupted download goes on. A `.tar.gz` becomes a plain
    `.tar`, so that its images can be read one by one.

    Raises NsbenchError if there is no data root, nothing to download, or the download fails.
    """
    entry = data_set(name)
    if not entry.archives:
        raise NsbenchError(f"{name} cannot be fetched; to get it: {how_to_get(name)}")
    if not roots():
        raise NsbenchError(
            "name the folder to download to by --data or in the environment variable NSBENCH_DATA"
        )
    folder = roots()[0] / entry.folder
    files = [_ready(archive, folder) for archive in entry.archives]
    if entry.get:
        say(f"now {entry.get}: {folder}")
    return files


def _ready(archive: Archive, folder: Path) -> Path:
    packed = folder / archive.name
    plain = packed.with_suffix("") if packed.name.endswith(".tar.gz") else packed
    # The name alone: an MD5 of 20 GB at every command would take longer than the command.
    if plain.is_file():
        say(f"{plain} is there already")
        return plain
    fetch(archive, packed)
    if plain != packed:
        _unpack(packed, plain)
    return plain


def _unpack(packed: Path, plain: Path) -> None:
    say(f"unpacking {packed} to {plain.name}")
    try:
        with gzip.open(packed) as source, written_whole(plain) as target:
            shutil.copyfileobj(source, target, CHUNK)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        packed.unlink()  # else the next command would find it, and fail again
        raise NsbenchError(
            f"{packed} is not a whole gzip file and was removed: repeat the command"
        ) from error
    packed.unlink()


def fetch(archive: Archive, target: Path) -> None:
    """Download a file, first to `TARGET.part`, from where a repeated call goes on.

    Raises NsbenchError, in one sentence, if the server cannot be reached or has no such file, the
    download ends too early, the disk has too little room, or the MD5 is not the published one; then
    the part is removed.
    """
    if target.is_file():
        say(f"{target} is there already")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # Under its own name only once it is whole and checked.
    part = target.with_name(f"{target.name}.part")
    _download(archive.url, part)
    _check(archive, part)
    os.replace(part, target)


def _download(url: str, part: Path) -> None:
    start = part.stat().st_size if part.is_file() else 0
    with _explained(url, part):
        response = _request(url, start)
        if response is None:
            return
        with response:
            start, total = _extent(response, start)
            _check_room(part, total - start)
            _receive(response, part, start, total)
        # A connection that breaks off looks to `read` like the end of the file.
        size = part.stat().st_size
        if size < total:
            raise EOFError(f"the connection ended after {size:,} of {total:,} bytes")


def _request(url: str, start: int) -> HTTPResponse | None:
    """The server's response from a byte on, or None if the file ends there."""
    # A name of our own, since some servers refuse urllib's.
    headers = {"User-Agent": "nsbench"} | ({"Range": f"bytes={start}-"} if start else {})
    request = urllib.request.Request(url, headers=headers)
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if not start or error.code != 416:  # 416: the range lies outside the file
            raise
        # Either the part is the whole file, or it is longer and of another: then from the start.
        whole = error.headers.get("Content-Range") == f"bytes */{start}"
        return None if whole else _request(url, 0)
    return response


def _extent(response: HTTPResponse, start: int) -> tuple[int, int]:
    """Where the server's response starts in the file, and how long the file is, 0 if unknown."""
    told = response.headers.get("Content-Length") or ""
    # What is no length is none told; the digest of the file decides whether all of it has come.
    length = int(told) if re.fullmatch("[0-9]{1,18}", told) else 0
    if response.status != 206:  # 206: partial content; servers may ignore a range and send all
        if start:
            say("the server sends the file from its start only: the download begins again")
        return 0, length
    if not (response.headers.get("Content-Range") or "").startswith(f"bytes {start}-"):
        raise EOFError("the server sent a different part than it was asked for")
    return start, start + length


def _check_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise NsbenchError(
            f"{part.parent} has {free / MEGA:,.0f} MB free, but the download needs "
            f"{needed / MEGA:,.0f} MB: make room, or choose another place by --data"
        )


def _receive(response: HTTPResponse, part: Path, start: int, total: int) -> None:
    name, done = part.name.removesuffix(".part"), start
    # r+b and a seek, and not ab: what lies beyond the start is overwritten.
    with part.open("r+b" if start else "wb") as file, _megabytes(name, start, total) as advance:
        file.seek(start)
        while chunk := response.read(CHUNK):
            file.write(chunk)
            # Whole megabytes that were passed, so that roundings do not add up.
            advance((done + len(chunk)) // MEGA - done // MEGA)
            done += len(chunk)
        file.flush()
        os.fsync(file.fileno())  # the part is renamed next: after a crash it must not be empty


@contextmanager
def _megabytes(name: str, start: int, total: int) -> Iterator[Advance]:
    if start:
        say(f"{name}: going on after {start / MEGA:,.0f} MB")
    with stage(name, max(total - start, 0) // MEGA, "MB") as advance:
        yield advance


@contextmanager
def _explained(url: str, part: Path) -> Iterator[None]:
    """Errors of the network and the disk as sentences."""
    try:
        yield
    except urllib.error.HTTPError as error:
        raise NsbenchError(
            f"{url} responds with {error.code} {error.reason}: look for the file where the data "
            f"set is published, and put it as {_final(part)}"
        ) from error
    # urllib's own errors are OSErrors; HTTPException is of broken responses, EOFError of this
    # module.
    except (OSError, HTTPException, EOFError) as error:
        if isinstance(error, OSError) and error.errno in _OF_DISKS:
            raise NsbenchError(
                f"cannot write {part}: {error.strerror}; {place_to_write(error)}, as with --data "
                "FOLDER, and repeat the command"
            ) from error
        reason = getattr(error, "reason", None) or first_line(error)
        raise NsbenchError(
            f"the download of {url} stopped ({reason}): repeat the command, which goes on from "
            f"there, or get the file otherwise and put it as {_final(part)}"
        ) from error


_OF_DISKS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
"""Numbers of errors that no network has: repeating the command would not help."""


def _final(part: Path) -> Path:
    return part.with_name(part.name.removesuffix(".part"))


def _check(archive: Archive, part: Path) -> None:
    if archive.md5 is None:
        say(f"no MD5 is published for {archive.name}: it is not checked")
        return
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "md5").hexdigest()
    if digest != archive.md5:
        part.unlink()
        raise NsbenchError(
            f"{archive.url} gave a file of MD5 {digest}, not {archive.md5}, which was removed: "
            "repeat the command; if it comes again, the released file has changed"
        )
