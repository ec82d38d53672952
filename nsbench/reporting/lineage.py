"""Where each model of a run comes from: its teacher, the labels, its training, what it gained."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nsbench.metrics.verdict import Judged
from nsbench.reporting.controls import Controls
from nsbench.reporting.gains import Step, teacher_of
from nsbench.reporting.labels import SUMMARY, Facts, label_facts
from nsbench.reporting.results import Entry, headline
from nsbench.reporting.score_tables import change_text
from nsbench.reporting.tables import count_text, duration
from nsbench.reporting.trust import trained_on
from nsbench.run_folder import architecture
from nsbench.util.sealed import read_record


@dataclass(frozen=True)
class Link:
    """One generation of a lineage, or a control beside it.

    role: who taught it, or what it is a control of. labels: of the images that it labeled,
    None without. facts: of the model and its training. gains: for each suite its headline, its
    change against the teacher, and the verdict.
    """

    entry: Entry
    role: str
    facts: Facts
    labels: Facts = field(default_factory=list)
    gains: list[tuple[str, str, str, str]] = field(default_factory=list)


def lineage(
    entries: Sequence[Entry], steps: Sequence[Step], controlled: Sequence[Controls]
) -> list[Link]:
    """The generations among the models, in order, then their controls."""
    links = []
    for entry in entries:
        if entry.folder is None:
            continue
        teacher = teacher_of(entry, entries)
        against = next((s for s in steps if s.entry is entry and s.base is teacher), None)
        name = teacher.name if teacher else ""
        if not name and entry.info.get("teacher_weights"):
            name = f"weights {entry.info['teacher_weights'][:12]}"
        gains = _gains(entry, against.changes if against else {})
        role = f"taught by {name}" if name else "trained on labeled images"
        links.append(Link(entry, role, _facts(entry.info), _labels(entry), gains))
    return [*links, *_controls(controlled)]


def _controls(controlled: Sequence[Controls]) -> Iterator[Link]:
    for beside in controlled:
        for entry, kind in beside.rows:
            role = f"{kind}, a control of {beside.student.name}"
            yield Link(entry, role, _facts(entry.info))


def _gains(entry: Entry, changes: dict[str, Judged]) -> list[tuple[str, str, str, str]]:
    return [
        (
            f"{headline(entry.scores[suite]).name} on {suite}",
            suite,
            change_text(j.change),
            j.verdict,
        )
        for suite, j in changes.items()
    ]


def _facts(info: dict[str, Any]) -> Facts:
    size = info.get("preprocessing", {}).get("image_size")
    generation = info.get("identity", {}).get("generation") or {}
    facts = {
        "architecture": architecture(info),
        "input": f"{size} px" if size else "",
        "parameters": count_text(info["parameters"]) if "parameters" in info else "",
        "noise": noise_text(generation, info.get("noise", {})),
        "steps": f"{info['steps']:,}" if info.get("steps") else "",
        "labeled": f"{info['labeled_images']:,} images" if info.get("labeled_images") else "",
        "trained in": duration(info["seconds"]) if "seconds" in info else "",
        "trained on": trained_on(info),
        "hash": f"{info.get('weights', '')[:12]}",
    }
    return [(term, text) for term, text in facts.items() if text]


def noise_text(generation: dict[str, Any], noise: dict[str, Any]) -> str:
    """`RandAugment paper-m5-n1, dropout 0.1, stochastic depth 0.1`, or `none`.

    generation: keys of the recipe. noise: dropout and stochastic depth of the model.
    """
    policy = generation.get("randaugment")
    parts = [f"RandAugment {policy}"] if policy else []
    for key, name in (("dropout", "dropout"), ("drop_path", "stochastic depth")):
        value = noise.get(key, generation.get(key))
        parts += [f"{name} {value:g}"] if value else []
    return ", ".join(parts) or "none"


def _labels(entry: Entry) -> Facts:
    """What became of the images that the teacher labeled."""
    path = entry.folder / SUMMARY if entry.folder else None
    if path is None or not path.is_file():
        return []
    return label_facts(read_record(path, "train the generation again"))
