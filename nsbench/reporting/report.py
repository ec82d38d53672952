"""One self-contained HTML file from the stored predictions: no network, no model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, select_autoescape

from nsbench.metrics.verdict import RULE
from nsbench.reporting import figures
from nsbench.reporting.ablations import ablation_table, ablations
from nsbench.reporting.controls import WHAT, controls, controls_table
from nsbench.reporting.labels import COLUMNS, FEW, cell_text, class_records, labels_svg
from nsbench.reporting.order import arranged
from nsbench.reporting.places import model_places
from nsbench.reporting.results import (
    Entry,
    collect,
    headline,
    headline_changes,
    suite_names,
    suites_by_kind,
)
from nsbench.reporting.score_tables import change_text, metric_text
from nsbench.reporting.seed_tables import ONE_SEED, seeds_tables
from nsbench.reporting.seeds import collect_seeds
from nsbench.reporting.summary import summary_table
from nsbench.reporting.tables import Table
from nsbench.run_folder import (
    is_run,
    is_seeds,
    read_seeds,
    recipe_text,
    seed_folder,
    seed_runs,
)
from nsbench.util.arguments import checked
from nsbench.util.config import first_difference
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_text
from nsbench.util.progress import counted, say
from nsbench.util.provenance import environment
from nsbench.util.sealed import read_record, sealed_lines


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
) -> list[Table]:
    """Write the HTML report of run folders or folders of results, or of folders that hold some.

    A folder of seeds, which has a report of its own, begins with its models over all seeds.

    across: settings in which results that stand in one column may differ: `precision`, `tf32`,
    `memory_format`, `device`, `compiled`, `subset`. Otherwise results unlike those of most models
    are left out, which the report says.
    title: of the page. names: what to call models, by the names that they have. base: the model
    that others are compared with, by default the first. sort: a suite or a metric by which the
    others are ordered, the best first.
    Returns its summary, a table for each generation that has controls, and one for each that
    variants of a run have too; of seeds the tables over seeds.

    Raises NsbenchError where nothing was evaluated or a prediction file is broken, and for seeds of
    two recipes.
    """
    named = [Path(run) for run in ([runs] if isinstance(runs, str | Path) else runs)]
    paths = model_places(named)
    if homes := [path for path in paths if is_seeds(path)]:
        if title or names or base or sort:
            raise NsbenchError(
                f"{homes[0]} holds several seeds, whose report takes no title, names, base or sort"
            )
        return _write_seeds(_only(homes, paths), Path(out), across)
    entries = arranged(collect(paths, across), names or {}, base, sort)
    beside = ablations(paths, entries, across)
    controlled = controls(paths, entries, across)
    changes = headline_changes(entries[0], entries)
    one_seed = ONE_SEED if any(entry.folder for entry in entries) else ""
    content = {
        **_content(paths, entries),
        "title": title or " and ".join(path.resolve().name for path in named),
        "changes": changes,
        "controls": controlled,
        "what": WHAT,
        "ablations": beside,
        "one_seed": one_seed,
    }
    write_text(Path(out), _environment().get_template("report.html").render(content))
    summary = summary_table(entries, changes)
    summary.notes.extend([one_seed] if one_seed else [])
    return [summary, *map(controls_table, controlled), *map(ablation_table, beside)]


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


def _write_seeds(home: Path, out: Path, across: Sequence[str]) -> list[Table]:
    """Write the report of a folder of seeds, and return its tables over seeds."""
    runs = collect_seeds(home, across)
    tables = seeds_tables(runs)
    each = [
        (f"seed {seed}", _tables_of(seed_folder(home, seed), runs.entries(seed), across))
        for seed in runs.seeds
    ]
    content = {
        "title": home.resolve().name,
        "name": read_seeds(home)["name"],
        "seeds": runs.seeds,
        "tables": tables,
        "each": [(name, own) for name, own in each if own],
        "verdicts": ("better", "worse", "undecided"),
        "runs": [_run(path) for path in seed_runs(home)],
        "made": environment("none"),
    }
    write_text(out, _environment().get_template("seeds.html").render(content))
    return tables


def _tables_of(run: Path, entries: Sequence[Entry], across: Sequence[str]) -> list[Table]:
    """The tables of one seed's run, whose intervals are over images; none without results."""
    if not any(entry.scores for entry in entries):
        return []
    summary = summary_table(entries, headline_changes(entries[0], entries))
    beside = controls([run], entries, across)
    variants = ablations([run], entries, across)
    return [summary, *map(controls_table, beside), *map(ablation_table, variants)]


def _environment() -> Environment:
    loader = PackageLoader("nsbench.reporting")
    made = Environment(
        loader=loader, autoescape=select_autoescape(), trim_blocks=True, lstrip_blocks=True
    )
    made.filters.update(counted=counted, metric=metric_text, change=change_text, cell=cell_text)
    return made


def _content(paths: list[Path], entries: list[Entry]) -> dict[str, Any]:
    base = entries[0]
    return {
        "entries": entries,
        "base": base,
        "suites": suite_names(entries),
        "descriptions": _first(entries, "suite"),
        "manifests": _first(entries, "manifest"),
        "references": _first(entries, "reference"),
        "metrics": _first(entries, "metrics"),
        "calibration": {n: t.get("calibration", {}) for n, t in _first(entries, "tables").items()},
        "headline": headline,
        "rule": RULE,
        "kinds": suites_by_kind(entries),
        "figures": figures,
        "logs": _logs(entries),
        "pseudo_labels": _pseudo_labels(entries),
        "columns": COLUMNS,
        "few": FEW,
        "runs": [_run(path) for path in paths if is_run(path)],
        "made": environment("none"),  # a report needs no device
    }


def _first(entries: list[Entry], attribute: str) -> dict[str, Any]:
    """An attribute of each suite's scores, from the first model that has them."""
    return {
        name: getattr(scores, attribute)
        # The first model is written last, and so wins.
        for entry in reversed(entries)
        for name, scores in entry.scores.items()
    }


def _logs(entries: list[Entry]) -> dict[str, list[dict[str, float]]]:
    logs = {}
    for entry in entries:
        path = entry.folder / "training.jsonl" if entry.folder else None
        if path and path.is_file():
            rows, damaged = sealed_lines(path, {"generation": entry.info["generation"]})
            if damaged:
                say(f"{path}: {counted(damaged, 'line')} cannot be trusted, and left out")
            logs[entry.name] = rows
    return logs


def _pseudo_labels(entries: list[Entry]) -> list[dict[str, Any]]:
    sections = []
    for number, entry in enumerate(entries):
        path = entry.folder / "selection.json" if entry.folder else None
        if path and path.is_file():
            summary = read_record(path, "train the generation again")
            # The number keeps the ids of two runs of one name apart.
            figure = labels_svg(f"{entry.name} {number}", summary)
            records = class_records(summary)
            about = {"name": entry.name, "summary": summary}
            sections.append({**about, "figure": figure, "records": records})
    return sections


def _run(path: Path) -> dict[str, Any]:
    provenance = path / "provenance.json"
    way_out = f"repeat the nsbench train that made {path}"
    return {
        "path": path.resolve().name,
        "recipe": recipe_text(path),
        "provenance": read_record(provenance, way_out) if provenance.is_file() else None,
    }
