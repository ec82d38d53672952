"""What the Noisy Student paper claims, asked of models over seeds: each claim with a verdict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from nsbench.metrics.change import Metric
from nsbench.metrics.seeds import SeedChange
from nsbench.metrics.verdict import verdict_over_seeds
from nsbench.recipes.files import shipped
from nsbench.recipes.recipe import load_controls, load_variants
from nsbench.reporting.model_facts import unequal
from nsbench.reporting.results import suite_names
from nsbench.reporting.seeds import (
    Pooled,
    SeedRuns,
    entries_of,
    generations,
    labeled_only,
)
from nsbench.run_folder import read_seeds

HELD, FAILED, UNDECIDED, NOT_RUN = (
    "held", "did not hold", "not decided at this scale", "not run",
)  # fmt: skip

VERDICTS = (HELD, FAILED, UNDECIDED)

CLEAN, HARD = "clean", "hard"
"""Suites of images as they are, and those that have such images beside theirs, as ImageNet-A; the
others are called by their kind."""

EVERYWHERE = (CLEAN, HARD, "corruption", "perturbation", "attack")


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
    Claim("Students are better on hard images", "table 3", suites=(HARD,)),
    Claim("Students are better on corrupted images", "table 4", suites=("corruption",)),
    Claim("Students are more stable on perturbed images", "table 5", suites=("perturbation",)),
    Claim("Students are better under attack", "figure 3", suites=("attack",)),
    Claim("Noise on the student's unlabeled images matters", "table 6", ((FIRST, "no-noise"),)),
    Claim("The teacher must not be noised", "table 6", ((FIRST, "noised-teacher"),)),
    # The paper takes images of which a teacher is not sure for out-of-domain ones.
    Claim(
        "Soft labels are at least as good as hard ones for out-of-domain unlabeled images",
        "section 4.3",
        (("mixed", "mixed-hard"),),
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

    above: what the model has above the first teacher and above its `labeled-only`, by these names,
    as far as they are not the other one; each with the name of the model, over the same seeds.
    unequal: what makes the two no equals, as a clause; empty where nothing does.
    """

    student: Pooled
    base: Pooled
    suite: str
    metric: Metric
    change: SeedChange
    above: Mapping[str, tuple[str, SeedChange]]
    unequal: str = ""

    @property
    def verdict(self) -> str:
        """`held`, `did not hold` or `not decided at this scale`."""
        verdicts = {"better": HELD, "worse": FAILED, "undecided": UNDECIDED}
        return verdicts[verdict_over_seeds(self.change)]

    @property
    def models(self) -> str:
        """`generation-1 against labeled-only`: what the recipe, or the paper, calls them."""
        return f"{self.student.called} against {self.base.called}"


@dataclass(frozen=True)
class Checked:
    """A claim and what the models say to it.

    answers: of the pairs that were trained, each on the suites that both have. missing: names of
    what was not trained. lacking: `no-filter on cifar10-p` for what was not evaluated.
    """

    claim: Claim
    answers: list[Answer]
    missing: list[str]
    lacking: list[str]

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
        answers, missing, lacking = [], [], []
        for student, base in _pairs(runs, claim):
            # By name what was not trained: a claim must not seem to rest on less than it does.
            if not (isinstance(student, Pooled) and isinstance(base, Pooled)):
                missing += [each for each in (student, base) if isinstance(each, str)]
                continue
            for suite in (suite for suite, kind in suites.items() if kind in claim.suites):
                both = student, base
                lacking += [f"{m.called} on {suite}" for m in both if not m.scores_on(suite)]
                if answer := _answer(runs, student, base, suite):
                    answers.append(answer)
        names = list(dict.fromkeys(missing)), list(dict.fromkeys(lacking))
        found.append(Checked(claim, answers, *names))
    return found


def _answer(runs: SeedRuns, student: Pooled, base: Pooled, suite: str) -> Answer | None:
    """None where no seed has both models on the suite."""
    change = runs.headline_change(student, base, suite)
    if change is None:
        return None
    seeds = [seed for seed in student.scores_on(suite) if seed in base.scores_on(suite)]
    above = {}
    for role, other in _yardsticks(runs, student).items():
        # Over the same seeds, so that one may be taken from the other.
        if other is not base and (one := runs.headline_change(student, other, suite, seeds)):
            above[role] = other.name, one
    infos = [next(iter(model.entries.values())).info for model in (student, base)]
    metric = student.headlines()[suite]
    return Answer(student, base, suite, metric, change, above, unequal(*infos))


def pairs(runs: SeedRuns) -> list[tuple[Pooled, Pooled]]:
    """The models that claims compare, each with what it is compared with."""
    named = [pair for claim in CLAIMS for pair in _pairs(runs, claim)]
    found = [(a, b) for a, b in named if isinstance(a, Pooled) and isinstance(b, Pooled)]
    return found + [(a, other) for a, _ in found for other in _yardsticks(runs, a).values()]


def _yardsticks(runs: SeedRuns, model: Pooled) -> dict[str, Pooled]:
    """The first teacher and `labeled-only` of the same student: what a gain is told against."""
    # Of another student it would be of another architecture or length.
    alone = labeled_only(runs.models, model)
    return {TEACHER: runs.models[0], **({ALONE: alone[0]} if alone else {})}


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
