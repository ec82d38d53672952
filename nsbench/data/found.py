"""What a source found, and what it passed over: nothing that looks like data vanishes unsaid."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import PurePath

import numpy as np

from nsbench.data.decode import is_hidden, is_image
from nsbench.data.spec import Source
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import counted

# What operating systems put into folders.
_SYSTEM = {".DS_Store", ".directory", ".localized", ".Trashes", ".nomedia", ".keep", ".gitkeep"}

SHOWN = 3
"""Names or endings that a reason lists; more are counted."""


def found(source: Source) -> str:
    """One line: the source's name, how many images of how many classes, and what it passed over."""
    if source.labels is None:
        kind = "without labels"
    else:
        classes = len(source.classes or np.unique(source.labels))
        kind = f"of {classes:,} class" + ("" if classes == 1 else "es")
    line = f"{source.name}: {counted(len(source), 'image')} {kind}"
    if source.passed_over:
        reasons = (f"{count:,} {reason}" for reason, count in source.passed_over.items())
        line += "; passed over: " + ", ".join(reasons)
    return line.encode(errors="surrogateescape").decode(errors="replace")


def not_images(names: Iterable[str]) -> dict[str, int]:
    """Reasons and counts for files and folders that are passed over for their names.

    names: of all that are passed over; one of an image is that of a pipe or a device. Hidden files
    count where they would be images else; others, such as .DS_Store, are nobody's data.
    """
    names = list(names)
    hidden = [name for name in names if is_hidden(name) and _looks_like_data(name)]
    endings = Counter(
        PurePath(name).suffix.lower() or "without an ending"
        for name in names
        if not is_hidden(name) and not is_image(name)
    )
    special = list(filter(is_image, names))
    reasons = {
        f"neither files nor folders ({shown(special)})": len(special),
        f"hidden ({shown(hidden)})": len(hidden),
        f"not named as images ({shown(endings)})": endings.total(),
    }
    return {reason: count for reason, count in reasons.items() if count}


def _looks_like_data(name: str) -> bool:
    # Folders too, which have no ending; .DS_Store and the like are files.
    return is_image(name.lstrip(".")) or (PurePath(name).suffix == "" and name not in _SYSTEM)


def in_folders(folders: dict[str, int], why: str) -> dict[str, int]:
    """The reason and count for images in folders, by how many each has, that are not read."""
    held = {name: count for name, count in folders.items() if count}
    return {f"in {shown(held)} ({why})": sum(held.values())} if held else {}


def images_below(folder: str, visited: set[tuple[int, int]] | None = None) -> int:
    """How many images lie in a folder at any depth; hidden folders and loops are not entered.

    visited: device and inode of folders that were counted before. Raises NsbenchError.
    """
    stat, visited = os.stat(folder), set() if visited is None else visited
    if (stat.st_dev, stat.st_ino) in visited:  # links may lead up again
        return 0
    visited.add((stat.st_dev, stat.st_ino))
    total = 0
    for entry in entries(folder):
        if is_hidden(entry.name):
            continue
        total += images_below(entry.path, visited) if is_folder(entry) else is_image(entry.name)
    return total


def entries(folder: str) -> list[os.DirEntry[str]]:
    """What lies in a folder, sorted by name. Raises NsbenchError if it cannot be read."""
    try:
        with os.scandir(folder) as listed:
            return sorted(listed, key=lambda entry: entry.name)
    except OSError as error:
        raise NsbenchError(
            f"cannot read the folder {folder} ({error.strerror}): allow it, or take it off the data"
        ) from error


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or leads to one; a link that leads to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def shown(names: Iterable[str], between: str = ", ") -> str:
    """The first few different names, and how many more there are."""
    distinct = list(dict.fromkeys(names))
    more = len(distinct) - SHOWN
    return between.join(distinct[:SHOWN]) + (f" and {more:,} more" if more > 0 else "")
