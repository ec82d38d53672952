"""Two models side by side over seeds: where the second is better, whatever the seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nsbench.metrics.change import Metric
from nsbench.metrics.seeds import OVER, OverSeeds, SeedChange, change_over_seeds, over_seeds
from nsbench.metrics.verdict import SEEDS_RULE, verdict_over_seeds
from nsbench.reporting.compare import check_one_model, on_images_of_both
from nsbench.reporting.results import Entry, collect, headline, suite_names
from nsbench.reporting.score_tables import metric_head
from nsbench.reporting.seed_texts import ONE_SEED, change_parts, level_parts, over_seeds_data
from nsbench.reporting.seeds import check_one_recipe
from nsbench.reporting.subsets import chosen_of_both, compared_notes
from nsbench.reporting.tables import Table, plain_text
from nsbench.reporting.versions import SUBSET
from nsbench.run_folder import (
    folders_at,
    generation_folders,
    is_run,
    name_over_seeds,
    place_in_seeds,
    seed_folder,
)
from nsbench.suites.base import SuiteScores
from nsbench.util.errors import NsbenchError

Scores = Sequence[tuple[SuiteScores, SuiteScores]]
"""Of a suite, both models' scores in each seed."""


COLUMNS = ("A", "A 95%", "B", "B 95%", "change", "verdict")
"""Of a comparison's tables, after the row's name."""

SPARE = ("A 95%", "B 95%", "metric", "A")
"""What a narrow terminal goes without: the change has an interval too."""


@dataclass(frozen=True)
class SeedRow:
    """One metric of models A and B over seeds, and its change; part as in `compare.Row`."""

    suite: str
    part: str
    metric: Metric
    a: OverSeeds
    b: OverSeeds
    change: SeedChange
    chosen: str | None = None

    def record(self) -> dict[str, Any]:
        """The row as one flat record; values in percent, `low` and `high` None for one seed."""
        data = over_seeds_data(self.change)
        low, high = data["interval"] or (None, None)
        return {
            "suite": self.suite,
            "part": self.part,
            "metric": self.metric.name,
            "higher_is_better": self.metric.higher_is_better,
            "images": data["images"],
            "seeds": data["seeds"],
            "a": self.a.mean,
            "a_spread": self.a.spread,
            "b": self.b.mean,
            "b_spread": self.b.spread,
            "change": data["value"],
            "change_spread": data["spread"],
            "low": low,
            "high": high,
            "interval_over": data["interval_over"],
            "verdict": verdict_over_seeds(self.change),
            "chosen": self.chosen,
        }

    def cells(self) -> list[str]:
        """Both values, each with its interval in a column of its own, the change, the verdict."""
        # One line: an interval stands beside its change.
        change = " ".join(filter(None, change_parts(self.change)))
        return [
            *level_parts(self.a),
            *level_parts(self.b),
            change,
            verdict_over_seeds(self.change),
        ]


@dataclass(frozen=True, repr=False)
class SeedComparison:
    """As `compare.Comparison`, over the seeds that both models have."""

    a: str
    b: str
    seeds: list[int]
    headlines: list[SeedRow]
    parts: dict[str, list[SeedRow]]
    notes: list[str]

    def records(self) -> list[dict[str, Any]]:
        """Every row as a flat record, the headlines first."""
        return [row.record() for rows in (self.headlines, *self.parts.values()) for row in rows]

    def data(self) -> dict[str, Any]:
        """All of it as JSON."""
        about = {"a": self.a, "b": self.b, "seeds": self.seeds}
        return {**about, "rows": self.records(), "notes": self.notes}

    def __repr__(self) -> str:
        suites = ", ".join(row.suite for row in self.headlines)
        return f"<SeedComparison of {self.b} against {self.a} on {suites}>"

    def __str__(self) -> str:
        """The tables in the width of the terminal."""
        return plain_text(self.tables())

    def tables(self) -> list[Table]:
        """A table of the headlines, then one for each suite with parts."""
        over = f"mean ± standard deviation over seeds, [95% interval over {OVER}]"
        several = len(self.seeds) > 1
        seeds = f"{'seeds' if several else 'seed'} {', '.join(map(str, self.seeds))}"
        title = (
            f"B: {self.b}\nA: {self.a}\nB against A, {seeds}{f': {over}' if several else ''} (%)"
        )
        rows = [[row.suite, metric_head(row.metric), *row.cells()] for row in self.headlines]
        notes = [SEEDS_RULE if several else ONE_SEED, *self.notes]
        heads = ["suite", "metric", *COLUMNS]
        tables = [Table(title, heads, rows, notes=notes, whole=True, spare=SPARE)]
        for suite, parts in self.parts.items():
            own = f"{suite}, {metric_head(parts[0].metric)}: B against A (%)"
            cells = [[row.part, *row.cells()] for row in parts]
            tables.append(Table(own, ["part", *COLUMNS], cells, whole=True, spare=SPARE))
        return tables


