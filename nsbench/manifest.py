"""The manifest of a made data set: what decides its pixels, written before its first file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nsbench.errors import NsbenchError
from nsbench.layouts import MANIFEST
from nsbench.run import is_temporary, read_json, write_json


def settle(target: Path, settings: dict[str, Any], cells: Iterable[str]) -> None:
    """Write the manifest of a new target, or add cells to that of a target made alike.

    Args:
        target: the folder to be filled; it may be missing or empty.
        settings: JSON-like, the same for everything in the target; `source` is only recorded, since
            a folder may move.
        cells: folders or files this command makes, added to those of earlier commands.

    Raises:
        NsbenchError: if the target is a file, holds something else, or was made with other
            settings. Nothing is written then.

    """
    path = target / MANIFEST
    if target.exists() and not target.is_dir():
        raise NsbenchError(f"{target} is a file: name a folder to write to")
    found = _read(path) if path.is_file() else None
    if found is None:
        _refuse_foreign(target)
        found = settings | {"cells": []}
    _refuse_other(target, found, settings)
    wanted = found | {"cells": sorted({*found["cells"], *cells})}
    if not path.is_file() or wanted != found:
        write_json(path, wanted)


def _read(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("cells"), list):
        raise NsbenchError(f"{path} is no manifest of nsbench make: choose another folder")
    return found


def _refuse_foreign(target: Path) -> None:
    entries = sorted(target.iterdir()) if target.is_dir() else []
    foreign = [entry.name for entry in entries if not is_temporary(entry.name)]
    if foreign:
        raise NsbenchError(
            f"{target} holds files ({foreign[0]}) but no {MANIFEST} of nsbench make: choose an "
            "empty or new folder"
        )


def _refuse_other(target: Path, found: dict[str, Any], settings: dict[str, Any]) -> None:
    way_out = "choose another folder, or repeat the settings in its " + MANIFEST
    for key, value in settings.items():
        if key == "source" or found.get(key) == value:
            continue
        if key in ("source_version", "images"):
            raise NsbenchError(
                f"{target} was made of other images ({found.get('source')}) than those of "
                f"{settings['source']}, or these have changed since: {way_out}"
            )
        raise NsbenchError(f"{target} was made with {key} {found.get(key)}, not {value}: {way_out}")
