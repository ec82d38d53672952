"""What the Noisy Student paper claims, asked of models over seeds: each claim with a verdict."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from nsbench.metrics.change import Metric
from nsbench.metrics.intervals import Interval
from nsbench.metrics.seeds import OVER, SeedChange
from nsbench.metrics.verdict import verdict_over_seeds
from nsbench.recipes.files import shipped
from nsbench.recipes.recipe import load_controls, load_variants
from nsbench.reporting.results import suite_names
from nsbench.reporting.score_tables import metric_head
from nsbench.reporting.seed_texts import over_seeds_data, seed_change_text
from nsbench.reporting.seeds import (
    Pooled,
    SeedRuns,
    entries_of,
    generations,
    labeled_only,
)
from nsbench.reporting.summary import notes_on_images
from nsbench.reporting.tables import Table
from nsbench.run_folder import read_seeds

HELD, FAILED, UNDECIDED, NOT_RUN = (
    "held", "did not hold", "not decided at this scale", "not run",
)  # fmt: skip

VERDICTS = (HELD, FAILED, UNDECIDED)

CLEAN, HARD = "clean", "hard"
"""Suites of images as they are, and those that have such images beside theirs, as ImageNet-A; the
others are called by their kind."""

SHIFTED = (HARD, "corruption", "perturbation", "attack")
EVERYWHERE = (CLEAN, *SHIFTED)


@dataclass(frozen=True)
class Claim:
    """A claim of Xie et al. 2020.

    text: as a sentence. source: where the paper makes it. pairs: models, each with one that it is
    said to be better than: generations by their places, controls by their kind, variants by their
    name. None for each student, which is compared with the first teacher and with its
    `labeled-only`. suites: kinds that it is about.
    """

    text: str
    source: str
    pairs: tuple[tuple[str, str], ...] | None = None
    suites: tuple[str, ...] = EVERYWHERE


FIRST, SECOND, WIDE = "generation-1", "generation-2", "wide-from-teacher"

TEACHER, ALONE = "first teacher", "labeled-only"
"""What every model of a claim is compared with as well."""

CLAIMS = (
    Claim("Students are better on clean images", "table 2", suites=(CLEAN,)),
    Claim(
        "Students are better on hard, corrupted and perturbed images and under attack, without "
        "training for it",
        "tables 3 to 5, figure 3",
        suites=SHIFTED,
    ),
    Claim("Noise on the student's unlabeled images matters", "table 6", ((FIRST, "no-noise"),)),
    Claim("The teacher must not be noised", "table 6", ((FIRST, "noised-teacher"),)),
    Claim(
        "Soft labels are at least as good as hard ones out of domain",
        "section 4.3",
        ((FIRST, "hard-labels"),),
        SHIFTED,
    ),
    Claim("Iterating helps", "table 7", ((SECOND, FIRST), (SECOND, WIDE))),
    Claim("A larger student gains more", "section 4.3", ((WIDE, FIRST),)),
    Claim(
        "Filtering and balancing help small models",
        "section 4.3",
        (
            (FIRST, "no-filter"),
            ("mixed", "mixed-no-filter"),
            (FIRST, "no-balancing"),
            ("unbalanced", "unbalanced-no-balancing"),
        ),
    ),
    Claim(
        "A large ratio of unlabeled images helps large models",
        "section 4.3",
        ((FIRST, "ratio-1"), (FIRST, "ratio-3")),
    ),
)


@dataclass(frozen=True)
class Answer:
    """A model against another one on a suite.

    above: what the model has above the first teacher and above `labeled-only`, by these names, as
    far as they are not the other one; each with the name of the model.
    """

    student: Pooled
    base: Pooled
    suite: str
    metric: Metric
    change: SeedChange
    above: Mapping[str, tuple[str, SeedChange]]

    @property
    def verdict(self) -> str:
        """`held`, `did not hold` or `not decided at this scale`."""
        verdicts = {"better": HELD, "worse": FAILED, "undecided": UNDECIDED}
        return verdicts[verdict_over_seeds(self.change)]

    @property
    def gain(self) -> SeedChange:
        """The change, turned so that more is better."""
        if self.metric.higher_is_better:
            return self.change
        interval = self.change.interval
        turned = Interval(-interval.high, -interval.low) if interval else None
        values = tuple(-value for value in self.change.values)
        return replace(self.change, values=values, interval=turned)

    @property
    def models(self) -> str:
        """`generation-1 against labeled-only`: what the recipe, or the paper, calls them."""
        return f"{self.student.called} against {self.base.called}"


@dataclass(frozen=True)
class Checked:
    """A claim and what the models say to it. missing: names of what was not trained."""

    claim: Claim
    answers: list[Answer]  # of the pairs that were trained, each on the suites that both have
    missing: list[str]

    @property
    def verdict(self) -> str:
        """One of all answers: held if they all do, and not if one of them does not."""
        # One change for the worse refutes a claim, and one that is undecided leaves it open.
        found = {answer.verdict for answer in self.answers}
        if not found:
            return NOT_RUN
        if FAILED in found:
            return FAILED
        return UNDECIDED if UNDECIDED in found else HELD


def commands_for(runs: SeedRuns, models: Sequence[str]) -> list[str]:
    """What trains some controls and variants, as far as a shipped recipe has them."""
    start = f"nsbench train {read_seeds(runs.home)['name']} --seeds {len(runs.seeds)}"
    found = {
        option: [known[model] for model in models if model in known]
        for option, known in beside(runs).items()
    }
    return [f"{start} {option} {' '.join(names)}" for option, names in found.items() if names]


def beside(runs: SeedRuns) -> dict[str, dict[str, str]]:
    """What a shipped recipe trains beside its generations: names, by what claims call each.

    By the options that ask for them. None of a recipe of the user's, which may have changed since.
    """
    name = read_seeds(runs.home)["name"]
    return _beside(name) if name in shipped() else {}


@cache
def _beside(recipe: str) -> dict[str, dict[str, str]]:
    controls = {}
    for folder, (control, _) in load_controls(recipe).items():
        controls[folder] = folder
        if control.kind == "labeled-only":  # a claim asks for that of a student
            controls[f"labeled-only of generation-{control.generation}"] = folder
    return {"--controls": controls, "--variants": {name: name for name in load_variants(recipe)}}


def checked_claims(runs: SeedRuns) -> list[Checked]:
    """Every claim, asked of the models of a folder of seeds; none of one seed."""
    # What one training gave tells nothing of others.
    if len(runs.seeds) < 2:
        return []
    suites = {suite: _kind(runs, suite) for suite in suite_names(entries_of(runs.models))}
    found = []
    for claim in CLAIMS:
        answers, missing = [], []
        for student, base in _pairs(runs, claim):
            # By name what was not trained: a claim must not seem to rest on less than it does.
            if not (isinstance(student, Pooled) and isinstance(base, Pooled)):
                missing += [each for each in (student, base) if isinstance(each, str)]
                continue
            for suite in (suite for suite, kind in suites.items() if kind in claim.suites):
                if change := runs.headline_change(student, base, suite):
                    metric = student.headlines()[suite]
                    above = _above(runs, student, base, suite)
                    answers.append(Answer(student, base, suite, metric, change, above))
        found.append(Checked(claim, answers, list(dict.fromkeys(missing))))
    return found


def pairs(runs: SeedRuns) -> list[tuple[Pooled, Pooled]]:
    """The models that claims compare, each with what it is compared with."""
    named = [pair for claim in CLAIMS for pair in _pairs(runs, claim)]
    found = [(a, b) for a, b in named if isinstance(a, Pooled) and isinstance(b, Pooled)]
    return found + [(a, other) for a, _ in found for other in _yardsticks(runs, a).values()]


def _yardsticks(runs: SeedRuns, model: Pooled) -> dict[str, Pooled]:
    """The first teacher and `labeled-only`: what a gain is told against."""
    alone = [one for one in runs.models if one.kind == "labeled-only"]
    # That of the model itself where it has one, and else that of another student.
    alone.sort(key=lambda one: f"generation-{one.student}" != model.place)
    return {TEACHER: runs.models[0], **({ALONE: alone[0]} if alone else {})}


def _above(
    runs: SeedRuns, student: Pooled, base: Pooled, suite: str
) -> dict[str, tuple[str, SeedChange]]:
    others = {role: one for role, one in _yardsticks(runs, student).items() if one is not base}
    changes = {role: runs.headline_change(student, one, suite) for role, one in others.items()}
    return {role: (others[role].name, change) for role, change in changes.items() if change}


def _pairs(runs: SeedRuns, claim: Claim) -> Iterator[tuple[Pooled | str, Pooled | str]]:
    """A claim's models; the name in place of one that was not trained."""
    if claim.pairs is not None:
        yield from ((_called(runs, one), _called(runs, other)) for one, other in claim.pairs)
        return
    own = generations(runs.models)
    for student in own[1:]:
        yield student, own[0]
        alone = labeled_only(runs.models, student)
        yield from ((student, control) for control in alone)
        if not alone:
            yield student, f"labeled-only of {student.place}"


