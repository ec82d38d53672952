"""The published results of `results.csv`, each with its protocol, source and licence."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import Field

from nsbench.published.metrics import Meaning, meaning_of
from nsbench.util.config import Config, nearest, parse, read_toml
from nsbench.util.errors import NsbenchError


class Source(Config):
    """An entry of `sources.toml`, whose head explains the keys."""

    begins: str
    short: str
    licence: str
    cite: str
    same: list[str] = Field(default=[])
    protocol: str
    why: str


@dataclass(frozen=True)
class Row:
    """A published value, in percent.

    suite: nsbench's name where it has the suite. protocol: empty where it is that of nsbench's
    shipped suite; then a result of ours is the same if weights and input are the same too. metric:
    what the source prints, and means: the same in nsbench's terms. resolution, crop_pct and
    interpolation are those of the model's input, None where the source does not say them.
    """

    model: str
    suite: str
    protocol: str
    metric: str
    means: Meaning
    value: float
    resolution: int | None
    crop_pct: float | None
    interpolation: str | None
    source: str
    origin: Source = field(compare=False, repr=False)
    unit: str = "%"

    @property
    def comparable(self) -> float:
        """The value as nsbench's metric has it: an error where the source prints an accuracy."""
        return 100 - self.value if self.means.is_complement else self.value


@cache
def rows() -> tuple[Row, ...]:
    """All published results, in the order of the file, which is read once."""
    with (_folder() / "results.csv").open(encoding="utf-8", newline="") as file:
        lines = (line for line in file if not line.startswith("#"))
        return tuple(map(_row, csv.DictReader(lines)))


@cache
def sources() -> tuple[Source, ...]:
    """Where they come from."""
    path = _folder() / "sources.toml"
    return tuple(parse(Source, entry, str(path)) for entry in read_toml(path)["sources"])


@cache
def models() -> tuple[str, ...]:
    """The names of all models, sorted."""
    return tuple(sorted({row.model for row in rows()}, key=str.lower))


def models_called(name: str) -> list[str]:
    """The models that a name stands for: the one of that name, else all that begin with it.

    `timm:NAME`, `timm/NAME` and `hf-hub:timm/NAME` are `NAME`, in whatever case. Raises
    NsbenchError with the nearest name where no model begins so.
    """
    plain = name.removeprefix("hf-hub:").removeprefix("timm:").removeprefix("timm/").lower()
    equal = [model for model in models() if model.lower() == plain]
    begun = [model for model in models() if model.lower().startswith(plain)]
    if plain and (equal or begun):
        return equal or begun
    raise NsbenchError(f"there is no published result of a model '{name}'{nearest(name, models())}")


def suites_of(some: Iterable[Row]) -> tuple[str, ...]:
    """The suites of some rows, each once, in their order."""
    return tuple(dict.fromkeys(row.suite for row in some))


def rows_on(name: str) -> list[Row]:
    """The results on a suite, by all protocols. Raises NsbenchError with the nearest name."""
    known = suites_of(rows())
    if name not in known:
        raise NsbenchError(
            f"there is no published result on a suite '{name}'{nearest(name, known)}"
        )
    return [row for row in rows() if row.suite == name]


def best_on(suite: str, key: str, higher_is_better: bool) -> list[Row]:
    """The results on a suite by nsbench's own protocol, the best first, each once.

    key: of nsbench's metric, in whose terms they are ordered.
    """
    # A source may print a value twice. Without a protocol it is that of the shipped suite.
    own = [row for row in dict.fromkeys(rows()) if row.suite == suite and not row.protocol]
    own = [row for row in own if row.means.key == key and not row.means.part]
    return sorted(own, key=lambda row: -row.comparable if higher_is_better else row.comparable)


def _folder() -> Path:
    return Path(str(resources.files("nsbench.published")))


def _row(fields: dict[str, str]) -> Row:
    suite, _, inside = fields["suite"].removesuffix("]").partition("[")
    origin = _source(fields["source"])
    return Row(
        model=fields["model"],
        suite=suite,
        protocol=_protocol(suite, inside, origin),
        metric=fields["metric"],
        means=meaning_of(suite, fields["metric"]),
        value=float(fields["value"]),
        resolution=int(fields["resolution"]) if fields["resolution"] else None,
        crop_pct=float(fields["crop_pct"]) if fields["crop_pct"] else None,
        interpolation=fields["interpolation"] or None,
        source=fields["source"],
        origin=origin,
    )


def _protocol(suite: str, inside: str, origin: Source) -> str:
    """inside: what the suite's name has in brackets, which is always another protocol."""
    if not inside:
        return "" if suite in origin.same else origin.protocol
    return inside if origin.protocol in inside else f"{inside}, {origin.protocol}"


@cache
def _source(text: str) -> Source:
    return next(source for source in sources() if text.startswith(source.begins))
