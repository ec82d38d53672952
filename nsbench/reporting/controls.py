"""Controls of a run beside its students: what the gain of a generation comes of."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nsbench.metrics.change import Metric
from nsbench.metrics.verdict import Judged
from nsbench.reporting.results import (
    Entry,
    generation_beside,
    headline_changes,
    headlines,
    suite_names,
)
from nsbench.reporting.summary import model_row, notes_on_images, suite_columns
from nsbench.reporting.tables import Table
from nsbench.run_folder import control_folders, generation_folders, is_run, read_variant

WHAT = {
    "labeled-only": "the same model, noise, steps and images a step, all of them labeled: what the "
    "student has above it is the gain of self-training",
    "oracle": "the same student, taught by the true labels: what a teacher that is never wrong "
    "would give",
    "wide-from-teacher": "the last student, taught by the first teacher: what the student has "
    "above it is the gain of iteration",
    "longer-teacher": "the first teacher, trained on as many images as it and the student together",
    "ensemble": "the average of the first teacher and another like it, trained from other weights: "
    "what two models give without self-training",
}
"""What each kind of control is, as the end of a sentence."""


@dataclass(frozen=True)
class Controls:
    """A student, and the controls that were trained beside it.

    rows: each control with its kind.
    """

    student: Entry
    rows: list[tuple[Entry, str]]

    @property
    def models(self) -> list[Entry]:
        """The student, and its controls."""
        return [self.student, *(entry for entry, _ in self.rows)]

    @cached_property
    def changes(self) -> list[dict[str, Judged]]:
        """The student's changes against each control, by suite."""
        return [headline_changes(entry, [self.student])[0] for entry, _ in self.rows]

    @property
    def headlines(self) -> dict[str, Metric]:
        """The suites that one of them was evaluated on, and the headline of the first that was."""
        return headlines(self.models)

    @property
    def lines(self) -> list[tuple[Entry, str, dict[str, Judged]]]:
        """Each model with its kind, empty for the student, and the student's changes against it."""
        rows = zip(self.rows, self.changes, strict=True)
        return [(self.student, "", {}), *((entry, kind, found) for (entry, kind), found in rows)]


def controls(
    paths: Sequence[Path], entries: Sequence[Entry], across: Sequence[str] = ()
) -> list[Controls]:
    """The evaluated controls in run folders, by the generation that each is a control of.

    entries: the models of the report, among them the runs' own generations. across: settings in
    which results may differ.
    """
    by_path = {entry.folder: entry for entry in entries if entry.folder}
    found: dict[Path, Controls] = {}
    for run in filter(is_run, paths):
        for folder in control_folders(run):
            record, trained = read_variant(folder), generation_folders(folder)
            student = by_path.get(run / f"generation-{student_of(run, record)}")
            # A control may be trained before the student that it is of.
            if student and student.folder and trained:
                entry = generation_beside(trained[-1], student, across)
                if entry.scores or entry.outdated:
                    rows = found.setdefault(student.folder, Controls(student, [])).rows
                    rows.append((entry, record["kind"]))
    return [found[folder] for folder in by_path if folder in found]


def student_of(run: Path, record: dict[str, Any]) -> int:
    """The number of the generation that a control is of. record: its variant.json."""
    own = [folder for folder in generation_folders(run) if "fine" not in folder.name]
    if record["kind"] == "wide-from-teacher" and own:
        return int(own[-1].name.removeprefix("generation-"))
    number: int = record["generation"]
    return number


def control_models(controlled: Sequence[Controls]) -> list[tuple[Entry, str]]:
    """Each control with its kind: it was trained beside one student, and is one row."""
    return [row for own in controlled for row in own.rows]


def controls_table(beside: Controls) -> Table:
    """A row for each control: its headline on every suite, and what the student has above it."""
    student, names = beside.student, suite_names(beside.models)
    rows, data, notes = [], [], []
    for entry, kind, changes in beside.lines:
        rows.append(model_row(entry, student, names, changes)[0])
        if kind:
            assert entry.folder
            control = entry.folder.parent.name
            notes.append(f"{control}: {WHAT[kind]}.")
            # The student's record, with its changes against the control.
            record = model_row(student, entry, names, changes)[1]
            data.append({**record, "control": control, "kind": kind})
    notes += notes_on_images(beside.models)
    title = f"What {student.name} has above its controls, paired 95% intervals"
    columns = ["control", *suite_columns(beside.models, names)]
    return Table(title, columns, rows, data, notes, models=True)