def compare_seeds(
    a: Path, b: Path, suites: Sequence[str] | None = None, across: Sequence[str] = ()
) -> SeedComparison:
    """Compare two models of which one at least was trained with several seeds.

    a, b: OUT/generation-1 or OUT/controls/NAME of a folder of seeds OUT, where they stand for that
    model of every seed; or one model, as for `compare`, which every seed is compared with.
    suites, across: as for `compare`. Changes are paired: of the same seed, on the same images.
    Raises NsbenchError as `compare` does, if the two have no seed in common, and if the seeds of
    one are of two recipes.
    """
    sides = [_folders(path) for path in (a, b)]
    both = [folders for folders in sides if folders]
    seeds = sorted(set.intersection(*(set(folders) for folders in both)))
    if not seeds:
        raise NsbenchError(
            f"{a} and {b} have no seed in common: train both with the same seeds by --seeds"
        )
    paths = [list(f.values()) if f else [path] for f, path in zip(sides, (a, b), strict=True)]
    entries = collect([*dict.fromkeys([*paths[0], *paths[1]])], across, suites)
    by_folder = {entry.folder: entry for entry in entries}
    columns = [
        [by_folder[f[seed]] for seed in seeds] if f else [_alone(path, entries)] * len(seeds)
        for f, path in zip(sides, (a, b), strict=True)
    ]
    pairs = dict(zip(seeds, zip(*columns, strict=True), strict=True))
    own = [
        _name(path, folders) if folders else column[0].name
        for path, folders, column in zip((a, b), sides, columns, strict=True)
    ]
    homes = {found[0].resolve() for path in (a, b) if (found := place_in_seeds(path))}
    alike = len({home.name for home in homes}) < len(homes) or own[0] == own[1]
    called = (str(a), str(b)) if alike else (own[0], own[1])  # p/many and q/many
    chosen, notes = _choose(pairs, suites, called)
    for name, folders in zip(called, sides, strict=True):
        if not folders:
            notes.append(f"{name} is one model, how much whose training varies is left out.")
        elif missing := sorted({*folders} - {*seeds}):
            left = ", ".join(map(str, missing))
            notes.append(f"Seed {left} of {name} is left out, which the other side lacks.")
    headlines, parts, alone = [], {}, [not folders for folders in sides]
    for suite in chosen:
        scores = [(one.scores[suite], other.scores[suite]) for one, other in pairs.values()]
        if SUBSET in across:
            scores = [on_images_of_both(*pair) for pair in scores]
        notes += compared_notes(called, scores[:1])
        pairs_of_it = [(headline(one), headline(other)) for one, other in scores]
        headlines.append(_row(suite, "", pairs_of_it, alone, chosen_of_both(*scores[0])))
        if scores[0][0].parts:
            parts[suite] = _part_rows(suite, scores, alone)
    return SeedComparison(*called, seeds, headlines, parts, notes)


def _folders(path: Path) -> dict[int, Path]:
    """The generation of each seed that a path stands for; none for one model."""
    found = place_in_seeds(path)
    if found is None:
        check_one_model(path)
        return {}
    check_one_recipe(found[0])
    return folders_at(*found)


def _name(path: Path, folders: Mapping[int, Path]) -> str:
    """The name of a model of every seed."""
    found = place_in_seeds(path)
    assert found
    seed, folder = next(iter(folders.items()))
    return name_over_seeds(found[0], folder.relative_to(seed_folder(found[0], seed)))


def _alone(path: Path, entries: Sequence[Entry]) -> Entry:
    """The entry of a side that is one model: a generation, a run of one, or a folder of results."""
    inside = generation_folders(path) if is_run(path) else []
    folder = inside[0] if inside else path
    # Those of the other side have folders, which the entry of a folder of results has not.
    return next(entry for entry in entries if entry.folder in (folder, None))


def _choose(
    pairs: Mapping[int, tuple[Entry, Entry]], suites: Sequence[str] | None, names: tuple[str, str]
) -> tuple[list[str], list[str]]:
    """The suites to compare on, and a sentence for each that cannot be compared."""
    known = suite_names([entry for pair in pairs.values() for entry in pair])
    lacking: dict[str, str] = {}
    for suite in dict.fromkeys(suites or known):
        for seed, pair in pairs.items():
            for name, entry in zip(names, pair, strict=True):
                if suite not in entry.scores:
                    why = entry.outdated.get(suite)
                    how = f"otherwise than the others ({why})" if why else "not"
                    lacking.setdefault(suite, f"{name} was {how} evaluated on {suite}, seed {seed}")
    chosen = [suite for suite in dict.fromkeys(suites or known) if suite not in lacking]
    if lacking and (suites or not chosen):
        raise NsbenchError(f"{next(iter(lacking.values()))}: run nsbench eval first")
    return chosen, [f"{sentence}." for sentence in lacking.values()]


def _part_rows(suite: str, scores: Scores, alone: Sequence[bool]) -> list[SeedRow]:
    return [
        _row(
            suite,
            name,
            [(a.parts[name], b.parts[name]) for a, b in scores],
            alone,
            chosen_of_both(*scores[0]),
        )
        for name in scores[0][0].parts
        if all(name in side.parts for pair in scores for side in pair)
    ]


def _row(
    suite: str,
    part: str,
    pairs: Sequence[tuple[Metric, Metric]],
    alone: Sequence[bool],
    chosen: str | None,
) -> SeedRow:
    """alone: for each side, whether it is one model, which stands in the pair of every seed."""
    before, after = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    change = change_over_seeds(after, before)
    levels = [over_seeds(m[:1] if a else m) for m, a in zip((before, after), alone, strict=True)]
    return SeedRow(suite, part, before[0], levels[0], levels[1], change, chosen)
