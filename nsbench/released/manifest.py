"""The manifest of a made data set: what decides its pixels, written before its first file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nsbench.released.reader import MANIFEST
from nsbench.util.errors import NsbenchError
from nsbench.util.files import is_temporary, read_json
from nsbench.util.locks import LOCK
from nsbench.util.progress import say
from nsbench.util.sealed import FILE, KEY, UNSEALED, flaw, update_record

RECORDED = ("source", "source_version")
"""Keys that may change: a folder may move, and an image that could not be read be replaced."""


def write_or_extend(
    target: Path, settings: dict[str, Any], cells: Iterable[str], *, same_images: bool = True
) -> None:
    """Write the manifest of a new target, or add cells to that of a target made alike.

    Args:
        target: the folder to be filled; it may be missing or empty.
        settings: JSON-like, the same for everything in the target but for the keys `RECORDED`.
        cells: folders or files this command makes, added to those of earlier commands.
        same_images: whether the list of images must be the same too.

    Raises:
        NsbenchError: if the target is a file, holds something else, or was made with other
            settings. Nothing is written then.

    """
    manifest = check(target, settings, same_images=same_images)
    if any(manifest.get(key) != settings[key] for key in ("source_version", "images")):
        say(
            f"the images of {settings['source']} have changed since {target} was begun: what is "
            "made already is kept"
        )
    wanted = manifest | settings | {"cells": sorted({*manifest["cells"], *cells})}
    path = target / MANIFEST
    update_record(path, wanted)


def check(target: Path, settings: dict[str, Any], *, same_images: bool = True) -> dict[str, Any]:
    """The manifest that a target has, or would get.

    Raises NsbenchError as `write_or_extend` does.
    """
    path = target / MANIFEST
    if not path.is_file():
        _refuse_foreign(target)
        return settings | {"cells": []}
    manifest = _read(path)
    _refuse_other(target, manifest, settings, same_images)
    return manifest


def _read(path: Path) -> dict[str, Any]:
    problem = flaw(path)
    # Earlier versions sealed none: theirs is written again, sealed, once the settings are compared.
    if problem not in (None, UNSEALED):
        raise NsbenchError(f"{path} {problem}: restore it, or choose another folder")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("cells"), list):
        raise NsbenchError(f"{path} is not a manifest of nsbench make: choose another folder")
    for key in (KEY, FILE):
        manifest.pop(key, None)
    return manifest


def _refuse_foreign(target: Path) -> None:
    entries = sorted(target.iterdir()) if target.is_dir() else []
    other_files = [e.name for e in entries if e.name != LOCK and not is_temporary(e.name)]
    if other_files:
        raise NsbenchError(
            f"{target} holds files ({other_files[0]}) but no {MANIFEST} of nsbench make: choose an "
            "empty or new folder"
        )


def _refuse_other(
    target: Path, manifest: dict[str, Any], settings: dict[str, Any], same_images: bool
) -> None:
    way_out = "choose another folder, or repeat the settings in its " + MANIFEST
    # Files made by different settings in one folder could not be told apart later.
    for key, value in settings.items():
        if key in RECORDED or manifest.get(key) == value:
            continue
        if key == "images":
            if not same_images:
                continue
            raise other_images(target, manifest.get("source"), settings["source"])
        raise NsbenchError(
            f"{target} was made with {key} {manifest.get(key)}, not {value}: {way_out}"
        )


def other_images(target: Path, made_of: object, source: str) -> NsbenchError:
    """The error of a target that holds other images."""
    return NsbenchError(
        f"{target} was made of other images ({made_of}) than those of {source}: choose another "
        "folder, or the images it was made of"
    )