def _called(runs: SeedRuns, name: str) -> Pooled | str:
    """A generation by its place, a control by its kind, or a variant's student by its name."""
    for model in runs.models:
        # Of a variant's own generations the student: its teacher may be that of the recipe.
        is_teacher = model.is_variant and not model.place.endswith(f"/{FIRST}")
        if model.called == name and not is_teacher:
            return model
    return name


def _kind(runs: SeedRuns, suite: str) -> str:
    """What a suite is of: its kind, or of accuracies whether images were chosen as hard ones."""
    scores = next(s for model in runs.models for s in model.scores_on(suite).values())
    kind: str = scores.suite.kind
    if kind != "accuracy":
        return kind
    return HARD if "clean" in scores.suite.cells() else CLEAN


def claims_data(runs: SeedRuns) -> list[dict[str, Any]]:
    """Claims as JSON: numbers in percent and points, as in the records of the same report."""
    return [
        {
            "claim": one.claim.text,
            "source": one.claim.source,
            "verdict": one.verdict,
            "missing": one.missing,
            "commands": commands_for(runs, one.missing),
            "answers": [
                {
                    "model": answer.student.name,
                    "against": answer.base.name,
                    "suite": answer.suite,
                    "metric": metric_head(answer.metric),
                    **over_seeds_data(answer.change),
                    "verdict": answer.verdict,
                    "above": {
                        role: {"against": name, **over_seeds_data(change)}
                        for role, (name, change) in answer.above.items()
                    },
                }
                for answer in one.answers
            ],
        }
        for one in checked_claims(runs)
    ]


