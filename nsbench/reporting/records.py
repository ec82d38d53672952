"""A report as flat records, for programs: every metric, every cell and every change."""

from collections.abc import Iterator, Sequence
from typing import Any

from nsbench.reporting.controls import Controls, control_models
from nsbench.reporting.gains import Step
from nsbench.reporting.results import Entry, headline
from nsbench.reporting.subsets import chosen_of_both

COLUMNS = (
    "kind", "model", "control", "suite", "metric", "name", "cell", "against", "value", "low",
    "high", "p_adjusted", "verdict", "images", "higher_is_better", "chosen",
)  # fmt: skip
"""Of the CSV. kind: `metric`, of a whole suite; `cell`, such as `fog/3`; or `change`, in points.
metric: a key that stays as it is from version to version; name: what tables call it. value, low,
high: in percent, with the 95% interval over images. chosen: what chose these, as `--limit 10`."""


def report_records(
    entries: Sequence[Entry], controlled: Sequence[Controls], steps: Sequence[Step]
) -> list[dict[str, Any]]:
    """All records of a report, each with all of `COLUMNS`."""
    found: list[dict[str, Any]] = []
    for entry, kind in [*((entry, None) for entry in entries), *control_models(controlled)]:
        about = {"model": entry.name, "control": kind}
        found += [about | record for record in _metrics(entry)]
    found += [record for step in steps for record in _changes(step)]
    return [{key: record.get(key) for key in COLUMNS} for record in found]


def _metrics(entry: Entry) -> Iterator[dict[str, Any]]:
    for suite, scores in entry.scores.items():
        images, chosen = scores.manifest["images"], scores.manifest.get("chosen")
        for key, metric in scores.metrics.items():
            yield {
                "kind": "metric",
                "suite": suite,
                "metric": key,
                "name": metric.name,
                "value": metric.value,
                "low": metric.interval.low,
                "high": metric.interval.high,
                "images": len(metric.scores),
                "higher_is_better": metric.higher_is_better,
                "chosen": chosen,
            }
        measured = scores.suite.cell_metric
        for cell, (value, low, high) in scores.suite.cell_values(scores).items():
            about = {"kind": "cell", "suite": suite, "metric": measured, "cell": cell}
            yield about | {
                "value": value, "low": low, "high": high, "images": images, "chosen": chosen,
            }  # fmt: skip


def _changes(step: Step) -> Iterator[dict[str, Any]]:
    for suite, judged in step.changes.items():
        scores, change = step.entry.scores[suite], judged.change
        metric = headline(scores)
        yield {
            "kind": "change",
            "model": step.entry.name,
            "against": step.base.name,
            "suite": suite,
            "metric": next(iter(scores.metrics)),
            "name": metric.name,
            "value": change.value,
            "low": change.interval.low,
            "high": change.interval.high,
            "p_adjusted": judged.adjusted_p,
            "verdict": judged.verdict,
            "images": change.images,
            "higher_is_better": metric.higher_is_better,
            "chosen": chosen_of_both(step.base.scores[suite], scores),
        }
