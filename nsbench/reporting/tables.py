"""Tables for the terminal, as Markdown for people, as JSON and CSV for programs."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from nsbench.metrics.change import Change, Metric
from nsbench.reporting.results import Entry, change_from, headline, suite_names
from nsbench.suites.reference import PUBLISHED
from nsbench.suites.scores import SuiteScores
from nsbench.util.files import generation_folders, read_json, variant_folders, write_json
from nsbench.util.progress import counted


@dataclass(frozen=True)
class Table:
    """Rows of text under columns, sentences below them, and the same as data.

    prose: the columns hold text to read, not figures to compare. names: the first column holds what
    users type, which must not be broken.
    """

    title: str
    columns: list[str]
    rows: list[list[str]] = field(default_factory=list)
    data: Any = None
    notes: list[str] = field(default_factory=list)
    prose: bool = False
    names: bool = False


def print_table(table: Table, json: Path | None = None) -> None:
    """Print a table on standard output, and write its data if a file is given."""
    print_tables([table])
    if json:
        write_json(json, table.data)


def print_tables(tables: Sequence[Table], json: Path | None = None) -> None:
    """Print tables on standard output, and write their data as one list if a file is given."""
    console = Console()
    for table in tables:
        shown = RichTable(title=table.title, title_justify="left")
        for index, column in enumerate(table.columns):
            side: Any = "right" if index and not table.prose else "left"
            whole = table.names and not index
            shown.add_column(column, justify=side, overflow="fold", no_wrap=whole)
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown, markup=False)
        for note in table.notes:
            console.print(note, markup=False, highlight=False)
    if json:
        write_json(json, [table.data for table in tables])


def markdown_text(tables: Sequence[Table]) -> str:
    """Tables as Markdown (GitHub's), the titles in bold and the notes below."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    below = ["---", *["---:"] * (len(table.columns) - 1)]
    lines = map(_markdown_line, [table.columns, below, *table.rows])
    notes = [f"\n{note}" for note in table.notes]
    return "\n".join([f"**{table.title}**", "", *lines, *notes]) + "\n"


def _markdown_line(cells: Sequence[str]) -> str:
    # a cell is one line, and a bar would end it
    plain = [" ".join(cell.replace("|", "\\|").split()) for cell in cells]
    return f"| {' | '.join(plain)} |"


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Records of the same keys as CSV, a column a key; None is an empty cell, no record no text."""
    if not records:
        return ""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def metric_text(metric: Metric) -> str:
    """`96.1 [94.7, 97.1]`."""
    low, high = metric.interval
    return f"{metric.value:z.1f} [{low:z.1f}, {high:z.1f}]"


def change_text(difference: Change | None) -> str:
    """`+2.3 [+1.0, +3.6]`, empty where there is none; what rounds to zero is `+0.0`."""
    if difference is None:
        return ""
    low, high = difference.interval
    return f"{difference.value:+z.1f} [{low:+z.1f}, {high:+z.1f}]"


def metric_data(metric: Metric) -> dict[str, Any]:
    """A metric as JSON: value, 95% interval, number of images."""
    return {
        "name": metric.name,
        "value": metric.value,
        "interval": list(metric.interval),
        "images": len(metric.scores),
        "higher_is_better": metric.higher_is_better,
    }


def training_table(run: Path) -> Table:
    """The generations of a run and of its variants."""
    folders = [f for one in (run, *variant_folders(run)) for f in generation_folders(one)]
    infos = [read_json(folder / "model.json") for folder in folders]
    variants = [folder.parent.relative_to(run).name for folder in folders]
    names = [f"{v} {info['generation']}".strip() for v, info in zip(variants, infos, strict=True)]
    columns = ["generation", "architecture", "parameters", "steps", "seconds", "validation top-1"]
    rows = [
        [
            name,
            info["arch"],
            f"{info['parameters']:,}",
            f"{info['steps']:,}",
            f"{info['seconds']:.0f}",
            ""
            if info["validation_accuracy"] is None
            else f"{100 * info['validation_accuracy']:.1f}",
        ]
        for name, info in zip(names, infos, strict=True)
    ]
    return Table(f"{run}", columns, rows, infos)


def evaluation_tables(evaluated: Sequence[SuiteScores]) -> list[Table]:
    """One table a suite, with a row for each model."""
    by_suite: dict[str, list[SuiteScores]] = {}
    for scores in evaluated:
        by_suite.setdefault(scores.suite.name, []).append(scores)
    return [_suite_table(name, scores) for name, scores in by_suite.items()]


def evaluation_records(evaluated: Sequence[SuiteScores]) -> list[dict[str, Any]]:
    """A flat record for each metric of each suite and model, for CSV."""
    return [
        {
            "suite": scores.suite.name,
            "model": scores.model,
            "metric": metric.name,
            "value": metric.value,
            "low": metric.interval.low,
            "high": metric.interval.high,
            "images": len(metric.scores),
            "unreadable": len(scores.manifest.get("unreadable", {})),
            "chosen": scores.manifest.get("chosen"),
            "reference": scores.reference,
        }
        for scores in evaluated
        for metric in scores.metrics.values()
    ]


def estimate_table(rows: Sequence[dict[str, Any]]) -> Table:
    """What an evaluation would take, a row for each suite and model, and the sum."""
    columns = ["suite", "model", "cells", "images", "forward passes", "time", "disk"]
    cells = [
        [
            row["suite"],
            row["model"],
            f"{row['cells']} of {row['of_cells']}",
            f"{row['images']:,}",
            f"{row['forward_passes']:,}",
            duration(row["seconds"]),
            size_text(row["bytes"]),
        ]
        for row in rows
    ]
    passes, seconds, size = (
        sum(row[key] for row in rows) for key in ("forward_passes", "seconds", "bytes")
    )
    cells.append(["all", "", "", "", f"{passes:,}", duration(seconds), size_text(size)])
    # decoded once for all models
    decoded = max((row["decoded_bytes"] for row in rows), default=0)
    note = f"Decoded images take about {size_text(decoded)} meanwhile; the time is an estimate."
    return Table("dry run", columns, cells, list(rows), notes=[note])


def size_text(count: float) -> str:
    """`1.2 GB`."""
    return _scaled(count, ("B", "KB", "MB", "GB", "TB"))


def count_text(count: float) -> str:
    """`1.2 M`; `512` as it is."""
    return _scaled(count, ("", "K", "M", "G", "T")).rstrip()


def _scaled(count: float, units: Sequence[str]) -> str:
    power = min(len(str(int(count))) - 1, 3 * len(units) - 1) // 3
    return f"{count / 1000**power:.3g} {units[power]}"


def duration(seconds: float) -> str:
    """`35 s`, `4 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _suite_table(name: str, scores: list[SuiteScores]) -> Table:
    # the headline of an attack suite is one of its epsilons, which need not stand twice
    metrics = {metric.name: key for s in scores for key, metric in s.metrics.items()}
    rows = [
        [s.model, *(metric_text(s.metrics[key]) for key in metrics.values()), *_calibration(s)]
        for s in scores
    ]
    table = [["", *metrics, *scores[0].tables.get("calibration", {})], *rows]
    if len(table[0]) > 5:
        table = [list(column) for column in zip(*table, strict=True)]
    data = {
        "suite": name,
        "reference": scores[0].reference,
        "images": scores[0].manifest["images"],
        "chosen": scores[0].manifest.get("chosen"),
        "unreadable": scores[0].manifest.get("unreadable", {}),
        "models": {
            s.model: {
                "metrics": {key: metric_data(metric) for key, metric in s.metrics.items()},
                "tables": s.tables,
            }
            for s in scores
        },
    }
    return Table(
        f"{name} (%, with 95% intervals)", table[0], table[1:], data, notes=_image_notes(scores[0])
    )


def _image_notes(scores: SuiteScores) -> list[str]:
    """What a reader must know of the images that were counted."""
    manifest, notes = scores.manifest, []
    if (manifest["reference"] or {}).get("protocol") == PUBLISHED:
        made = manifest["identity"]["generator"]
        if not made.startswith("the files "):
            notes.append(f"Images by {made}, not the released files that {scores.reference} saw.")
    if manifest.get("chosen"):
        notes.append(f"{manifest['images']:,} images, chosen by {manifest['chosen']}.")
    if manifest.get("unreadable"):
        lost = sorted(manifest["unreadable"])
        notes.append(
            f"{counted(len(lost), 'image')} cannot be read, which counts as errors: "
            f"{', '.join(lost[:5])}" + (" …" if len(lost) > 5 else ".")
        )
    return notes


def _calibration(scores: SuiteScores) -> list[str]:
    return [f"{row[0]:.1f}" for row in scores.tables.get("calibration", {}).values()]


def summary_table(entries: Sequence[Entry]) -> Table:
    """A row for each model: its headline on every suite, with the change against the first."""
    names = suite_names(entries)
    base = entries[0]
    found = [model_row(entry, base, names) for entry in entries]
    rows, data = [cells for cells, _ in found], [record for _, record in found]
    columns = ["model", *suite_columns(entries, names)]
    return Table(f"Change against {base.name}, paired 95% intervals", columns, rows, data)


def suite_columns(entries: Sequence[Entry], names: Sequence[str]) -> list[str]:
    """The heads of the suites' columns: name and headline."""
    titles = {name: headline(e.scores[name]).name for e in entries for name in e.scores}
    return [f"{name}\n{titles[name]}" for name in names]


def model_row(entry: Entry, base: Entry, names: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """A model's cells, its name and a suite each, with the changes against `base`; and as data."""
    cells, found = [entry.name], {}
    for name in names:
        if name not in entry.scores:
            outdated = name in entry.outdated
            cells.append("another version" if outdated else "not evaluated")
            continue
        metric = headline(entry.scores[name])
        key = next(iter(entry.scores[name].metrics))
        difference = change_from(base, entry, name, key)
        cells.append(f"{metric.name}\n{metric_text(metric)}\n{change_text(difference)}".rstrip())
        found[name] = _suite_data(entry.scores[name], base, entry, name)
    return cells, {"model": entry.name, "info": _plain(entry), "suites": found}


def _plain(entry: Entry) -> dict[str, Any]:
    keys = ("generation", "arch", "parameters", "seconds")
    return {key: entry.info[key] for key in keys if key in entry.info}


def _suite_data(scores: SuiteScores, base: Entry, entry: Entry, name: str) -> dict[str, Any]:
    result = {}
    for key, metric in scores.metrics.items():
        difference = change_from(base, entry, name, key)
        result[key] = metric_data(metric)
        if difference:
            result[key]["change"] = {
                "value": difference.value,
                "interval": list(difference.interval),
                "better": difference.better,
                "excludes_zero": difference.sure,
            }
    return result


def reference_table(content: dict[str, Any]) -> Table:
    """What a reference file holds."""
    rows = []
    for name, entry in content["suites"].items():
        if "misclassified" in entry:
            rows.append([name, "misclassified images", str(len(entry["misclassified"]))])
        for part, values in entry.get("errors", {}).items():
            rows.append([name, part, " ".join(f"{100 * value:.1f}" for value in values)])
        for part, value in entry.get("flip_probability", {}).items():
            text = f"FP {100 * value:.2f}, T5D {entry['top5_distance'][part]:.3f}"
            rows.append([name, part, text])
    return Table(f"reference {content['model']} (%)", ["suite", "cell", "value"], rows, content)


def bench_table(result: dict[str, Any]) -> Table:
    """The figures of a benchmark, one a row."""
    rows = [[key, f"{value:,.2f}"] for key, value in result.items() if isinstance(value, float)]
    return Table("bench", ["figure", "value"], rows, result)


def corruptions_table(result: dict[str, Any]) -> Table:
    """A benchmark of corruptions: images a second, and the ratio to the package by severity."""
    rows = []
    for name, ratio in result["ratios"].items():
        cells = [cell for cell in result["cells"] if cell["corruption"] == name]
        taken = [
            len(cells) / sum(1 / cell[f"{side}_images_per_second"] for cell in cells)
            for side in ("nsbench", "imagecorruptions")
        ]
        each = [f"{cell['ratio']:.1f}" for cell in cells]
        rows.append([name, *(f"{speed:,.0f}" for speed in taken), f"{ratio:.2f}", *each])
    severities = [str(severity) for severity in range(1, 6)]
    columns = ["images/s", "nsbench", "package", "ratio", *severities]
    return Table("nsbench beside imagecorruptions", columns, rows, result)


def made_table(summary: dict[str, Any]) -> Table:
    """What a `nsbench make` command found and wrote, one figure a row."""
    figures = {**summary, "seconds": f"{summary['seconds']:.1f}"}
    rows = [[key, str(value)] for key, value in figures.items()]
    return Table("made", ["figure", "value"], rows, summary)
