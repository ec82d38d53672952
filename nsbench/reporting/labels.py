"""The balance of a teacher's pseudo-labels, class by class: a table and a figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nsbench.reporting.figures.drawn import Drawn, empty_axes, legend_above, picture
from nsbench.reporting.results import Entry
from nsbench.reporting.tables import Table
from nsbench.run_folder import generation_folders, is_run, model_name
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_bytes
from nsbench.util.progress import counted
from nsbench.util.sealed import read_record

FEW = 40
"""The most classes that a terminal shows as rows, and that a figure shows by name."""

COLUMNS = {
    "class": "class",
    "labeled": "labeled",
    "confident": "confident",
    "threshold": "threshold",
    "unique": "unique kept",
    "selected": "selected",
    "copies": "copies",
}
SERIES = {
    "confident": "before: confident",
    "unique": "after: unique",
    "selected": "after: with copies",
}

Summary = dict[str, Any]

SUMMARY = "selection.json"
"""Of a student's folder: what was chosen of its teacher's labels."""

Facts = list[tuple[str, str]]
"""Terms and what they are."""


def read_labels(path: Path) -> tuple[str, Summary]:
    """The name of a generation, or of a run's newest student, and its selection.json.

    Raises NsbenchError if it has no pseudo-labels.
    """
    # The newest first; the teacher of a run has no pseudo-labels.
    folders = generation_folders(path)[::-1] if is_run(path) else [path]
    for folder in folders:
        if (folder / SUMMARY).is_file():
            summary: Summary = read_record(folder / SUMMARY, "train the generation again")
            return model_name(folder), summary
    raise NsbenchError(
        f"{path} has no pseudo-labels: name a run folder, or a generation of one after the first"
    )


def class_records(summary: Summary) -> list[dict[str, Any]]:
    """The figures of each class; copies is how often an image of it is taken on average."""
    return [
        {**row, "copies": round(row["selected"] / row["unique"], 2) if row["unique"] else 0.0}
        for row in summary["per_class"]
    ]


def labels_table(name: str, summary: Summary) -> Table:
    """A row a class: of many, those with the fewest images; the data hold all of them."""
    records = class_records(summary)
    shown = records
    images, confident, unique, selected = (
        f"{summary[key]:,}" for key in ("images", "confident", "unique", "selected")
    )
    notes = [
        f"{summary['labeled_by']} labeled {images} images, {confident} of them with a confidence "
        f"of {summary['min_confidence']:g} or more; {unique} are kept, none more than "
        f"{summary['most_copies']} times, which makes {selected} to train on."
    ]
    if lost := sorted(summary["unreadable"]):
        named = ", ".join(lost[:5]) + (" …" if len(lost) > 5 else "")
        notes.append(f"{counted(len(lost), 'image')} could not be read: {named}")
    if len(records) > FEW:
        shown = sorted(records, key=lambda row: int(row["unique"]))[:FEW]
        notes.append(
            f"Shown are the {FEW} classes with the fewest images of {len(records):,}; --csv "
            "writes them all."
        )
    return Table(
        f"pseudo-labels of {name}",
        list(COLUMNS.values()),
        [[cell_text(row[key]) for key in COLUMNS] for row in shown],
        {"name": name, **summary, "per_class": records},
        notes,
    )


def cell_text(value: Any) -> str:
    """A figure or a name as a cell shows it."""
    if isinstance(value, float):
        return f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


@dataclass(frozen=True)
class LabelsSection:
    """A student's pseudo-labels in a report. summary: the content of its selection.json."""

    name: str
    summary: Summary
    figure: Drawn

    @property
    def facts(self) -> Facts:
        """What `label_facts` tells."""
        return label_facts(self.summary)


def label_sections(entries: Sequence[Entry]) -> list[LabelsSection]:
    """The students among models that have pseudo-labels."""
    found = []
    for number, entry in enumerate(entries):
        path = entry.folder / SUMMARY if entry.folder else None
        if path and path.is_file():
            summary = read_record(path, "train the generation again")
            # The number keeps two runs of one name apart.
            figure = labels_figure(f"labels-{number}", entry.name, summary)
            found.append(LabelsSection(entry.name, summary, figure))
    return found


