"""All that a report says of models, whatever form it is written in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nsbench.metrics.verdict import RULE
from nsbench.reporting.ablations import Ablation, ablation_table, ablations
from nsbench.reporting.controls import Controls, control_models, controls, controls_table
from nsbench.reporting.figures.drawn import MOST, Drawn
from nsbench.reporting.figures.shift import shift_figures
from nsbench.reporting.figures.training import training_figure
from nsbench.reporting.gains import Step, sentences, steps_of
from nsbench.reporting.gallery import Gallery
from nsbench.reporting.grid import Grid, changes_grid, every_metric
from nsbench.reporting.labels import LabelsSection, label_sections
from nsbench.reporting.layout import shared_prefix
from nsbench.reporting.lineage import Link, lineage
from nsbench.reporting.results import Entry, headline_changes, suite_names
from nsbench.reporting.sections import Section, sections
from nsbench.reporting.seed_texts import ONE_SEED
from nsbench.reporting.standing import published_group, standing
from nsbench.reporting.summary import notes_on_images, summary_table
from nsbench.reporting.tables import Table
from nsbench.reporting.trust import choices_table, commands, runs_table
from nsbench.run_folder import is_run, recipe_text
from nsbench.util.progress import counted, say
from nsbench.util.provenance import environment
from nsbench.util.sealed import read_record, sealed_lines


@dataclass(frozen=True)
class Contents:
    """A report of the models of one or several runs.

    answers: a sentence for each step. notes: what is left out, and what intervals leave out.
    terminal: the tables that are printed. runs: name, recipe and provenance of each run.
    """

    title: str
    entries: list[Entry]
    steps: list[Step]
    answers: list[str]
    links: list[Link]
    changes: Grid
    metrics: Grid
    controls: list[Controls]
    ablations: list[Ablation]
    sections: list[Section]
    shift: list[Drawn]
    labels: list[LabelsSection]
    training: list[Drawn]
    choices: Table
    evaluations: Table
    runs: list[dict[str, Any]]
    commands: list[str]
    notes: list[str]
    terminal: list[Table]
    standing: list[Table]
    gallery: Gallery | None = None
    remarks: Sequence[str] = ()
    made: dict[str, Any] = field(default_factory=lambda: environment("none"))  # needs no device

    @property
    def beside(self) -> list[Entry]:
        """The controls."""
        return [entry for entry, _ in control_models(self.controls)]

    @property
    def beside_tables(self) -> list[Table]:
        """The tables of controls and variants, which follow the summary."""
        return self.terminal[1:]

    @property
    def prefix(self) -> str:
        """What the names of all models, controls too, begin with; it may be left out."""
        return shared_prefix([entry.name for entry in (*self.entries, *self.beside)])

    @property
    def suites(self) -> list[str]:
        """The names of the suites, the plainest first."""
        return suite_names(self.entries)

    @property
    def figures(self) -> list[Drawn]:
        """Every figure, in the order of the page."""
        of_suites = [figure for section in self.sections for figure in section.figures]
        labels = [section.figure for section in self.labels]
        return [*of_suites, *self.shift, *self.training, *labels]


def contents(
    paths: Sequence[Path],
    entries: list[Entry],
    title: str,
    across: Sequence[str] = (),
    gallery: Gallery | None = None,
) -> Contents:
    """Everything that a report of these models says.

    paths: of the run folders and folders of results that they come from. across: settings in which
    results may differ. gallery: its pictures, if there are any.
    """
    changes = headline_changes(entries[0], entries)
    beside, variants = controls(paths, entries, across), ablations(paths, entries, across)
    steps = steps_of(entries, changes, beside)
    logs, runs = _logs(entries), [run_about(path) for path in paths if is_run(path)]
    notes = _notes(entries)
    metrics = every_metric(entries, beside)
    metrics.groups.extend(published_group(entries, metrics.columns))
    summary = summary_table(entries, changes)
    summary.notes.extend(notes[: notes.count(ONE_SEED)])
    controlled = [entry for entry, _ in control_models(beside)]
    return Contents(
        title=title,
        entries=entries,
        steps=steps,
        answers=sentences(steps, entries),
        links=lineage(entries, steps, beside),
        changes=changes_grid(steps, entries, RULE),
        metrics=metrics,
        controls=beside,
        ablations=variants,
        sections=sections(entries),
        shift=shift_figures([*entries, *controlled]),
        labels=label_sections(entries),
        training=[training_figure(logs)] if logs else [],
        choices=choices_table(entries),
        evaluations=runs_table(entries),
        runs=runs,
        commands=commands(paths, entries, {run["path"]: run["provenance"] for run in runs}),
        notes=notes,
        standing=standing(entries),
        gallery=gallery,
        terminal=[summary, *map(controls_table, beside), *map(ablation_table, variants)],
    )


def _notes(entries: Sequence[Entry]) -> list[str]:
    """Sentences on what the numbers leave out."""
    notes = [ONE_SEED] if any(entry.folder for entry in entries) else []
    if len(entries) > MOST:
        notes.append(
            f"Figures show {MOST} of {counted(len(entries), 'model')}, the first ones and the "
            "last; tables show all."
        )
    notes += notes_on_images(entries)
    return [*notes, *(sentence for entry in entries for sentence in entry.notes)]


def _logs(entries: Sequence[Entry]) -> dict[str, list[dict[str, float | None]]]:
    logs: dict[str, list[dict[str, float | None]]] = {}
    for entry in entries:
        path = entry.folder / "training.jsonl" if entry.folder else None
        # A panel each, of which a page has room for some.
        if path and path.is_file() and len(logs) < MOST:
            rows, damaged = sealed_lines(path, {"generation": entry.info["generation"]})
            if damaged:
                say(f"{path}: {counted(damaged, 'line')} cannot be trusted, and left out")
            logs[entry.name] = rows
    return logs


def run_about(path: Path) -> dict[str, Any]:
    """The name of a run folder, its recipe as TOML, and its provenance where it has one."""
    provenance = path / "provenance.json"
    way_out = f"repeat the nsbench train that made {path}"
    return {
        "path": path.resolve().name,
        "recipe": recipe_text(path),
        "provenance": read_record(provenance, way_out) if provenance.is_file() else None,
    }
