"""One self-contained HTML file from the stored predictions: no network, no model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nsbench.reporting.ablations import ablation_table, ablations
from nsbench.reporting.claims_tables import claims_tables
from nsbench.reporting.contents import contents, run_about
from nsbench.reporting.controls import controls, controls_table
from nsbench.reporting.figures.seeds import seeds_figures
from nsbench.reporting.formats import (
    FIGURES,
    HTML,
    check_formats,
    place,
    write_figures,
    write_formats,
)
from nsbench.reporting.gallery import Gallery
from nsbench.reporting.layout import shared_prefix
from nsbench.reporting.order import arranged, sorted_column
from nsbench.reporting.page import page_environment
from nsbench.reporting.places import model_places
from nsbench.reporting.results import Entry, collect, headline_changes
from nsbench.reporting.seed_models import models_table, suites_table
from nsbench.reporting.seed_parts import parts_tables
from nsbench.reporting.seed_tables import seeds_answers, seeds_tables
from nsbench.reporting.seeds import collect_seeds, entries_of
from nsbench.reporting.seeds_formats import SEEDS_TEXTS
from nsbench.reporting.summary import summary_table
from nsbench.reporting.tables import Table
from nsbench.reporting.trust import choices_table, commands, runs_table, trainings_table
from nsbench.run_folder import is_seeds, read_seeds, seed_folder, seed_runs
from nsbench.util.arguments import checked
from nsbench.util.config import first_difference
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_text
from nsbench.util.provenance import environment


@checked
def write_report(
    runs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    across: Sequence[str] = (),
    title: str | None = None,
    names: Mapping[str, str] | None = None,
    base: str | None = None,
    sort: str | None = None,
    formats: Sequence[str] = (HTML,),
    pictures: Callable[[Sequence[Entry]], Gallery | None] | None = None,
    remarks: Sequence[str] = (),
) -> list[Table]:
    """Write the HTML report of run folders or folders of results, or of folders that hold some.

    A folder of seeds, which has a report of its own, begins with its models over all seeds.

    across: settings in which results that stand in one column may differ: `precision`, `tf32`,
    `memory_format`, `device`, `compiled`, `subset`. Otherwise results unlike those of most models
    are left out, which the report says.
    title: of the page. names: what to call models, by the names that they have. base: the model
    that others are compared with, by default the first. sort: a suite or a metric by which the
    others are ordered, the best first.
    formats: of `html`, `md`, `csv`, `json`, `latex` (for the package booktabs) and `pdf-figures`
    (each figure as PDF and PNG); the files stand beside `out`, with other endings.
    pictures: makes those of the page from its models; see `nsbench.evaluation.gallery`.
    remarks: paragraphs of plain text, which the page shows below its answers.
    Returns its summary, a table for each generation that has controls, and one for each that
    variants of a run have too; of seeds the tables over seeds.

    Raises NsbenchError where nothing was evaluated or a prediction file is broken, and for seeds of
    two recipes.
    """
    check_formats(formats)  # before anything is read, which may take long
    named = [Path(run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    paths = model_places(named)
    if homes := [path for path in paths if is_seeds(path)]:
        if title or names or base or sort or pictures:
            raise NsbenchError(
                f"{homes[0]} holds several seeds, whose report takes no title, names, base, sort "
                "or pictures: report one seed"
            )
        return _write_seeds(_only(homes, paths), Path(out), across, formats, remarks)
    entries = arranged(collect(paths, across), names or {}, base, sort)
    name = title or " and ".join(path.resolve().name for path in named)
    gallery = pictures(entries) if pictures else None
    report = replace(contents(paths, entries, name, across, gallery), remarks=remarks)
    write_formats(report, Path(out), formats)
    summary, *others = report.terminal
    # What the models are sorted by stays in sight, however narrow the terminal is.
    return [replace(summary, keep=sorted_column(summary.columns, entries, sort)), *others]


def _only(homes: Sequence[Path], paths: Sequence[Path]) -> Path:
    """The one folder of seeds of a report. Raises NsbenchError if there is anything beside it."""
    recipes = [read_seeds(home) for home in homes]
    for home, record in zip(homes, recipes, strict=True):
        if changed := first_difference(recipes[0]["recipe"], record["recipe"]):
            raise NsbenchError(
                f"{homes[0]} and {home} hold seeds of two recipes ({changed}), which cannot be "
                "pooled: report each by itself, or use nsbench compare"
            )
    if len(paths) > 1:
        raise NsbenchError(
            f"{homes[0]} holds several seeds, whose report has no other models: report it by itself"
        )
    return homes[0]


def _write_seeds(
    home: Path, out: Path, across: Sequence[str], formats: Sequence[str], remarks: Sequence[str]
) -> list[Table]:
    """Write the report of a folder of seeds, and return its tables over seeds."""
    runs = collect_seeds(home, across)
    tables = seeds_tables(runs)
    claims = claims_tables(runs)
    every = entries_of(runs.models)
    figures = seeds_figures(runs) if {HTML, FIGURES} & {*formats} else []
    for form in dict.fromkeys(formats):
        if form in SEEDS_TEXTS:
            write_text(place(form, out), SEEDS_TEXTS[form](runs))
        elif form == FIGURES:
            write_figures(figures, place(form, out))
    if HTML not in formats:
        return [*tables, *claims[:1]]
    each = [
        (f"seed {seed}", _tables_of(seed_folder(home, seed), runs.entries(seed), across))
        for seed in runs.seeds
    ]
    prefix = shared_prefix([model.name for model in runs.models])
    content = {
        "title": home.resolve().name,
        "prefix": prefix,
        "name": read_seeds(home)["name"],
        "seeds": runs.seeds,
        "remarks": remarks,
        "models": models_table(runs),
        "suites": suites_table(runs),
        "tables": tables,
        "claims": claims,
        "parts": parts_tables(runs),
        "each": [(name, own) for name, own in each if own],
        "answers": seeds_answers(runs),
        "figures": figures,
        "runs": [run_about(path) for path in seed_runs(home)],
        "choices": choices_table(every),
        "trainings": trainings_table(every),
        "evaluations": runs_table(every),
        "commands": commands([home.resolve()], every, {}),
        "made": environment("none"),
    }
    write_text(out, page_environment(prefix).get_template("seeds.html").render(content))
    return [*tables, *claims[:1]]


def _tables_of(run: Path, entries: Sequence[Entry], across: Sequence[str]) -> list[Table]:
    """The tables of one seed's run, whose intervals are over images; none without results."""
    if not any(entry.scores for entry in entries):
        return []
    summary = summary_table(entries, headline_changes(entries[0], entries))
    beside = controls([run], entries, across)
    variants = ablations([run], entries, across)
    return [summary, *map(controls_table, beside), *map(ablation_table, variants)]
