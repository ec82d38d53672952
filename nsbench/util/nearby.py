"""Which file or folder a wrong path was meant to be, of those that lie where it leads."""

from collections.abc import Callable
from pathlib import Path

from nsbench.util.likeness import most_alike


def beside(path: Path, fits: Callable[[Path], bool] = Path.exists) -> list[str]:
    """What lies where a path leads and fits, as it would be written in its place.

    Hidden files are left out, and so is the path itself.
    """
    parent = path.expanduser().parent
    try:
        found = sorted(parent.iterdir()) if parent.is_dir() else []
    except OSError:  # a folder that may not be read
        return []
    # As the user wrote it: ~ and relative folders stay what they are.
    written = (path.parent / one.name for one in found if one.name[0] != "." and fits(one))
    return [str(one) for one in written if one != path]


def nearest_path(path: Path, fits: Callable[[Path], bool] = Path.exists) -> str:
    """A clause that offers the path that was meant; empty where none is near."""
    names = {Path(one).name: one for one in beside(path, fits)}
    alike = {
        Path(name).stem: one for name, one in names.items() if Path(name).suffix == path.suffix
    }
    # Without the ending that all share: own.json is as unlike alexne.json as own is unlike alexne.
    if path.suffix and alike:
        names = alike
    meant = most_alike(path.stem if names is alike else path.name, names)
    return f"; did you mean '{names[meant]}'?" if meant else ""
