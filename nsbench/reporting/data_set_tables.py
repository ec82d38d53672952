"""The table of `nsbench data`: what was found, what is missing, and how to get it."""

from functools import cache
from typing import Any

from nsbench.data.catalog import PREFIX, data_set, data_sets, find, how_to_get
from nsbench.reporting.tables import Table
from nsbench.suites.load import shipped
from nsbench.util.config import read_toml


def data_table() -> Table:
    """A row for each known data set."""
    data = [_entry(name) for name in data_sets()]
    columns = ["data set", "where", "images", "suites", "how to get it"]
    rows = [
        [
            entry["name"],
            entry["path"] or "missing",
            f"{entry['images']:,}",
            " ".join(entry["suites"]),
            _short(entry),
        ]
        for entry in data
    ]
    return Table("data sets (fetch: nsbench data fetch NAME)", columns, rows, data)


def _short(entry: dict[str, Any]) -> str:
    if entry["path"]:
        return ""
    made = ", or nsbench make" if data_set(entry["name"]).make else ""
    return f"fetch{made}" if entry["archives"] else entry["how_to_get"]


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
