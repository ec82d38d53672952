"""A leaderboard: many models on several suites, with ranks that respect uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from nsbench.metrics.change import changes_of_all
from nsbench.metrics.verdict import judge
from nsbench.reporting.grid import Cell, Column, Grid, Group, Row, metric_cell
from nsbench.reporting.layout import shared_prefix
from nsbench.reporting.order import best_first
from nsbench.reporting.page import page_environment
from nsbench.reporting.places import model_places
from nsbench.reporting.published_rows import Published, published_beside
from nsbench.reporting.results import Entry, collect, headline, headlines
from nsbench.reporting.score_tables import metric_data, metric_head, metric_text
from nsbench.reporting.tables import Table
from nsbench.run_folder import folders_at, is_seeds, place_in_seeds, seed_runs
from nsbench.util.arguments import checked
from nsbench.util.files import write_text
from nsbench.util.progress import counted
from nsbench.util.provenance import environment

RANKS = (
    "A model's rank on a suite is 1 + the number of models that are significantly better: by the "
    "paired comparison on the same images, adjusted for all pairs of models on the suite "
    "(Benjamini-Hochberg), as nsbench compare decides. Models that cannot be told apart share a "
    "rank."
)
"""What the page and the table say of ranks; `ranks_on` does it."""

OVER_IMAGES = (
    "Intervals and ranks are over images alone: they leave out how much trainings vary with their "
    "seed."
)
"""Of any model that was trained once, ours or others'."""

NAMED = 3
"""Models of one rank that a sentence names; of more it says how many there are."""


@dataclass(frozen=True)
class Standing:
    """A model and its rank on each suite that it was ranked on. mean: over the suites of all."""

    entry: Entry
    ranks: dict[str, int]
    mean: float | None


@dataclass(frozen=True)
class Leaderboard:
    """Models in order. suites: headline columns by name. of_all: suites that every model has."""

    standings: list[Standing]
    suites: dict[str, Column]
    of_all: list[str]
    published: Published
    notes: list[str]

    @property
    def prefix(self) -> str:
        """What the names of all models begin with; it may be left out."""
        return shared_prefix([one.entry.name for one in self.standings])


