"""Variants of a run beside its own generations: the ablation tables of a report."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nsbench.metrics.change import Metric
from nsbench.metrics.verdict import Judged
from nsbench.reporting.results import (
    Entry,
    generation_beside,
    headline_changes,
    headlines,
)
from nsbench.reporting.summary import model_row, notes_on_images, suite_columns
from nsbench.reporting.tables import Table
from nsbench.run_folder import generation_folders, is_run, read_variant, variant_folders


@dataclass(frozen=True)
class Ablation:
    """A generation of a run, and the same generation of variants of the run.

    rows: each variant with the settings that it changes.
    """

    base: Entry
    rows: list[tuple[Entry, list[str]]]

    @property
    def models(self) -> list[Entry]:
        """The run's own, and the variants'."""
        return [self.base, *(entry for entry, _ in self.rows)]

    @cached_property
    def changes(self) -> list[dict[str, Judged]]:
        """The changes of these models against the run's own, by suite, judged as one table."""
        return headline_changes(self.base, self.models)

    @property
    def headlines(self) -> dict[str, Metric]:
        """The suites that one of them was evaluated on, and the headline of the first that was."""
        return headlines(self.models)


def ablations(
    paths: Sequence[Path], entries: Sequence[Entry], across: Sequence[str] = ()
) -> list[Ablation]:
    """The evaluated variants in run folders, one ablation for each generation.

    entries: the models of the report, among them the runs' own generations. across: settings in
    which results may differ.
    """
    by_folder: dict[Path, Ablation] = {}
    by_path = {entry.folder: entry for entry in entries if entry.folder}
    for run in filter(is_run, paths):
        for folder in variant_folders(run):
            changed = read_variant(folder)["set"]
            for generation in generation_folders(folder):
                base = by_path.get(run / generation.name)
                # A variant may have more generations than were trained of the run itself so far.
                if base and base.folder:
                    row = generation_beside(generation, base, across), changed
                    by_folder.setdefault(base.folder, Ablation(base, [])).rows.append(row)
    return [
        by_folder[folder]
        for folder in by_path
        if folder in by_folder and _evaluated(by_folder[folder])
    ]


def _evaluated(ablation: Ablation) -> bool:
    return any(entry.scores or entry.outdated for entry, _ in ablation.rows)


def ablation_table(ablation: Ablation) -> Table:
    """A row for each variant: its headline on every suite, with the change against the run's own.

    The data are records as `summary_table` has them, with the variant's name and settings.
    """
    base, names = ablation.base, list(ablation.headlines)
    changes = ablation.changes
    rows, data, notes = [model_row(base, base, names, changes[0])[0]], [], []
    for (entry, changed), judged in zip(ablation.rows, changes[1:], strict=True):
        cells, record = model_row(entry, base, names, judged)
        rows.append(cells)
        assert entry.folder
        variant = entry.folder.parent.name
        notes.append(f"{variant}: {', '.join(changed)}")
        about = {"model": entry.name, "variant": variant}
        data.append({**record, **about, "set": changed, "against": base.name})
    columns = ["variant", *suite_columns(ablation.models, names)]
    notes += notes_on_images(ablation.models)
    title = f"Variants of {base.name}, paired 95% intervals"
    return Table(title, columns, rows, data, notes, models=True)
