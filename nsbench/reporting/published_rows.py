"""Published results beside those of a leaderboard: of nsbench's protocol, and never among ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nsbench.published.match import unlike_shipped
from nsbench.published.rows import Row, best_on, rows, suites_of
from nsbench.reporting.grid import Column
from nsbench.reporting.published_tables import records
from nsbench.reporting.results import Entry, headline
from nsbench.reporting.tables import Table

MOST = 20
"""Published models of a suite that a page shows: it is about ours, and the command lists all."""


@dataclass(frozen=True)
class Published:
    """Published results by suite, the best first. notes: a sentence for each thing left out."""

    rows: dict[str, list[Row]]
    notes: list[str]

    def by_model(self) -> dict[str, dict[str, float]]:
        """The values by suite, for each model with its input and source, as one name."""
        found: dict[str, dict[str, float]] = {}
        for suite, some in self.rows.items():
            for row in some:
                # By source and input too: two sources may have measured the same weights, and
                # nobody should take their values for one.
                found.setdefault(_name(row), {})[suite] = row.comparable
        return found

    def text(self, values: Mapping[str, float], suite: str) -> str:
        """A value as a cell has it, without the zeros that a source does not print."""
        return f"{values[suite]:.2f}".rstrip("0").rstrip(".") if suite in values else ""

    @property
    def sources(self) -> list[tuple[str, str]]:
        """The short name of each source, and what to cite with its licence."""
        own = {row.origin.short: row.origin for some in self.rows.values() for row in some}
        return [(short, f"{own[short].cite} Licence: {own[short].licence}") for short in own]

    def tables(self) -> list[Table]:
        """One table for the terminal, or none."""
        if not self.rows:
            return []
        body = [
            [name, *(self.text(values, suite) for suite in self.rows)]
            for name, values in self.by_model().items()
        ]
        title = "published by others, measured by nsbench's protocol, and not ranked (%)"
        data = [
            {"published": True, **record, "comparable": row.comparable}
            for some in self.rows.values()
            for row, record in zip(some, records(some), strict=True)
        ]
        return [Table(title, ["model", *self.rows], body, data, self.notes)]


def published_beside(entries: Sequence[Entry], suites: Mapping[str, Column]) -> Published:
    """The published results of suites' headlines by nsbench's own protocol, the best ones of each.

    suites: the headlines, by suite.
    """
    found: dict[str, list[Row]] = {}
    notes = []
    for suite in (name for name in suites_of(rows()) if name in suites):
        # All that are shown are alike, so that any of them stands for the others.
        scores = next(entry.scores[suite] for entry in entries if suite in entry.scores)
        # By the direction of our metric, as an error may be published as an accuracy.
        own = best_on(suite, suites[suite].key, headline(scores).higher_is_better)
        if not own:
            continue
        found[suite] = own[:MOST]
        if len(own) > MOST:
            notes.append(
                f"Of {len(own)} published results on {suite} the best {MOST} are shown: nsbench "
                f"published --suite {suite} lists all."
            )
        if reasons := list(unlike_shipped(scores)):
            notes.append(f"Ours on {suite} were measured unlike them: {'; '.join(reasons)}.")
    return Published(found, notes)


def _name(row: Row) -> str:
    # The same weights have other values at another input size.
    size = f" at {row.resolution} px" if row.resolution else ""
    return f"{row.model}{size}, {row.origin.short}"
