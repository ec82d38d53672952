"""The table of `nsbench data`: what was found, what is missing, and how to get it."""

from functools import cache
from typing import Any

from nsbench.data.catalog import (
    PREFIX,
    data_set,
    data_sets,
    fetch_command,
    find,
    how_to_get,
    make_command,
)
from nsbench.reporting.tables import Table
from nsbench.suites.load import shipped
from nsbench.util.config import read_toml


def data_table() -> Table:
    """A line for each known data set; `data_set_table` has the rest."""
    data = [_entry(name) for name in data_sets()]
    rows = [[entry["name"], f"{entry['images']:,}", entry["path"] or "missing"] for entry in data]
    notes = ["nsbench data NAME tells more of one, and how to get it."]
    return Table("data sets", ["data set", "images", "where"], rows, data, notes)


def data_set_table(name: str) -> Table:
    """One data set: what it is, where it lies or how to get it, and which suites use it.

    Raises NsbenchError with the nearest name if there is none.
    """
    entry = _entry(name)
    commands = tuple(filter(None, (fetch_command(name), make_command(name))))
    by_hand, below = data_set(name).get, "by a command below" if commands else ""
    rows = [
        ["what it is", entry["title"]],
        ["images", f"{entry['images']:,} of {entry['classes']:,} classes"],
        ["where", entry["path"] or "missing"],
        ["suites", " ".join(entry["suites"]) or "none"],
        ["how to get it", ", or ".join(filter(None, (by_hand, below)))],
        ["source", entry["source"]],
    ]
    return Table(name, ["", ""], rows, entry, prose=True, commands=commands)


def _entry(name: str) -> dict[str, Any]:
    entry, path = data_set(name), find(name)
    return {
        "name": name,
        "title": entry.title,
        "path": str(path) if path else None,
        "images": entry.images,
        "classes": entry.classes,
        "suites": [suite for suite, uses in _uses().items() if PREFIX + name in uses],
        "how_to_get": how_to_get(name),
        "archives": [archive.url for archive in entry.archives],
        "gigabytes": entry.gigabytes,
        "source": entry.source,
    }


@cache
def _uses() -> dict[str, set[str]]:
    """What each shipped suite names as its source and its files."""
    return {name: _texts(read_toml(path)) for name, path in shipped().items()}


def _texts(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {text for part in value.values() for text in _texts(part)}
    if isinstance(value, list):
        return {text for part in value for text in _texts(part)}
    return {value} if isinstance(value, str) else set()
