"""Two models side by side: where the second is better, by how much, and how certain that is."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nsbench.metrics.change import Metric, change, changes, on_common_images
from nsbench.metrics.intervals import Estimate, error_consistency
from nsbench.metrics.verdict import RULE, Judged, judge
from nsbench.reporting.places import model_places
from nsbench.reporting.results import Entry, collect, headline, suite_names
from nsbench.reporting.score_tables import change_text, metric_head
from nsbench.reporting.subsets import chosen_of_both, compared_notes
from nsbench.reporting.tables import Table, plain_text
from nsbench.reporting.versions import SUBSET
from nsbench.run_folder import generation_folders, is_run
from nsbench.suites.base import SuiteScores
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import counted

COLUMNS = ("A", "B", "change", "p", "p adj.", "verdict")
"""The title says which models A and B are: their names may be long."""

SPARE = ("κ", "p", "p adj.", "metric")
"""What a narrow terminal goes without: the verdict says it shortly, a suite has one headline."""

KAPPA = "κ: whether both models err on the same images; 0 as by chance, 1 on exactly the same."


@dataclass(frozen=True)
class Row:
    """One metric of model A and model B, and its change from A to B.

    part: the corruption or perturbation, empty for a suite's headline. judged: the change, with all
    rows of the table in mind. kappa: the error consistency on accuracy suites. chosen: what chose
    the images, such as `--limit 10`; None of all.
    """

    suite: str
    part: str
    a: Metric
    b: Metric
    judged: Judged
    kappa: Estimate | None = None
    chosen: str | None = None

    def record(self) -> dict[str, Any]:
        """The row as one flat record; values in percent, without a kappa None."""
        kappa, change = self.kappa, self.judged.change
        return {
            "suite": self.suite,
            "part": self.part,
            "metric": self.a.name,
            "higher_is_better": self.a.higher_is_better,
            "images": change.images,
            "a": self.a.value,
            "b": self.b.value,
            "change": change.value,
            "low": change.interval.low,
            "high": change.interval.high,
            "p": change.p_value,
            "adjusted_p": self.judged.adjusted_p,
            "verdict": self.judged.verdict,
            "kappa": kappa.value if kappa else None,
            "kappa_low": kappa.interval.low if kappa else None,
            "kappa_high": kappa.interval.high if kappa else None,
            "chosen": self.chosen,
        }


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two models' names, the headlines of their suites, and the parts of each suite that has some.

    notes: a sentence for each suite that could not be compared.
    """

    a: str
    b: str
    headlines: list[Row]
    parts: dict[str, list[Row]]
    notes: list[str]

    def records(self) -> list[dict[str, Any]]:
        """Every row as a flat record, the headlines first."""
        return [row.record() for rows in (self.headlines, *self.parts.values()) for row in rows]

    def data(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {"a": self.a, "b": self.b, "rows": self.records(), "notes": self.notes}

    def __repr__(self) -> str:
        suites = ", ".join(row.suite for row in self.headlines)
        return f"<Comparison of {self.b} against {self.a} on {suites}>"

    def __str__(self) -> str:
        """The tables in the width of the terminal."""
        return plain_text(self.tables())

    def tables(self) -> list[Table]:
        """A table of the headlines, then one for each suite with parts."""
        title = f"B: {self.b}\nA: {self.a}\nB against A (%)"
        columns = ["suite", "metric", *COLUMNS, "κ"]
        rows = [
            [row.suite, metric_head(row.a), *_cells(row), _kappa_text(row)]
            for row in self.headlines
        ]
        explained = [RULE] if rows else []
        explained += [KAPPA] if any(row.kappa for row in self.headlines) else []
        first = Table(
            title, columns, rows, None, [*explained, *self.notes], whole=True, spare=SPARE
        )
        return [first, *(self._parts_table(*item) for item in self.parts.items())]

    def _parts_table(self, suite: str, rows: list[Row]) -> Table:
        title = f"{suite}, {metric_head(rows[0].a)}: B against A (%)"
        cells = [[row.part, *_cells(row)] for row in rows]
        return Table(title, ["part", *COLUMNS], cells, whole=True, spare=SPARE)


def compare(
    a: Path, b: Path, suites: Sequence[str] | None = None, across: Sequence[str] = ()
) -> Comparison:
    """Compare two models by their stored predictions, on all suites that both have, or on `suites`.

    a, b: a generation, a run of one generation, or a folder of one model's results. across:
    settings in which their results may differ; with `subset` they are compared on the images that
    both have.
    Raises NsbenchError for a path of several models, a suite that a model was not evaluated on, or
    an unknown setting.
    """
    for path in (a, b):
        check_one_model(path)
    first, second = collect([a, b], across, suites)
    # Two runs have a generation 2 each, and are distinguished by their paths.
    names = (first.name, second.name) if first.name != second.name else (str(a), str(b))
    chosen, notes = _choose(list(zip(names, (first, second), strict=True)), suites)
    pairs = [(first.scores[suite], second.scores[suite]) for suite in chosen]
    if not chosen:
        raise NsbenchError(
            f"there is nothing to compare: {' '.join(notes).rstrip('.')}; evaluate both alike, or "
            "name the difference by --across"
        )
    notes += [*first.other, *second.other]
    if SUBSET in across:
        pairs = [on_images_of_both(*pair) for pair in pairs]
    return compare_scores(*names, pairs, notes)


def compare_scores(
    a: str, b: str, pairs: Sequence[tuple[SuiteScores, SuiteScores]], notes: Sequence[str] = ()
) -> Comparison:
    """Compare two models, called `a` and `b`, by their scores on each of some suites.

    Raises NsbenchError if they were not measured on the same images.
    """
    parts = {pair[0].suite.name: _parts(*pair) for pair in pairs if pair[0].parts}
    return Comparison(a, b, _headlines(pairs), parts, [*compared_notes((a, b), pairs), *notes])


def on_images_of_both(a: SuiteScores, b: SuiteScores) -> tuple[SuiteScores, SuiteScores]:
    """The scores of two models on the images that both were evaluated on.

    Raises NsbenchError if there is none.
    """
    metrics = {k: on_common_images(a.metrics[k], b.metrics[k]) for k in a.metrics if k in b.metrics}
    parts = {k: on_common_images(a.parts[k], b.parts[k]) for k in a.parts if k in b.parts}
    of_a, of_b = (
        replace(
            scores,
            metrics={key: pair[side] for key, pair in metrics.items()},
            parts={key: pair[side] for key, pair in parts.items()},
        )
        for side, scores in enumerate((a, b))
    )
    return of_a, of_b


def check_one_model(path: Path) -> None:
    """Raise NsbenchError if a path is a run of several generations, or holds other models."""
    folders = generation_folders(path) if is_run(path) else []
    if len(folders) > 1:
        raise NsbenchError(
            f"{path} holds {len(folders)} generations: name one, such as {folders[-1]}"
        )
    inside = model_places([path])
    if inside != [path]:
        models = counted(len(inside), "model")
        raise NsbenchError(f"{path} holds {models}: name one, such as {inside[0]}")


def _choose(
    models: Sequence[tuple[str, Entry]], suites: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """The suites to compare on, and a sentence for each that cannot be compared."""
    # Neither of the two need be the older one: what they have is unlike.
    outdated = {s: f"{name}: {why}" for name, e in models for s, why in e.outdated.items()}
    known = [*suite_names([entry for _, entry in models]), *sorted(outdated)]
    requested = list(dict.fromkeys(suites or known))
    lacking = {
        suite: f"{name} was not evaluated on {suite}"
        for suite in requested
        for name, entry in models
        if suite not in entry.scores and suite not in outdated
    }
    # A suite that was named must be compared; of all suites, one that a model lacks is only noted,
    # as long as others remain.
    if lacking and (suites or len(lacking) == len(requested)):
        raise NsbenchError(f"{next(iter(lacking.values()))}: run nsbench eval first")
    notes = [f"{sentence}." for sentence in lacking.values()]
    notes += [
        f"{suite} is left out, as the two were evaluated differently ({outdated[suite]})."
        for suite in requested
        if suite in outdated
    ]
    return [suite for suite in requested if suite not in {*lacking, *outdated}], notes


def _headlines(pairs: Sequence[tuple[SuiteScores, SuiteScores]]) -> list[Row]:
    """A row for each suite, of the two models' scores on it."""
    judged = judge([change(headline(b), headline(a)) for a, b in pairs])
    return [
        Row(a.suite.name, "", headline(a), headline(b), change, _kappa(a, b), chosen_of_both(a, b))
        for (a, b), change in zip(pairs, judged, strict=True)
    ]


def _kappa(a: SuiteScores, b: SuiteScores) -> Estimate | None:
    if not a.suite.compares_errors:
        return None
    return error_consistency(headline(a).scores > 0, headline(b).scores > 0)


def _parts(a: SuiteScores, b: SuiteScores) -> list[Row]:
    # One family of tests a table: p-values are adjusted for the rows that are read together.
    judged = judge(changes(list(b.parts.values()), list(a.parts.values())))
    rows, chosen = zip(a.parts, judged, strict=True), chosen_of_both(a, b)
    return [
        Row(a.suite.name, name, a.parts[name], b.parts[name], j, chosen=chosen) for name, j in rows
    ]


def _cells(row: Row) -> list[str]:
    values = [f"{metric.value:.1f}" for metric in (row.a, row.b)]
    change = row.judged.change
    p_values = [_p_text(p) for p in (change.p_value, row.judged.adjusted_p)]
    return [*values, change_text(change), *p_values, row.judged.verdict]


def _p_text(p_value: float) -> str:
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _kappa_text(row: Row) -> str:
    if row.kappa is None:
        return ""
    value, (low, high) = row.kappa
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"
