"""Known data sets: what to look for in the data roots, and how to get what is not there."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from pydantic import Field

from nsbench.data.readers.webdataset import is_pattern, shard_files
from nsbench.data.spec import SourceSpec
from nsbench.util.config import Config, nearest, parse, read_toml
from nsbench.util.errors import NsbenchError

VARIABLE = "NSBENCH_DATA"
"""The environment variable of the data roots, separated as in PATH."""

PREFIX = "data:"
"""What a source of the catalog begins with, which no path does."""


class Archive(Config):
    """A released file: where it is, its MD5 and its rounded size where they are published."""

    url: str
    md5: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")
    gigabytes: float | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(urlsplit(self.url).path).name  # without a query such as Zenodo's


class Location(SourceSpec):
    """A source below a data root, which is there if one of the patterns in `holds` matches."""

    holds: list[str] = Field(default=[])


class DataSet(Config):
    """An entry of `catalog.toml`, whose head explains the keys."""

    title: str
    images: int
    classes: int
    source: str
    locations: list[Location] = Field(default=[])
    base: str | None = None
    labels: str | None = None
    changed_from: str | None = None
    make: str | None = None
    folder: str = "."
    archives: list[Archive] = Field(default=[])
    get: str = ""

    @property
    def gigabytes(self) -> float | None:
        """Size of all archives, None where one is not published or there is none."""
        sizes = [archive.gigabytes for archive in self.archives]
        return sum(size for size in sizes if size) if sizes and all(sizes) else None


# What --data named, for the whole process: sources are resolved deep in readers and suites.
_roots: list[Path] | None = None


def set_roots(paths: Sequence[Path | str] | None) -> None:
    """Look for data sets in these folders; None goes back to those of NSBENCH_DATA."""
    global _roots
    _roots = None if paths is None else [Path(path).expanduser() for path in paths]


@contextmanager
def looking_in(paths: Path | str | Sequence[Path | str] | None) -> Iterator[None]:
    """A context in which data sets are looked for in these folders; None changes nothing."""
    global _roots
    before = _roots  # None where they are those of NSBENCH_DATA, which may change
    if paths is not None:
        set_roots([paths] if isinstance(paths, Path | str) else paths)
    try:
        yield
    finally:
        _roots = before


def roots() -> list[Path]:
    """The folders that data sets are looked for in, in order."""
    if _roots is not None:
        return list(_roots)
    # Read at each call, since a program may set it after the import; "" splits into one empty name.
    named = os.environ.get(VARIABLE, "").split(os.pathsep)
    return [Path(path).expanduser() for path in named if path]


@cache
def data_sets() -> dict[str, DataSet]:
    """The catalog, by name."""
    path = Path(str(resources.files("nsbench.data") / "catalog.toml"))
    table = read_toml(path)
    return {name: parse(DataSet, table[name], f"{path}, {name}") for name in table}


def data_set(name: str) -> DataSet:
    """An entry of the catalog. Raises NsbenchError with the nearest name."""
    if name not in data_sets():
        raise NsbenchError(f"there is no data set {name}{nearest(name, data_sets())}")
    return data_sets()[name]


def find(name: str) -> Path | None:
    """Where a data set lies: its first location in the first data root that has one."""
    spec = _locate(name)
    return Path(spec.source) if spec else None


def require(name: str) -> Path:
    """Where a data set lies. Raises NsbenchError saying what was tried, and how to get it."""
    return Path(_require(name).source)


def is_missing(named: str) -> bool:
    """Whether a source or a suite's `files` is a data set that is not found, and no path."""
    return named.startswith(PREFIX) and find(named.removeprefix(PREFIX)) is None


def resolve(spec: SourceSpec) -> SourceSpec:
    """A source `data:NAME` as the source that was found; what `spec` itself says goes first.

    Raises NsbenchError if it is not found, or holds changed images and is not a source.
    """
    if not spec.source.startswith(PREFIX):
        return spec
    name = spec.source.removeprefix(PREFIX)
    entry = data_set(name)
    if entry.changed_from:
        raise NsbenchError(
            f"{name} holds changed images of {entry.changed_from}: a suite names "
            f'{PREFIX}{entry.changed_from} as its source and "{spec.source}" as its files'
        )
    # Only keys that the user wrote, and not defaults, replace those of the location.
    own = {key: getattr(spec, key) for key in spec.model_fields_set - {"source"}}
    return _require(name).model_copy(update=own)


def files_root(files: str) -> Path:
    """The folder or tar of a suite's `files`, which is a path or `data:NAME`.

    Raises NsbenchError if a data set is not found.
    """
    if files.startswith(PREFIX):
        return require(files.removeprefix(PREFIX))
    return Path(files).expanduser()


def how_to_get(name: str) -> str:
    """How to get a data set, and what can be done instead, as a clause."""
    entry = data_set(name)
    # A clause, as it ends sentences of errors and lines of tables.
    ways = " and then ".join(filter(None, [fetch_command(name), entry.get]))
    make = make_command(name)
    return f"{ways}; or {make} makes such files" if make else ways


def fetch_command(name: str) -> str | None:
    """The command that downloads a data set, None where there is none."""
    return f"nsbench data fetch {name}" if data_set(name).archives else None


def make_command(name: str) -> str | None:
    """The command that makes files such as a data set's, None where there is none."""
    make = data_set(name).make
    where = str(roots()[0]) if roots() else "ROOT"
    return f"nsbench make {make.replace('{root}', where)}" if make else None


def _require(name: str) -> SourceSpec:
    spec = _locate(name)
    if spec:
        return spec
    if not roots():
        raise NsbenchError(
            f"the data set {name} cannot be looked for: name the folders of your data by --data or "
            f"in the environment variable {VARIABLE}"
        )
    raise NsbenchError(
        f"the data set {name} is not in {_searched()} (tried {_tried(name)}); to get it: "
        f"{how_to_get(name)}"
    )


def _searched() -> str:
    missing = " (no such folder)"
    return ", ".join(f"{root}{'' if root.is_dir() else missing}" for root in roots())


def _tried(name: str) -> str:
    return ", ".join(dict.fromkeys(location.source for location in _locations(name)))


def _locations(name: str) -> list[Location]:
    entry = data_set(name)
    return _locations(entry.base) if entry.base else entry.locations


def _locate(name: str) -> SourceSpec | None:
    labels = data_set(name).labels
    # All locations of a root before the next root: the order of roots is the user's.
    for root in roots():
        for location in _locations(name):
            if _is_there(root, location):
                spec = location.model_dump(exclude={"holds"})
                spec["source"] = str(root / location.source)
                if location.labels:
                    spec["labels"] = str(root / location.labels)
                if labels:  # of the entry, such as ReaL's: they replace those of the location
                    spec |= {"labels": labels, "label_space": "names"}
                return SourceSpec.model_validate(spec)
    return None


def _is_there(root: Path, location: Location) -> bool:
    if location.labels and not (root / location.labels).is_file():
        return False
    path = root / location.source
    if is_pattern(str(path)):
        # The folder first: without it every shard would be asked for.
        return path.parent.is_dir() and _has_shards(str(path))
    if location.holds:
        return path.is_dir() and any(any(path.glob(pattern)) for pattern in location.holds)
    return path.is_dir() or path.is_file()


def _has_shards(pattern: str) -> bool:
    try:
        return bool(shard_files(pattern))
    except NsbenchError:
        return False
