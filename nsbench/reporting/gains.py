"""What each generation gained: against its teacher, generation 0 and `labeled-only`, in words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nsbench.metrics.change import Metric
from nsbench.metrics.intervals import Interval
from nsbench.metrics.verdict import Judged, judge
from nsbench.reporting.controls import Controls
from nsbench.reporting.ends import end_text
from nsbench.reporting.results import (
    Entry,
    comparable,
    headline,
    paired_changes,
    suite_names,
)


@dataclass(frozen=True)
class Gain:
    """The change of a suite's headline between two models, as a sentence needs it.

    value, interval: in points; interval: None where there is none. verdict: `better`, `worse` or
    `undecided`. alone: whether no other suite of the report has a metric of this name.
    """

    suite: str
    metric: Metric
    value: float
    interval: Interval | None
    verdict: str
    alone: bool = False

    @property
    def what(self) -> str:
        """`mCE`, or `top-1 on digits-a` where several suites have a top-1."""
        return self.metric.name if self.alone else f"{self.metric.name} on {self.suite}"

    @property
    def text(self) -> str:
        """`cuts mCE by 4.1 points (3.6 to 4.6)`, as a verb of what changed."""
        verbs = ("raises", "lowers") if self.metric.higher_is_better else ("cuts", "raises")
        verb = verbs[self.verdict != "better"]
        # Without signs, as the verb says the direction; it is used only where both ends have one.
        ends = sorted(map(abs, self.interval)) if self.interval else None
        between = f" ({end_text(ends[0])} to {end_text(ends[1])})" if ends else ""
        return f"{verb} {self.what} by {abs(self.value):.1f} points{between}"


@dataclass(frozen=True)
class Step:
    """A model beside one that it is held against, with its judged changes by suite.

    role: what the other is to it, such as `its teacher`. changes: what `headline_changes` gives.
    """

    entry: Entry
    base: Entry
    role: str
    changes: dict[str, Judged]

    def gains(self, suites: Sequence[str]) -> list[Gain]:
        """The changes as sentences need them, in the order of the suites."""
        shown = [suite for suite in suites if suite in self.changes]
        metrics = {suite: headline(self.entry.scores[suite]) for suite in shown}
        return [
            Gain(s, metrics[s], j.change.value, j.change.interval, j.verdict)
            for s, j in ((suite, self.changes[suite]) for suite in shown)
        ]


def teacher_of(entry: Entry, entries: Sequence[Entry]) -> Entry | None:
    """The model that labeled a student's images, or that was fine-tuned; None if it is not here."""
    if entry.folder is None:
        return None
    run = entry.folder.parent
    if entry.info.get("fine_tuned"):
        plain = run / f"generation-{entry.info['generation']}"
        return next((e for e in entries if e.folder == plain), None)
    wanted = entry.info.get("teacher_weights")
    # Of two runs with the same teacher, the one that it was trained beside.
    found = [e for e in entries if wanted and e.info.get("weights") == wanted]
    beside = [e for e in found if e.folder and e.folder.parent == run]
    return next(iter([*beside, *found]), None)


def steps_of(
    entries: Sequence[Entry], changes: Sequence[dict[str, Judged]], controlled: Sequence[Controls]
) -> list[Step]:
    """Each model against its teacher, against the first model, and against its `labeled-only`.

    changes: those of `headline_changes` against the first model. Changes against teachers other
    than that are judged together, as one family.
    """
    base, pairs = entries[0], []
    for entry, own in zip(entries, changes, strict=True):
        teacher = teacher_of(entry, entries)
        if teacher is base:
            pairs.append(Step(entry, base, f"its teacher, {_short(base)}", own))
        elif entry is not base:
            if teacher:
                pairs.append(Step(entry, teacher, f"its teacher, {_short(teacher)}", {}))
            pairs.append(Step(entry, base, _short(base), own))
    steps = [*_judged(pairs)]
    for beside in controlled:
        for (entry, kind), own in zip(beside.rows, beside.changes, strict=True):
            if kind == "labeled-only":
                role = "the same model trained on labeled images only"
                steps.append(Step(beside.student, entry, role, own))
    # By identity: entries hold dicts, and have no hash.
    order = {id(entry): number for number, entry in enumerate(entries)}
    return sorted(steps, key=lambda step: order[id(step.entry)])  # stable: all of one together


def _short(entry: Entry) -> str:
    """`generation 1` for quickstart/generation-1, else the whole name."""
    return entry.name.rsplit("/", 1)[-1].replace("-", " ") if entry.folder else entry.name


def _judged(steps: Sequence[Step]) -> Iterable[Step]:
    """The steps, with the changes of those that have none yet judged as one family."""
    open_steps = [step for step in steps if not step.changes and step.base.folder]
    found = [
        (number, suite, pair)
        for number, step in enumerate(open_steps)
        for suite, scores in step.entry.scores.items()
        if (pair := comparable(step.base, step.entry, suite, next(iter(scores.metrics))))
    ]
    verdicts = judge(paired_changes([pair for _, _, pair in found]))
    for (number, suite, _), judged in zip(found, verdicts, strict=True):
        open_steps[number].changes[suite] = judged
    return steps


def sentences(steps: Sequence[Step], entries: Sequence[Entry]) -> list[str]:
    """One sentence for each step, with its intervals, by the one rule for better and worse."""
    suites = suite_names(entries)
    return [sentence(_short(s.entry), s.role, s.gains(suites)) for s in steps]


def sentence(name: str, role: str, gains: Sequence[Gain]) -> str:
    """What a model gained against another: what is better, then worse, then undecided."""
    title = name[:1].upper() + name[1:]
    if not gains:
        return f"{title} and {role} have no suite in common."
    names = [gain.metric.name for gain in gains]
    own = [
        Gain(g.suite, g.metric, g.value, g.interval, g.verdict, names.count(g.metric.name) == 1)
        for g in gains
    ]
    better, worse = ([g.text for g in own if g.verdict == v] for v in ("better", "worse"))
    undecided = [g.what for g in own if g.verdict == "undecided"]
    if not better and not worse:
        return f"{title} against {role}: undecided on {_listed(undecided)}."
    head = f"{title} {_listed(better or worse)} against {role}"
    if better and worse:
        head += f", but {_listed(worse)}"
    tail = f"; {_listed(undecided)} undecided" if undecided else ""
    return f"{head}{tail}."


def _listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
