"""Models of several seeds: each generation, control and variant, with all its trainings."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from nsbench.metrics.change import Metric
from nsbench.metrics.seeds import SeedChange, change_over_seeds
from nsbench.recipes.identity import recipe_identity
from nsbench.recipes.recipe import load_recipe
from nsbench.reporting.controls import student_of
from nsbench.reporting.results import Entry, collect, headlines
from nsbench.run_folder import (
    control_folders,
    divergence,
    generation_folders,
    model_name,
    name_over_seeds,
    read_info,
    read_seeds,
    read_variant,
    recipe_text,
    seed_folder,
    seed_runs,
    variant_folders,
)
from nsbench.suites.base import SuiteScores
from nsbench.util.config import first_difference
from nsbench.util.errors import NsbenchError


@dataclass(frozen=True)
class Pooled:
    """A model of a recipe as trained with several seeds.

    place: its folder within the run folder of each seed. entries: by seed. kind: of a control,
    empty for other models; student: the generation that a control is of.
    """

    name: str
    place: str
    entries: Mapping[int, Entry]
    kind: str = ""
    student: int = 0

    @property
    def called(self) -> str:
        """`labeled-only` or `generation-1`: what the recipe, or the paper, calls it."""
        parts = self.place.split("/")
        return self.kind or parts[min(1, len(parts) - 1)]

    @property
    def folder(self) -> Path:
        """That of the first seed: what all seeds have in common can be read there."""
        folders = (entry.folder for entry in self.entries.values())
        return next(folder for folder in folders if folder)

    @property
    def settings(self) -> str:
        """What a variant changes of the recipe, as it is given to `--set`."""
        return ", ".join(read_variant(self.folder.parent)["set"])

    @property
    def stands_for(self) -> str:
        """The place of the generation that it is, is a control of, or changes."""
        return f"generation-{self.student}" if self.kind else self.place.rsplit("/", 1)[-1]

    @property
    def is_generation(self) -> bool:
        """Whether it is a generation of the recipe itself."""
        return self.place.startswith("generation-")

    @property
    def is_variant(self) -> bool:
        """Whether it is a generation of a variant of the recipe."""
        return self.place.startswith("variants/")

    @property
    def is_student(self) -> bool:
        """Whether it is such a generation after the first."""
        return self.is_generation and not self.place.startswith("generation-0")

    def metrics(self, suite: str, key: str) -> dict[int, Metric]:
        """A metric of a suite by seed, without those that were not evaluated on it."""
        scores = self.scores_on(suite)
        return {seed: s.metrics[key] for seed, s in scores.items() if key in s.metrics}

    def headlines(self) -> dict[str, Metric]:
        """The suites that it was evaluated on, and the headline of the first seed that was."""
        return headlines(list(self.entries.values()))

    def scores_on(self, suite: str) -> dict[int, SuiteScores]:
        """Its scores on a suite by seed, without those that were not evaluated on it."""
        return {seed: e.scores[suite] for seed, e in self.entries.items() if suite in e.scores}

    def parts_on(self, suite: str) -> dict[str, dict[int, Metric]]:
        """The parts of a suite, such as its corruptions, each by seed."""
        found: dict[str, dict[int, Metric]] = {}
        for seed, scores in self.scores_on(suite).items():
            for name, metric in scores.parts.items():
                found.setdefault(name, {})[seed] = metric
        return found

    def metrics_of_headline(self, suite: str) -> dict[int, Metric]:
        """The headline of a suite by seed; nothing where no seed was evaluated on it."""
        keys = self.keys(suite)
        return self.metrics(suite, keys[0]) if keys else {}

    def keys(self, suite: str) -> list[str]:
        """The keys of a suite's metrics, the headline's first."""
        every = [list(scores.metrics) for scores in self.scores_on(suite).values()]
        return list(dict.fromkeys(chain.from_iterable(every)))


@dataclass(frozen=True)
class SeedRuns:
    """A folder of seeds as a report shows it. notes: a sentence for each thing that is missing."""

    home: Path
    seeds: list[int]
    models: list[Pooled]
    notes: list[str]
    # By places: tables, records, sentences, claims and figures ask for the same ones.
    _changes: dict[tuple[str, str, str, str, frozenset[int]], SeedChange | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _part_changes: dict[tuple[str, str, str], dict[str, SeedChange]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def change(
        self,
        model: Pooled,
        base: Pooled,
        suite: str,
        key: str,
        seeds: Collection[int] | None = None,
    ) -> SeedChange | None:
        """The change of a metric between two of the models, over the seeds that both have.

        seeds: of these alone. None without any, and where a seed's images differ: the clean images
        beside a suite need not be the same.
        """
        asked = (
            model.place,
            base.place,
            suite,
            key,
            frozenset(self.seeds if seeds is None else seeds),
        )
        if asked not in self._changes:
            after, before = model.metrics(suite, key), base.metrics(suite, key)
            known = {seed: metric for seed, metric in after.items() if seed in asked[-1]}
            self._changes[asked] = None if model is base else _paired(known, before)
        return self._changes[asked]

    def part_changes(self, model: Pooled, base: Pooled, suite: str) -> dict[str, SeedChange]:
        """The change of each part of a suite, such as a corruption, that two models both have."""
        asked = (model.place, base.place, suite)
        if asked not in self._part_changes:
            after, before = model.parts_on(suite), base.parts_on(suite)
            found = {name: _paired(own, before.get(name, {})) for name, own in after.items()}
            self._part_changes[asked] = {name: c for name, c in found.items() if c}
        return self._part_changes[asked]

    def headline_change(
        self, model: Pooled, base: Pooled, suite: str, seeds: Collection[int] | None = None
    ) -> SeedChange | None:
        """That of the suite's headline. seeds: of these alone."""
        keys = model.keys(suite)
        return self.change(model, base, suite, keys[0], seeds) if keys else None

    def entries(self, seed: int) -> list[Entry]:
        """The generations of one seed's run."""
        return [model.entries[seed] for model in generations(self.models) if seed in model.entries]


