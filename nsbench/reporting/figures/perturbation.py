"""Figures of perturbation suites: flips by sequence, and by frame."""

from collections.abc import Sequence

import numpy as np

from nsbench.names import is_noise
from nsbench.reporting.figures.drawn import (
    Drawn,
    Line,
    empty_axes,
    legend_above,
    lines_of,
    numbers_table,
    plain,
    row_text,
    side_by_side,
)
from nsbench.reporting.results import Entry

WHERE = {False: "that move or change slowly", True: "under noise"}
"""Of sequences of either kind, in a sentence."""

KINDS = {False: "compared with the frame before", True: "noise, compared with the first frame"}


def perturbation_figures(entries: Sequence[Entry], suite: str) -> list[Drawn]:
    """Flip probability by sequence with intervals, and by frame."""
    lines = lines_of(entries, suite, "flip_probability")
    return [_by_sequence(lines, suite), _by_frame(lines, suite)]


def _by_sequence(lines: Sequence[Line], suite: str) -> Drawn:
    names = list(lines[0].table(suite, "flip_probability"))
    figure, (axes,) = empty_axes(9.0, 3.8)
    scored = [line.entry.scores[suite] for line in lines]
    values = [scores.suite.cell_values(scores) for scores in scored]
    side_by_side(axes, lines, values)
    axes.set_xticks(range(len(names)), list(map(plain, names)), rotation=30, ha="right")
    axes.set_ylabel("flip probability (%)")
    table = [(plain(name), [row_text(rows[name]) for rows in values]) for name in names]
    last = {name: row[0] for name, row in values[-1].items()}
    hardest = max(last, key=last.__getitem__)
    return Drawn(
        f"{suite}-flips",
        f"{lines[-1].name} flips most under {plain(hardest)}, in {last[hardest]:.1f}% of frames",
        "Share of frames whose class differs from the one they are compared with, with 95% "
        "intervals over clips.",
        figure,
        numbers_table("flip probability (%) by sequence", "sequence", lines, table),
    )


def _by_frame(lines: Sequence[Line], suite: str) -> Drawn:
    names = list(lines[0].table(suite, "flips_by_frame"))
    kinds = [kind for kind in KINDS if any(is_noise(name) == kind for name in names)]
    figure, panels = empty_axes(9.0, 3.4, len(kinds), sharey=True)
    rows: list[tuple[str, list[str]]] = []
    ends: list[str] = []
    for axes, kind in zip(panels, kinds, strict=True):
        own_names = [name for name in names if is_noise(name) == kind]
        tables = [line.table(suite, "flips_by_frame") for line in lines]
        means = [_mean([table[name] for name in own_names]) for table in tables]
        for line, own in zip(lines, means, strict=True):
            frames = np.arange(2, len(own) + 2)
            axes.plot(frames, own, line.dashes, color=line.color, label=line.name)
        axes.set(title=KINDS[kind], xlabel="frame", ylim=(0, None))
        for frame in range(len(means[0])):
            cells = [f"{own[frame]:.1f}" for own in means]
            rows.append((f"{frame + 2}, {KINDS[kind]}", cells))
        ends.append(f"{means[-1][-1]:.1f}% of clips {WHERE[kind]}")
    panels[0].set_ylabel("clips that flip (%)")
    legend_above(panels[0], 2, gap=0.08)
    return Drawn(
        f"{suite}-frames",
        f"At the last frame {lines[-1].name} flips in {' and in '.join(ends)}",
        "Share of clips whose class differs at each frame, mean over the sequences that have it.",
        figure,
        numbers_table("clips that flip (%) by frame", "frame", lines, rows),
    )


def _mean(rows: Sequence[Sequence[float]]) -> list[float]:
    """The mean at each frame over the sequences that are as long."""
    longest = max(map(len, rows))
    return [float(np.mean([r[n] for r in rows if len(r) > n])) for n in range(longest)]
