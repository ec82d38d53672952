"""Metrics and changes as tables: what `nsbench eval`, `report` and `reference` print."""

from collections.abc import Iterable, Sequence
from typing import Any

from nsbench.metrics.change import Change, Metric
from nsbench.reporting.ends import ends_text
from nsbench.reporting.tables import Table
from nsbench.suites.base import SuiteScores
from nsbench.suites.reference import PUBLISHED
from nsbench.util.progress import counted


def metric_text(metric: Metric) -> str:
    """`96.1 [94.7, 97.1]`; z in the format, so that what rounds to zero has no minus sign."""
    low, high = metric.interval
    return f"{metric.value:z.1f} [{low:z.1f}, {high:z.1f}]"


def metric_head(metric: Metric) -> str:
    """`mCE ↓`: its name, and the direction that is better."""
    return f"{metric.name} {'↑' if metric.higher_is_better else '↓'}"


def change_text(difference: Change | None) -> str:
    """`+2.3 [+1.0, +3.6]`, empty where there is none; what rounds to zero is `+0.0`."""
    if difference is None:
        return ""
    return f"{difference.value:+z.1f} {ends_text(*difference.interval)}"


def metric_data(metric: Metric) -> dict[str, Any]:
    """A metric as JSON: value, 95% interval, number of images."""
    return {
        "name": metric.name,
        "value": metric.value,
        "interval": list(metric.interval),
        "images": len(metric.scores),
        "higher_is_better": metric.higher_is_better,
    }


def evaluation_tables(evaluated: Sequence[SuiteScores]) -> list[Table]:
    """One table a suite, with a row for each model, in their order."""
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


def _suite_table(name: str, scores: list[SuiteScores]) -> Table:
    # By displayed name: the headline of an attack suite is one of its epsilons, and is shown once.
    metrics = {metric.name: key for s in scores for key, metric in s.metrics.items()}
    rows = [
        [s.model, *(metric_text(s.metrics[key]) for key in metrics.values()), *_calibration(s)]
        for s in scores
    ]
    columns = ["model", *metrics, *scores[0].tables.get("calibration", {})]
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
    title = f"{name} (%, with 95% intervals)"
    return Table(title, columns, rows, data, notes=_image_notes(scores[0]), models=True)


def _image_notes(scores: SuiteScores) -> list[str]:
    """Sentences on the images: by another generator, only some of them, or unreadable ones."""
    manifest, notes = scores.manifest, part_notes([scores])
    if (manifest["reference"] or {}).get("protocol") == PUBLISHED:
        made = manifest["identity"]["generator"]
        if not made.startswith("the files "):
            notes.append(f"Images by {made}, not the released files that {scores.reference} saw.")
    if manifest.get("chosen"):
        notes.append(f"{manifest['images']:,} images, chosen by {manifest['chosen']}.")
    if manifest.get("unreadable"):
        unreadable = sorted(manifest["unreadable"])
        notes.append(
            f"{counted(len(unreadable), 'image')} cannot be read, which counts as errors: "
            f"{', '.join(unreadable[:5])}" + (" …" if len(unreadable) > 5 else ".")
        )
    return notes


def part_notes(scores: Iterable[SuiteScores]) -> list[str]:
    """What `(6 of 15)` is, where the relative mCE of a suite has it in its name."""
    named = (one.metrics.get("relative_mce") for one in scores)
    found = {metric.name for metric in named if metric and "(" in metric.name}
    return [
        f"{name}: over the corruptions that raise the reference's own error enough to divide by it."
        for name in sorted(found)
    ]


def _calibration(scores: SuiteScores) -> list[str]:
    return [f"{row[0]:.1f}" for row in scores.tables.get("calibration", {}).values()]


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