def _paired(after: Mapping[int, Metric], before: Mapping[int, Metric]) -> SeedChange | None:
    """The change over the seeds that two models both have on the same images, if there are any."""
    both = [s for s in after if s in before and after[s].ids == before[s].ids]
    return change_over_seeds([after[s] for s in both], [before[s] for s in both]) if both else None


def entries_of(models: Sequence[Pooled]) -> list[Entry]:
    """Those of models, each in all of its seeds."""
    return [entry for model in models for entry in model.entries.values()]


def generations(models: Sequence[Pooled]) -> list[Pooled]:
    """Those that are generations of the recipe, in order: each is taught by the one before it."""
    return [model for model in models if model.is_generation]


def labeled_only(models: Sequence[Pooled], model: Pooled) -> list[Pooled]:
    """The controls that learn labeled images only, of the student that a model stands for."""
    own = (one for one in models if one.kind == "labeled-only")
    return [control for control in own if control.stands_for == model.stands_for]


def variants_of(models: Sequence[Pooled], generation: Pooled) -> list[Pooled]:
    """The same generation of the recipe's variants."""
    return [m for m in models if m.is_variant and m.place.endswith(f"/{generation.place}")]


def check_one_recipe(home: Path) -> None:
    """Raise NsbenchError if the runs of a folder of seeds differ in more than their seed."""
    first: dict[str, Any] = {}
    for run in seed_runs(home):
        recipe_text(run)  # refuses one that was changed
        recipe = load_recipe(str(run / "recipe.toml"))
        own = {"recipe": recipe_identity(recipe, with_seed=False)}
        # Of images the content, as that of a run's first generation.
        for folder in generation_folders(run)[:1]:
            own["images"] = read_info(folder).get("identity", {}).get("labeled images")
        changed = next(
            filter(None, (first_difference(first.setdefault(k, v), v, k) for k, v in own.items())),
            None,
        )
        if run != seed_folder(home, recipe.seed):
            changed = f"its seed is {recipe.seed}"
        if changed:
            raise NsbenchError(
                f"{run} is of another recipe or other images than the seeds beside it ({changed}), "
                "with which it cannot be pooled: move it away"
            )


