"""Published values beside one of our results: whether it repeats them, and what else was measured.

Beside a result stand the published rows of the same weights on the same suite. One is of the same
protocol only where all is known to be: the source measures as the shipped suite does, and our
result is of that suite, of all images, with the row's input, from released files where there are
any. Everything else is another protocol, and says why. Precision and device do not count, as most
sources do not say them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nsbench.data.catalog import PREFIX, data_set
from nsbench.published.rows import Row, models, rows
from nsbench.suites.base import Suite, SuiteScores
from nsbench.suites.load import load_suite, shipped
from nsbench.suites.reference import reference_of
from nsbench.util.progress import counted

TOLERANCE: dict[str, float] = {
    "imagenet-1k": 0.25,
    "imagenet-a": 1.72,
    "imagenet-r": 0.60,
    "imagenet-sketch": 0.53,
    "imagenet-v2-matched-frequency": 0.39,
}
"""Points of top-1 within which 90% of 46 checkpoints repeat that both timm (aa4b5850) and
imagenet-testbed (0170eec) evaluated; those whose clean top-1 differs by more than .35 are left out,
as their weights may differ. For other suites and metrics nothing was measured."""

ROUNDED = 0.0005
"""Half of the last digit of crop_pct in timm's tables."""


@dataclass(frozen=True)
class Beside:
    """A published row beside the same metric of a result of ours.

    ours: in percent, and difference: ours less the published value, both in the terms of nsbench's
    metric, as `row.comparable` is. reasons: why the protocol is another one, empty where it is the
    same. tolerance: in points, None where none was measured.
    """

    row: Row
    ours: float
    reasons: tuple[str, ...]
    tolerance: float | None

    @property
    def difference(self) -> float:
        """Ours less the published value, in points."""
        return self.ours - self.row.comparable

    @property
    def same_protocol(self) -> bool:
        """Whether both were measured alike, so that they should agree."""
        return not self.reasons

    @property
    def repeats(self) -> bool | None:
        """Whether ours is within the tolerance, None where that cannot be told."""
        if self.reasons or self.tolerance is None:
            return None
        # A hair more, for differences that are the tolerance but for the rounding of floats.
        return abs(self.difference) <= self.tolerance + 1e-9

    @property
    def status(self) -> str:
        """`repeats`, `misses by +0.7`, `+0.7, no tolerance is known` or `another protocol: …`."""
        if self.reasons:
            return f"another protocol: {'; '.join(self.reasons)}"
        if self.repeats is None:
            return f"{self.difference:+.1f}, no tolerance is known"
        return "repeats" if self.repeats else f"misses by {self.difference:+.1f}"


def beside(scores: SuiteScores) -> list[Beside]:
    """The published rows of the same weights on the same suite, those of the same protocol first.

    Rows of metrics that the result does not have are left out; without any the list is empty.
    """
    name = published_name(scores.info)
    mine = [row for row in rows() if row.model == name and row.suite == scores.suite.name]
    if not mine:
        return []
    measured, reasons = _measured(scores), tuple(unlike_shipped(scores))
    found = [
        Beside(
            row,
            measured[row.means.key, row.means.part],
            (*_of_source(row), *reasons, *_of_input(row, scores)),
            TOLERANCE.get(row.suite) if row.means.key == "top1" else None,
        )
        for row in dict.fromkeys(mine)  # a source may print a value twice
        if (row.means.key, row.means.part) in measured
    ]
    return sorted(found, key=lambda one: not one.same_protocol)


def published_name(info: Mapping[str, Any]) -> str | None:
    """The name by which the weights of a model are published, None where they are not.

    info: what is known of the model, `SuiteScores.info` and the key `model` of suite.json.
    """
    # Only a model of timm's by its name has timm's weights. A file's are recorded with the entry
    # that they were read from, and those of a training with the generation.
    name = info.get("arch")
    others = "entry" in info or "generation" in info
    return str(name) if name in models() and not others else None


def _measured(scores: SuiteScores) -> dict[tuple[str, str], float]:
    """Our values in percent by key and part, whole metrics with an empty part."""
    whole = {(key, ""): metric.value for key, metric in scores.metrics.items()}
    parts = {
        (key, part): sum(values) / len(values)
        for key, table in scores.tables.items()
        for part, values in table.items()
        if values
    }
    return whole | parts


def _of_source(row: Row) -> Iterator[str]:
    """What is other about the source's protocol."""
    if row.protocol:
        yield row.protocol


def unlike_shipped(scores: SuiteScores) -> Iterator[str]:
    """What is other about our result than the shipped suite on all of its images, as clauses."""
    manifest, name = scores.manifest, scores.suite.name
    if name not in shipped():
        yield "the suite is not one of nsbench's"
        return
    own = load_suite(name)
    if not _is_shipped(scores.suite, own) or manifest["reference"] != reference_of(own):
        yield f"the suite is not nsbench's {name}"
    if manifest.get("chosen"):
        yield f"ours is of a part of the images ({manifest['chosen']})"
    elif (wanted := _images_of(own)) not in (None, manifest["images"]):
        yield f"ours is of {counted(manifest['images'], 'image')}, not of {wanted:,}"
    if lost := len(manifest.get("unreadable") or {}):
        yield f"{counted(lost, 'image')} of ours cannot be read"
    # Results of earlier versions do not say it, and so do not count as on the released files.
    if own.released_files and not manifest.get("released_files"):
        yield "ours is not known to be on the released files"


def _is_shipped(suite: Suite, own: Suite) -> bool:
    """Whether a suite as it was evaluated is the shipped one, wherever its clean images come."""
    same_files = suite.released_files == own.released_files
    return same_files and suite.protocol() == own.protocol()


def _images_of(suite: Suite) -> int | None:
    """How many images the suite is of, None where the catalog does not say it."""
    source = suite.source.source
    known = source.startswith(PREFIX)
    return data_set(source.removeprefix(PREFIX)).images if known else None


def _of_input(row: Row, scores: SuiteScores) -> Iterator[str]:
    """What is other about the input of our model than about the row's."""
    ours = scores.manifest["identity"]["preprocessing"]
    size = row.resolution
    if size != ours["image_size"]:
        yield f"at {size or 'an unknown number of'} px, ours at {ours['image_size']} px"
    if {"mean", "std"} & scores.info.keys():
        yield "ours has another mean or standard deviation"
    if scores.suite.crop is not None:  # then the suite fixes it, for all models
        return
    if row.crop_pct is None or row.interpolation is None:
        yield "an unknown crop"
    elif (
        abs(row.crop_pct - ours["crop_pct"]) > ROUNDED or row.interpolation != ours["interpolation"]
    ):
        yield (
            f"a crop of {row.crop_pct:g}, {row.interpolation}; ours of {ours['crop_pct']:g}, "
            f"{ours['interpolation']}"
        )