CLAIMED = "What the Noisy Student paper claims (Xie et al. 2020)"


def claims_tables(runs: SeedRuns) -> list[Table]:
    """Each claim with its verdict; and each change, with the models that are missing."""
    checked = checked_claims(runs)
    return [_verdicts(runs, checked), _changes(runs, checked)] if checked else []


def _verdicts(runs: SeedRuns, checked: Sequence[Checked]) -> Table:
    rows = []
    for one in checked:
        counts = Counter(answer.verdict for answer in one.answers)
        known = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS if counts[verdict]]
        rows.append([one.claim.text, one.claim.source, one.verdict, ", ".join(known)])
    rule = (
        "A claim held if the interval over seeds and images of each of its changes excludes zero "
        "on the better side, and did not hold if that of one does on the other."
    )
    heads = ["claim", "source", "verdict", "changes"]
    return Table(CLAIMED, heads, rows, claims_data(runs), [rule], prose=True)


def _changes(runs: SeedRuns, checked: Sequence[Checked]) -> Table:
    total = sum(len(one.answers) for one in checked)
    rows, notes = [], [f"n: seeds × images. Intervals are over {OVER}."]
    # A reader who counts verdicts must know how many of them chance alone would give.
    by_chance = f"one in twenty of these {total} would exclude zero by chance where nothing changed"
    notes.append(f"Each interval is a 95% one by itself: {by_chance}.")
    for one in checked:
        for number, answer in enumerate(one.answers):
            suite = f"{answer.suite}, {metric_head(answer.metric)}"
            counts = f"{len(answer.change.values)} × {answer.change.images:,}"
            change = seed_change_text(answer.change)
            # Once: the changes of a claim follow each other.
            claim = "" if number else one.claim.text
            above = [
                seed_change_text(known[1]) if known else ""
                for known in map(answer.above.get, (TEACHER, ALONE))
            ]
            rows.append([claim, answer.models, suite, change, counts, answer.verdict, *above])
        if one.missing:
            what = f"{one.claim.text}: {', '.join(one.missing)} not trained"
            commands = "; ".join(commands_for(runs, one.missing))
            notes.append(f"{what} ({commands})." if commands else f"{what}.")
    heads = ["claim", "models", "suite", "change\n[95% interval]", "n", "verdict"]
    heads += [f"against\n{role}" for role in (TEACHER, ALONE)]
    notes.append(f"The last columns: what the first of the two has above {TEACHER} and {ALONE}.")
    notes += notes_on_images(entries_of(runs.models))
    return Table(f"{CLAIMED}: each change", heads, rows, [], notes, prose=True)