def collect_seeds(
    home: Path, across: Sequence[str] = (), suites: Sequence[str] | None = None
) -> SeedRuns:
    """The models of a folder of seeds with their scores, as `collect` has those of one run.

    Raises NsbenchError as it does, and if the runs are of two recipes.
    """
    check_one_recipe(home)
    folders = [folder for run in seed_runs(home) for _, folder in _shown(run)]
    if not folders:
        raise NsbenchError(f"{home} has no finished generation: run nsbench train again")
    return pool(home, collect(folders, across, suites))


def pool_evaluated(homes: Sequence[Path], evaluated: Sequence[SuiteScores]) -> list[SeedRuns]:
    """Folders of seeds with the scores that an evaluation gave, whatever others they have.

    Raises NsbenchError if the runs of one are of two recipes.
    """
    pooled = []
    for home in homes:
        check_one_recipe(home)
        entries = []
        for folder in (folder for run in seed_runs(home) for _, folder in _shown(run)):
            results = (folder / "results").resolve()
            own = [one for one in evaluated if results in one.folder.resolve().parents]
            scores = {one.suite.name: one for one in own}
            if scores:
                entries.append(Entry(model_name(folder), folder, {}, scores))
        pooled.append(pool(home, entries))
    return pooled


def pool(home: Path, entries: Sequence[Entry]) -> SeedRuns:
    """The models of a folder of seeds, of the entries of each seed's."""
    by_folder = {entry.folder: entry for entry in entries if entry.folder}
    places: dict[str, Pooled] = {}
    for run in seed_runs(home):
        seed = int(run.name.removeprefix("seed-"))
        for model, folder in _shown(run):
            known = places.setdefault(model.place, model)
            if folder in by_folder:
                places[model.place] = Pooled(
                    known.name,
                    known.place,
                    {**known.entries, seed: by_folder[folder]},
                    known.kind,
                    known.student,
                )
    models = [model for model in places.values() if model.entries]
    seeds = read_seeds(home)["seeds"]
    return SeedRuns(home, seeds, models, _notes(home, seeds, models))


def _shown(run: Path) -> list[tuple[Pooled, Path]]:
    """The models of a seed's run, without their scores: its generations, controls and variants."""
    found = [(_model(run, f), f) for f in generation_folders(run)]
    for control in control_folders(run):
        trained, record = generation_folders(control), read_variant(control)
        if trained:  # its last generation, as in reports of one run
            about = (record["kind"], student_of(run, record))
            found.append((_model(run, trained[-1], *about), trained[-1]))
    for variant in variant_folders(run):
        found += [(_model(run, f), f) for f in generation_folders(variant)]
    return found


def _model(run: Path, folder: Path, kind: str = "", student: int = 0) -> Pooled:
    place = folder.relative_to(run)
    return Pooled(name_over_seeds(run.parent, place), place.as_posix(), {}, kind, student)


def _notes(home: Path, seeds: Sequence[int], models: Sequence[Pooled]) -> list[str]:
    """A sentence for what diverged, is not trained, or was not evaluated, in each seed."""
    notes = []
    lacking: dict[tuple[str, ...], list[str]] = {}
    for seed in seeds:
        run = seed_folder(home, seed)
        beside = [*control_folders(run), *variant_folders(run)]
        diverged = [what for one in (run, *beside) if (what := divergence(one))]
        notes += [f"{what[0].upper()}{what[1:]}: it diverged." for what in diverged]
        # Without the name of the run, which the title has.
        names = dict.fromkeys(model.called for model in models if seed not in model.entries)
        lacking.setdefault(tuple(names), []).append(f"{seed}")
    for own, without in lacking.items():
        have = "Seed {} has" if len(without) == 1 else "Seeds {} have"
        if own:
            notes.append(f"{have.format(', '.join(without))} no results of {', '.join(own)}.")
    for model in models:
        for suite in model.headlines():
            without = [f"{s}" for s, e in model.entries.items() if suite not in e.scores]
            if without:
                notes.append(
                    f"{model.name} has no results on {suite} that compare with the others of "
                    f"seed {', '.join(without)}."
                )
    return notes