@checked
def write_leaderboard(
    runs: str | Path | Sequence[str | Path],
    out: str | Path = "leaderboard.html",
    *,
    sort: str | None = None,
    title: str | None = None,
    across: Sequence[str] = (),
) -> list[Table]:
    """Write one sortable page of many models, with the headline of every suite and ranks.

    runs: run folders, generations, folders of results, or folders that hold some; of a folder of
    seeds each seed's models. sort: a suite or a metric that orders the models, the best first; by
    default their mean rank does, over the suites that all of them have. title: of the page.
    across: settings in which results may differ, as for `write_report`.
    Ranks respect uncertainty, as `RANKS` says. Published results by nsbench's own protocol stand in
    a group of their own, and have no rank.
    Returns the table of the models, and one of published results where there are any.

    Raises NsbenchError where nothing was evaluated or a prediction file is broken, and for a suite
    or metric that there is none of.
    """
    named = [Path(run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    # Results unlike those of most models are left out before anything is ranked, so that no rank
    # compares two kinds of images or settings; the notes tell which.
    board = leaderboard(collect(_places(named), across), sort)
    content = {
        "title": title or "Leaderboard",
        "prefix": board.prefix,
        "board": board,
        "grid_made": _grid(board),
        "answers": answers(board),
        "ranks": RANKS,
        "made": environment("none"),
    }
    page = page_environment(board.prefix).get_template("leaderboard.html")
    write_text(Path(out), page.render(content))
    return [_table(board), *board.published.tables()]


def _places(paths: Sequence[Path]) -> list[Path]:
    """Where the models lie: of a folder of seeds, or a generation of it, those of each seed."""
    found: list[Path] = []
    for path in model_places(paths):
        if is_seeds(path):
            # Not pooled: a rank needs one score an image, and each seed is a model of its own.
            found += seed_runs(path)
        elif inside := place_in_seeds(path):
            found += folders_at(*inside).values()
        else:
            found.append(path)
    return found


def leaderboard(entries: Sequence[Entry], sort: str | None = None) -> Leaderboard:
    """The models ranked, in the order of `sort` or of their mean ranks; see `write_leaderboard`."""
    firsts = headlines(entries)
    # From the plainest suite to the strongest attack, as in reports.
    suites = {
        suite: Column(suite, metric_head(metric), key)
        for suite, metric in firsts.items()
        if (key := _key(entries, suite))
    }
    ranks = {suite: ranks_on(entries, suite) for suite in suites}
    # A mean over suites that some models lack would reward those that were spared a hard one.
    of_all = [suite for suite in suites if len(ranks[suite]) == len(entries)]
    standings = []
    for number, entry in enumerate(entries):
        own = {suite: on[number] for suite, on in ranks.items() if number in on}
        # Of ranks, not of values: percents of different metrics have no common scale.
        mean = fmean(own[suite] for suite in of_all) if of_all else None
        standings.append(Standing(entry, own, mean))
    if sort is not None:
        # Python's sort keeps the order of equal ones.
        order = best_first({entry.name: entry.scores for entry in entries}, sort)
        standings.sort(key=lambda one: order.index(one.entry.name))
    elif of_all:
        # Of equal ones the one of the better value on the plainest suite comes first.
        plainest = of_all[0]
        standings.sort(key=lambda one: (one.mean, headline(one.entry.scores[plainest]).rank))
    published = published_beside(entries, suites)
    notes = [_mean_note(of_all, len(suites)), OVER_IMAGES, *_unlike(entries, ranks)]
    notes += [sentence for entry in entries for sentence in entry.notes]
    return Leaderboard(standings, suites, of_all, published, notes)


def ranks_on(entries: Sequence[Entry], suite: str) -> dict[int, int]:
    """The ranks on a suite by the place of each model, of those measured on the same images.

    Those are the images of most models. All pairs are judged as one family.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, entry in enumerate(entries):
        if suite in entry.scores:
            groups.setdefault(headline(entry.scores[suite]).ids, []).append(number)
    # Others could not be paired, and a rank among two kinds of images would mean nothing.
    numbers = max(groups.values(), key=len)
    # One family of tests a suite, as a reader compares any two of its rows.
    found = changes_of_all([headline(entries[number].scores[suite]) for number in numbers])
    ranks = dict.fromkeys(numbers, 1)
    for (one, other), judged in zip(found, judge(list(found.values())), strict=True):
        # A change is of the one model against the other, and better in the direction of the
        # metric.
        if judged.verdict == "better":
            ranks[numbers[other]] += 1
        elif judged.verdict == "worse":
            ranks[numbers[one]] += 1
    return ranks


def answers(board: Leaderboard) -> list[str]:
    """A sentence for each suite: which models none is significantly better than."""
    said = []
    for suite, column in board.suites.items():
        ranked = [one for one in board.standings if suite in one.ranks]
        best = [one.entry for one in ranked if one.ranks[suite] == 1]
        # By value, whatever orders the page: the first of them is the one whose value is told.
        best.sort(key=lambda entry: headline(entry.scores[suite]).rank)
        # Of models that cannot be told apart a name alone would say that one has won.
        names = ", ".join(entry.name for entry in best[:NAMED])
        more = f" and {counted(len(best) - NAMED, 'other')}" if len(best) > NAMED else ""
        value = metric_text(headline(best[0].scores[suite]))
        of = f"of {counted(len(ranked), 'model')}"
        if len(best) == 1:
            said.append(f"{suite}, {column.metric}: {names} is first {of}, with {value}.")
        else:
            said.append(
                f"{suite}, {column.metric}: {len(best)} {of} share rank 1: {names}{more}; the "
                f"first of them has {value}."
            )
    return said


def _key(entries: Sequence[Entry], suite: str) -> str:
    """The key of a suite's headline."""
    return next(next(iter(e.scores[suite].metrics)) for e in entries if suite in e.scores)


def _mean_note(of_all: Sequence[str], count: int) -> str:
    if not of_all:
        return "No suite is one that all models were evaluated on alike, so none has a mean rank."
    of = f" of {count}" if count > len(of_all) else ""
    return (
        f"The mean rank is over {counted(len(of_all), 'suite')}{of} that all models were evaluated "
        f"on alike: {', '.join(of_all)}."
    )


def _unlike(entries: Sequence[Entry], ranks: dict[str, dict[int, int]]) -> list[str]:
    """A sentence for each model that has a value and no rank."""
    return [
        f"{entry.name} has no rank on {suite}, which it was evaluated on with other images."
        for suite, own in ranks.items()
        for number, entry in enumerate(entries)
        if suite in entry.scores and number not in own
    ]


def _grid(board: Leaderboard) -> Grid:
    """Two columns for each suite, value and rank, that sort by themselves; our models, others."""
    over = f"over {counted(len(board.of_all), 'suite')}"
    columns = [Column(over, "mean rank", "mean_rank")] if board.of_all else []
    # Of their own, so that a page can be sorted by either.
    for suite, column in board.suites.items():
        columns += [column, Column(suite, "rank", "rank")]
    groups = [Group("", [_row(board, one) for one in board.standings])]
    if board.published.rows:
        # Rows of another group stay below ours, whichever column the table is sorted by.
        title = "Published by others, measured by nsbench's protocol, and not ranked"
        groups.append(Group(title, _published_rows(board)))
    return Grid("Models, in % with 95% intervals over images", columns, groups, board.notes)


def _row(board: Leaderboard, one: Standing) -> Row:
    cells = [] if one.mean is None else [Cell(f"{one.mean:.1f}", one.mean)]
    for suite, column in board.suites.items():
        rank = one.ranks.get(suite)
        cells += [metric_cell(one.entry, column), Cell("" if rank is None else str(rank), rank)]
    return one.entry.name, cells


def _published_rows(board: Leaderboard) -> list[Row]:
    """A row for each model, source and input; without ranks."""
    rows = []
    for name, values in board.published.by_model().items():
        # Empty, as a rank needs the images, of which nothing is published.
        cells = [Cell("")] if board.of_all else []
        for suite in board.suites:
            text = board.published.text(values, suite)
            cells += [Cell(text, values.get(suite), style="soft"), Cell("")]
        rows.append((f"{name} (published)", cells))
    return rows


def _table(board: Leaderboard) -> Table:
    """The same for the terminal, with the rank before each value."""
    heads = [f"{suite}\nrank, {column.metric}" for suite, column in board.suites.items()]
    rows = []
    for one in board.standings:
        cells = [] if one.mean is None else [f"{one.mean:.1f}"]
        for suite, column in board.suites.items():
            # The rank first, so that it stays beside its value where a narrow terminal breaks the
            # cell.
            text = metric_cell(one.entry, column).text
            cells.append(f"#{one.ranks[suite]} {text}" if suite in one.ranks else text)
        rows.append([one.entry.name, *cells])
    columns = ["model", *(["mean\nrank"] if board.of_all else []), *heads]
    title = f"{counted(len(rows), 'model')} on {counted(len(heads), 'suite')} (%, 95% intervals)"
    data = [_record(board, one) for one in board.standings]
    return Table(title, columns, rows, data, [RANKS, *board.notes], models=True)


def _record(board: Leaderboard, one: Standing) -> dict[str, Any]:
    suites = {}
    for suite, column in board.suites.items():
        if suite in one.entry.scores:
            metric = headline(one.entry.scores[suite])
            about = {"metric": column.key, **metric_data(metric)}
            suites[suite] = {**about, "rank": one.ranks.get(suite)}
    # Programs should not have to guess why a suite is not there.
    missing = {
        suite: metric_cell(one.entry, column).text
        for suite, column in board.suites.items()
        if suite not in suites
    }
    return {
        "model": one.entry.name,
        "published": False,
        "mean_rank": one.mean,
        "suites": suites,
        "missing": missing,
    }
