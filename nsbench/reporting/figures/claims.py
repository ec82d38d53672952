"""What the paper claims, in one picture: a row for each comparison, a column for each suite."""

import textwrap
from itertools import groupby
from operator import attrgetter

from matplotlib.axes import Axes

from nsbench.metrics.seeds import OVER
from nsbench.reporting.claims import FAILED, HELD, UNDECIDED, Answer, checked_claims
from nsbench.reporting.claims_tables import CLAIMED
from nsbench.reporting.figures.drawn import INK, LINE, SERIES, SOFT, Drawn, empty_axes, tip
from nsbench.reporting.score_tables import metric_head
from nsbench.reporting.seed_texts import interval_text
from nsbench.reporting.seeds import SeedRuns
from nsbench.reporting.tables import Table
from nsbench.util.progress import counted
from nsbench.util.text import printable

MARKS = {HELD: ("✓", SERIES[1]), FAILED: ("✗", SERIES[2]), UNDECIDED: ("?", SERIES[0])}
"""The sign and the colour of each verdict: signs tell them apart where colours do not."""

KEY = (
    "Change in points [95% interval]; ↑ more is better, ↓ less is better.  ✓ better  ✗ worse  "
    "? the interval includes zero",
    "Empty: not evaluated, or not what the claim is about.  † of unequal size, or trained on "
    "unequally many images",
)
"""Lines below the picture, which may be seen without the page around it."""

COLUMN, ROW = 1.3, 0.44
"""Inches of a suite, and of a comparison or a line of a claim."""

LETTER = 0.092
"""Inches of a letter of the names of two models, which stand left of the suites."""

WIDE, NARROW = 44, 14
"""Letters of a line of a claim, and of the name of a metric above its column."""


def claims_figures(runs: SeedRuns) -> list[Drawn]:
    """The change of every comparison that a claim makes.

    None of them where no model that a claim is about was trained, and of one seed.
    """
    found = [one for one in checked_claims(runs) if one.answers]
    heads = {a.suite: metric_head(a.metric) for one in found for a in one.answers}
    if not heads:
        return []
    suites = {suite: textwrap.wrap(head, NARROW) for suite, head in heads.items()}
    above = 0.4 + 0.4 * (1 + max(map(len, suites.values())))
    columns = list(suites)
    claims = [textwrap.wrap(one.claim.text, WIDE) for one in found]
    rows = [[list(own) for _, own in groupby(one.answers, attrgetter("models"))] for one in found]
    # A line of a claim takes half of a row.
    height = sum(len(lines) / 2 + len(own) + 0.3 for lines, own in zip(claims, rows, strict=True))
    names = [_models(runs, answers) for own in rows for answers in own]
    left = max(3.4, LETTER * max(map(len, names))) / COLUMN
    figure, (axes,) = empty_axes(COLUMN * (left + len(suites)), ROW * (height + 1.2 + above))
    axes.set(xlim=(-left, len(suites)), ylim=(height + 1.2, -above))
    # Words in a grid; upside down, so that rows are counted from the top.
    axes.set_axis_off()
    for place, (suite, lines) in enumerate(suites.items()):
        head = "\n".join([printable(suite), *lines])
        axes.text(place + 0.5, -0.1, head, ha="center", va="bottom", fontsize=10, color=INK)
    top, cells = 0.0, []
    for one, lines, own in zip(found, claims, rows, strict=True):
        axes.plot([-left, len(suites)], [top, top], color=LINE, linewidth=1)
        top += 0.1
        for line in lines:
            axes.text(-left, top + 0.28, line, va="center", fontsize=10, color=INK)
            top += 0.5
        for answers in own:
            models = _models(runs, answers)
            axes.text(-left + 0.1, top + 0.5, models, va="center", fontsize=9, color=SOFT)
            for answer in answers:
                _cell(axes, columns.index(answer.suite), top, answer)
                cells.append(_row(one.claim.text, answer))
            top += 1
        top += 0.2
    axes.plot([-left, len(suites)], [top, top], color=LINE, linewidth=1)
    for number, line in enumerate(KEY):
        axes.text(-left, top + 0.4 + 0.5 * number, line, va="center", fontsize=9, color=SOFT)
    counts = [sum(one.verdict == verdict for one in found) for verdict in MARKS]
    said = [f"{n} {v}" for n, v in zip(counts, MARKS, strict=True) if n]
    seeds = counted(len(runs.seeds), "seed")
    drawn = Drawn(
        "seeds-claims",
        f"Of {counted(len(found), 'claim')} of the paper, {', '.join(said)}",
        f"Change in points over {seeds}, or as many as are named, with 95% intervals over {OVER}. "
        f"A claim held where all of its changes are better, and did not where one is worse. Claims "
        "of which no model was trained are left out.",
        figure,
        Table(CLAIMED, ["claim", "models", "suite", "change in points", "verdict"], cells),
    )
    return [drawn]


def _models(runs: SeedRuns, answers: list[Answer]) -> str:
    """What is compared, and over how many seeds if these are not all."""
    trained = min(len(answer.change.values) for answer in answers)
    fewer = f", {counted(trained, 'seed')}" if trained < len(runs.seeds) else ""
    return printable(answers[0].models) + fewer + (" †" if answers[0].unequal else "")


def _cell(axes: Axes, place: int, top: float, answer: Answer) -> None:
    sign, color = MARKS[answer.verdict]
    change, models = answer.change, printable(answer.models)
    what = f"{models} on {answer.suite}: {change.mean:+z.1f} points, {answer.verdict}"
    mark = axes.text(
        place + 0.5, top + 0.3, f"{sign} {change.mean:+z.1f}", ha="center", va="center", color=color
    )
    tip(mark, what)
    axes.text(place + 0.5, top + 0.74, interval_text(change, "+"), ha="center", va="center",
              fontsize=8, color=SOFT)  # fmt: skip


def _row(claim: str, answer: Answer) -> list[str]:
    change = f"{answer.change.mean:+z.1f} {interval_text(answer.change, '+')}"
    return [claim, printable(answer.models), answer.suite, change, answer.verdict]
