"""What a report is made of: models in order, their scores, and changes against the first."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nsbench.metrics.change import Change, Metric, changes
from nsbench.metrics.verdict import Judged, judge
from nsbench.predictions import Result, results_of
from nsbench.reporting.places import model_places
from nsbench.reporting.versions import Chosen, check_across, choose, chosen_like
from nsbench.run_folder import generation_folders, is_run, model_name, read_info
from nsbench.suites.base import SuiteScores
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError

THREADS = 2
"""Results that are scored at once: more would take more memory, 400 MB each of ImageNet-P."""


@dataclass(frozen=True)
class Entry:
    """One model of a report: its folder if it is a generation, what is known of it, its scores.

    outdated: suites that it was evaluated on only unlike the other models, and how. other: a
    sentence for each of its results that is left out.
    """

    name: str
    folder: Path | None
    info: dict[str, Any]
    scores: dict[str, SuiteScores]
    outdated: dict[str, str] = field(default_factory=dict)
    other: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """A sentence for each result of the model that a report does not show."""
        unlike = (
            f"{self.name} is not shown on {suite}, where it was evaluated differently: {why}."
            for suite, why in self.outdated.items()
        )
        return [*self.other, *unlike]


@dataclass(frozen=True)
class _Model:
    """A model before its results are chosen and scored; see `Entry`.

    results: where they lie, if it is not a generation.
    """

    name: str
    folder: Path | None
    info: dict[str, Any]
    found: dict[str, list[Result]]
    results: Path | None = None


def collect(
    paths: Sequence[Path], across: Sequence[str] = (), suites: Sequence[str] | None = None
) -> list[Entry]:
    """The models under run folders, generations and folders of results, in order.

    across: settings in which results may differ; see `nsbench.reporting.versions`. suites: those
    that are read, by default all.
    Raises NsbenchError for a folder that holds neither, or an unknown setting.
    """
    check_across(across)
    if not paths:
        raise NsbenchError("no folder was named: name run folders or folders of results")
    paths = model_places(paths)
    models = _one_each([model for path in paths for model in _models(path)])
    # Two runs may have one name, as p/run and q/run do.
    if len({model.name for model in models}) < len(models):
        models = [replace(m, name=str(m.folder or m.results or m.name)) for m in models]
    if not any(model.found for model in models):
        raise NsbenchError(
            f"nothing under {', '.join(map(str, paths))} was evaluated: run nsbench eval first"
        )
    if suites is not None:
        wanted = set(suites)
        models = [replace(m, found={s: m.found[s] for s in m.found if s in wanted}) for m in models]
    chosen = choose([model.found for model in models], across)
    folders = [result.folder for one in chosen for result in one.shown.values()]
    with ThreadPoolExecutor(THREADS) as pool:
        scored = dict(zip(folders, pool.map(score, folders), strict=True))
    return [_entry(*pair, scored) for pair in zip(models, chosen, strict=True)]


def _models(path: Path) -> list[_Model]:
    if is_run(path):
        folders = generation_folders(path)
        if not folders:
            raise NsbenchError(f"{path} has no finished generation: run nsbench train again")
        return [_generation(folder) for folder in folders]
    if (path / "model.json").is_file():
        return [_generation(path)]
    found = results_of(path)
    try:
        info = next(iter(found.values()))[0].manifest["model"]
        return [_Model(info["name"], None, info, found, results=path)]
    except (KeyError, TypeError) as error:
        raise NsbenchError(f"the results in {path} are broken: they lack {error}") from error


def _generation(folder: Path) -> _Model:
    info = read_info(folder)
    try:
        found = results_of(folder / "results", info["weights"])
        return _Model(model_name(folder), folder, info, found)
    except (KeyError, TypeError) as error:
        raise NsbenchError(f"{folder / 'model.json'} is broken: it lacks {error}") from error


def generation_beside(folder: Path, base: Entry, across: Sequence[str] = ()) -> Entry:
    """A generation with the scores that compare with a model's.

    Raises NsbenchError if its model.json is broken.
    """
    model = _generation(folder)
    shown = {name: Result(s.folder, s.manifest) for name, s in base.scores.items()}
    chosen = chosen_like(model.found, shown, across)
    folders = [result.folder for result in chosen.shown.values()]
    return _entry(model, chosen, {folder: score(folder) for folder in folders})


def _entry(model: _Model, chosen: Chosen, scored: Mapping[Path, SuiteScores]) -> Entry:
    """A model with the scores of the results that were chosen, by their folders."""
    scores = {name: scored[result.folder] for name, result in chosen.shown.items()}
    outdated = {name: those[0] for name, those in chosen.other.items() if name not in scores}
    other = tuple(
        f"{model.name} has other results on {name}, which are left out: {clause}."
        for name, clauses in chosen.other.items()
        for clause in clauses
        if name in scores
    )
    return Entry(model.name, model.folder, model.info, scores, outdated, other)


def _one_each(models: list[_Model]) -> list[_Model]:
    """One entry for a model whose suites lie in several folders of results."""
    kept: list[_Model] = []
    for model in models:
        for index, known in enumerate(kept):
            if _same_model(model, known) and model.found.keys().isdisjoint(known.found):
                kept[index] = replace(known, found=known.found | model.found)
                break
        else:
            kept.append(model)
    return kept


def _same_model(one: _Model, other: _Model) -> bool:
    # Names are not enough: the same name may stand for weights that were trained again.
    hashes = [
        {r.manifest["identity"].get("weights") for those in m.found.values() for r in those}
        for m in (one, other)
    ]
    bare = one.folder is None and other.folder is None
    return bare and one.name == other.name and hashes[0] == hashes[1] != {None}


def suite_names(entries: Sequence[Entry]) -> list[str]:
    """Every suite that a model was evaluated on: by kind, the plainest first."""
    suites = {name: scores.suite for entry in entries for name, scores in entry.scores.items()}
    return sorted(suites, key=lambda name: (suites[name].ORDER, len(name), name))


def suites_by_kind(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """The names of the suites of each kind that a model was evaluated on, in that order."""
    kinds = {name: s.suite.kind for entry in entries for name, s in entry.scores.items()}
    by_kind: dict[str, list[str]] = {}
    for name in suite_names(entries):
        by_kind.setdefault(kinds[name], []).append(name)
    return by_kind


def headline(scores: SuiteScores) -> Metric:
    """The metric a suite is known by."""
    return next(iter(scores.metrics.values()))


def headlines(entries: Sequence[Entry]) -> dict[str, Metric]:
    """The suites that a model was evaluated on, and the headline of the first one that was."""
    return {
        name: next(headline(entry.scores[name]) for entry in entries if name in entry.scores)
        for name in suite_names(entries)
    }


def comparable(base: Entry, entry: Entry, suite: str, key: str) -> tuple[Metric, Metric] | None:
    """A metric and that of the base model, None where either was not evaluated.

    None too where the images differ: the clean images beside a suite need not be the same.
    """
    if suite not in base.scores or suite not in entry.scores or base is entry:
        return None
    before, after = (e.scores[suite].metrics.get(key) for e in (base, entry))
    if not before or not after or before.ids != after.ids:
        return None
    return after, before


def paired_changes(pairs: Sequence[tuple[Metric, Metric]]) -> list[Change]:
    """Each metric minus its base, on the same images; those of one list of images at once."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, (metric, _) in enumerate(pairs):
        groups.setdefault(metric.ids, []).append(number)
    found: dict[int, Change] = {}
    for numbers in groups.values():
        metrics, bases = zip(*(pairs[number] for number in numbers), strict=True)
        found |= zip(numbers, changes(metrics, bases), strict=True)
    return [found[number] for number in range(len(pairs))]


def headline_changes(base: Entry, entries: Sequence[Entry]) -> list[dict[str, Judged]]:
    """For each model the change of its headline against the base's, by suite, judged as one table.

    Without the suites that either was not evaluated on.
    """
    shown = [
        (number, name, pair)
        for number, entry in enumerate(entries)
        for name, scores in entry.scores.items()
        if (pair := comparable(base, entry, name, next(iter(scores.metrics))))
    ]
    rows: list[dict[str, Judged]] = [{} for _ in entries]
    judged = judge(paired_changes([pair for _, _, pair in shown]))
    for (number, name, _), verdict in zip(shown, judged, strict=True):
        rows[number][name] = verdict
    return rows
