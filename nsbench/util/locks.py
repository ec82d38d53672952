"""Locks on folders: of two commands that would write to one, the second is told so at once."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from nsbench.util.errors import NsbenchError
from nsbench.util.progress import say

LOCK = ".nsbench.lock"
"""The file that is locked: hidden, and empty."""


@contextmanager
def only_writer(folder: Path, *, tidy: bool = False) -> Iterator[None]:
    """Keep other processes of nsbench from writing to a folder, which is made if it is missing.

    The system lifts the lock when a process dies. Where the file system cannot lock, a warning is
    given. A folder that was made here and stays empty is removed again. The file is left where it
    is, since a lock belongs to the file and not to its name: where one goes, two processes that
    come in that moment may both think that they have it. tidy: remove it all the same, which is
    for folders where both would write the same.
    Raises NsbenchError if another process is at work there, or if the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise NsbenchError(f"{folder} is a file: name a folder to write to")
    new = not folder.exists()
    lock = FileLock(folder / LOCK, timeout=0)
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(lock)
        except Timeout as error:
            raise NsbenchError(
                f"another nsbench is writing to {folder}: wait until it is done, stop it, or "
                "choose another folder"
            ) from error
        # Some network file systems have no locks, and a folder may be for reading alone.
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            say(f"warning: {folder} cannot be locked ({reason}): let no other command write to it")
        try:
            yield
        finally:
            empty = new and [entry.name for entry in folder.iterdir()] == [LOCK]
            # While the lock is held. Another process may have come in between: then it stays.
            with suppress(OSError):
                if tidy or empty:
                    (folder / LOCK).unlink()
                if empty:
                    folder.rmdir()


@contextmanager
def only_writer_of(folders: list[Path]) -> Iterator[None]:
    """As `only_writer`, of several folders at once."""
    with ExitStack() as held:
        # In one order everywhere: of two commands that share folders, one gets its first.
        for folder in sorted({folder.resolve() for folder in folders}):
            held.enter_context(only_writer(folder))
        yield
