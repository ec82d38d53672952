"""The folder of what is kept between commands, and whose turn it is to fill it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nsbench.util.progress import say

VARIABLE = "NSBENCH_CACHE"
"""The environment variable of the folder that streams and digests are kept in."""

PATIENCE = 5.0
"""Seconds that another process may hold a lock before a line says what is waited for."""


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Wait until no other process is here with the same path; with a lock file beside it.

    Where no lock can be made, as in a folder that is read only, all go on at once.
    what: what the others may be doing, for the line that says what is waited for.
    """
    lock = FileLock(path.with_name(path.name + ".lock"))
    # Not every file system has locks, and the work is right without one, only done twice.
    with suppress(OSError, NotImplementedError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            say(f"waiting for another process that is {what} (it holds {lock.lock_file})")
            lock.acquire()
    try:
        yield
    finally:
        if lock.is_locked:
            # Those who wait hold the file itself; who comes later finds the work done, or does it
            # a second time beside them, which is right too.
            with suppress(OSError):
                os.unlink(lock.lock_file)
        lock.release()


def settle(newest: int) -> None:
    """Wait until a write after this one would get another time; newest: that time in ns.

    File systems stamp files with the kernel's clock, which stands still for up to 10 ms.
    """
    left = newest / 1e9 + 0.02 - time.time()
    # Times in the future, of another machine's clock, are not waited for.
    if 0 < left < 0.02:
        time.sleep(left)


def cache_folder(kind: str) -> Path | None:
    """The folder for a kind of kept files, in NSBENCH_CACHE or else in ~/.cache/nsbench.

    None where the user has no home, as in some containers.
    """
    try:
        return Path(os.environ.get(VARIABLE) or "~/.cache/nsbench").expanduser() / kind
    except RuntimeError:
        return None