def label_facts(summary: Summary) -> Facts:
    """What became of the images that a teacher labeled: kept, dropped, thresholds, copies."""
    images, unique = summary["images"], summary["unique"]
    unsure = f"{images - summary['confident']:,} for confidence under {summary['min_confidence']:g}"
    limits = [row["threshold"] for row in summary["per_class"] if row.get("threshold") is not None]
    facts = [
        ("labeled by", f"{summary['labeled_by']}"),
        ("images", f"{images:,}"),
        ("kept", f"{unique:,} ({100 * unique / images:.0f}%)" if images else "0"),
        ("dropped", f"{images - unique:,}, {unsure}"),
        ("threshold", f"{min(limits):.2f} to {max(limits):.2f} by class" if limits else ""),
        ("to train on", f"{summary['selected']:,}, at most {summary['most_copies']} copies of one"),
    ]
    if summary["unreadable"]:
        facts.append(("cannot be read", f"{len(summary['unreadable']):,}"))
    if (agreement := summary.get("agreement")) is not None:
        facts.append(("true labels", f"{100 * agreement:.1f}% of those kept agree with them"))
    return [(term, text) for term, text in facts if text]


def labels_figure(key: str, name: str, summary: Summary) -> Drawn:
    """Images of each class before and after balancing; of many classes the table has the rarest."""
    records = class_records(summary)
    copied = max(records, key=lambda row: float(row["copies"]))
    title = (
        f"{copied['class']} is repeated most in {name}, {copied['copies']:g} times on average"
        if copied["copies"] > 1
        else f"No class is repeated in {name}"
    )
    shown = records
    if len(records) > FEW:
        shown = sorted(records, key=lambda row: int(row["unique"]))[:FEW]
    rows = [[cell_text(row[key]) for key in COLUMNS] for row in shown]
    caption = (
        "Images by the class that the teacher gives them: those that are confident enough, those "
        "of them that are used, and the rows that the repeated ones make."
    )
    which = f", the {FEW} with the fewest of {len(records):,}" if shown != records else ""
    table = Table(f"images by class{which}", list(COLUMNS.values()), rows)
    return Drawn(key, title, caption, _figure(summary), table)


def write_labels_picture(summary: Summary, out: Path) -> None:
    """The same figure as a picture file. Raises NsbenchError as `picture` does."""
    write_bytes(out, picture(_figure(summary), out))


def _figure(summary: Summary) -> Figure:
    records = summary["per_class"]
    few = len(records) <= FEW
    figure, (axes,) = empty_axes(max(7.2, 0.36 * len(records)) if few else 9.6)
    (_bars if few else _curves)(axes, records)
    axes.set_ylabel("images")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    legend_above(axes)
    return figure


def _bars(axes: Axes, records: list[dict[str, Any]]) -> None:
    positions, width = np.arange(len(records)), 0.82 / len(SERIES)
    for number, (key, label) in enumerate(SERIES.items()):
        heights = [row[key] for row in records]
        axes.bar(positions + (number - 1) * width, heights, width, label=label)
    names = [str(row["class"]) for row in records]
    turned = len(records) * max(map(len, names)) > 70  # letters that fit below the axis
    axes.set_xticks(positions, names, rotation=40 * turned, ha="right" if turned else "center")
    axes.grid(axis="x", visible=False)


def _curves(axes: Axes, records: list[dict[str, Any]]) -> None:
    ranked = sorted(records, key=lambda row: -int(row["confident"]))
    ranks = np.arange(1, len(ranked) + 1)
    for (key, label), width in zip(SERIES.items(), (5, 2.5, 1.5), strict=True):
        # The first is the widest, to be seen below the ones that equal it.
        axes.plot(ranks, [row[key] for row in ranked], label=label, linewidth=width)
    lowest = min(row[key] for row in records for key in SERIES)
    # Rare classes differ from frequent ones by orders of magnitude, and may have no image.
    axes.set_yscale("symlog", linthresh=1)
    axes.set(xlabel="classes, from the most frequent to the rarest", xlim=(1, len(ranks)))
    axes.set_ylim(bottom=10 ** np.floor(np.log10(lowest)) if lowest else 0)
