"""What a report is made of: models in order, their scores, and changes against the first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nsbench.metrics.change import Change, Metric, change
from nsbench.metrics.verdict import Judged, judge
from nsbench.predictions import latest
from nsbench.run_folder import generation_folders, is_run, run_name
from nsbench.suites.base import SuiteScores
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_json


@dataclass(frozen=True)
class Entry:
    """One model of a report: its folder if it is a generation, what is known of it, its scores.

    outdated: suites that it was evaluated on in another version than the report's. results: where
    its results lie, if it is not a generation.
    """

    name: str
    folder: Path | None
    info: dict[str, Any]
    scores: dict[str, SuiteScores]
    outdated: tuple[str, ...] = ()
    results: Path | None = None


def collect(paths: Sequence[Path]) -> list[Entry]:
    """The models under run folders, generations and folders of results, in order.

    Raises NsbenchError for a folder that holds neither.
    """
    entries = _one_each([entry for path in paths for entry in _entries(path)])
    if len(paths) > 1:
        entries = [_with_run(entry) for entry in entries]
    # Two runs may have one name, as p/run and q/run do.
    if len({entry.name for entry in entries}) < len(entries):
        entries = [replace(e, name=str(e.folder or e.results or e.name)) for e in entries]
    entries = _one_version(entries)
    if not any(entry.scores for entry in entries):
        raise NsbenchError(
            f"nothing under {', '.join(map(str, paths))} was evaluated: run nsbench eval first"
        )
    return entries


def _entries(path: Path) -> list[Entry]:
    if is_run(path):
        folders = generation_folders(path)
        if not folders:
            raise NsbenchError(f"{path} has no finished generation: run nsbench train again")
        return [generation_entry(folder) for folder in folders]
    if (path / "model.json").is_file():
        return [generation_entry(path)]
    latest_folders = latest(path) if path.is_dir() else {}
    if not latest_folders:
        raise NsbenchError(f"{path} is neither a run folder nor a folder of results")
    scores = {name: score(folder) for name, folder in latest_folders.items()}
    first = next(iter(scores.values()))
    return [Entry(first.model, None, first.info, scores, results=path)]


def _one_each(entries: list[Entry]) -> list[Entry]:
    """One entry for a model whose suites lie in several folders of results."""
    kept: list[Entry] = []
    for entry in entries:
        for index, known in enumerate(kept):
            if _same_model(entry, known) and entry.scores.keys().isdisjoint(known.scores):
                kept[index] = replace(known, scores=known.scores | entry.scores)
                break
        else:
            kept.append(entry)
    return kept


def _same_model(one: Entry, other: Entry) -> bool:
    # Names are not enough: the same name may stand for weights that were trained again.
    hashes = [
        {scores.manifest["identity"].get("weights") for scores in entry.scores.values()}
        for entry in (one, other)
    ]
    bare = one.folder is None and other.folder is None
    return bare and one.name == other.name and hashes[0] == hashes[1] != {None}


def _one_version(entries: list[Entry]) -> list[Entry]:
    """Only scores that compare with the newest evaluation of their suite; the others are named."""
    # Two models are only compared on the same version of a suite. The newest decides, as it is the
    # one that users changed a suite to.
    newest: dict[str, SuiteScores] = {}
    for scores in (scores for entry in entries for scores in entry.scores.values()):
        known = newest.setdefault(scores.suite.name, scores)
        if scores.manifest["evaluated"] > known.manifest["evaluated"]:
            newest[scores.suite.name] = scores
    kept = []
    for entry in entries:
        current = {n: s for n, s in entry.scores.items() if comparable(s, newest[n])}
        outdated = tuple(name for name in entry.scores if name not in current)
        kept.append(replace(entry, scores=current, outdated=outdated))
    return kept


def _with_run(entry: Entry) -> Entry:
    run = run_name(entry.folder.resolve().parent) if entry.folder else ""
    return replace(entry, name=f"{run}/{entry.name}") if run else entry


def generation_entry(folder: Path) -> Entry:
    """A generation with its scores. Raises NsbenchError if its model.json is broken."""
    info = read_json(folder / "model.json")
    try:
        scores = {
            name: score(results)
            for name, results in latest(folder / "results", info["weights"]).items()
        }
        return Entry(f"generation {info['generation']}", folder, info, scores)
    except (KeyError, TypeError) as error:
        raise NsbenchError(f"{folder / 'model.json'} is broken: it lacks {error}") from error


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


def comparable(one: SuiteScores, other: SuiteScores) -> bool:
    """Whether two models' numbers are of the same images, protocol, generator and reference."""
    identities = one.manifest["identity"], other.manifest["identity"]
    same = all(identities[0][key] == identities[1][key] for key in one.suite.comparable_keys)
    return same and one.manifest["reference"] == other.manifest["reference"]


def headline(scores: SuiteScores) -> Metric:
    """The metric a suite is known by."""
    return next(iter(scores.metrics.values()))


def change_from(base: Entry, entry: Entry, suite: str, metric: str) -> Change | None:
    """The change of a metric against the base model, None where either was not evaluated.

    None too where the images differ: the clean images beside a suite need not be the same.
    """
    if suite not in base.scores or suite not in entry.scores or base is entry:
        return None
    before, after = (e.scores[suite].metrics.get(metric) for e in (base, entry))
    if not before or not after or before.ids != after.ids:
        return None
    return change(after, before)


def headline_changes(base: Entry, entries: Sequence[Entry]) -> list[dict[str, Judged]]:
    """For each model the change of its headline against the base's, by suite, judged as one table.

    Without the suites that either was not evaluated on.
    """
    shown = [
        (number, name, difference)
        for number, entry in enumerate(entries)
        for name, scores in entry.scores.items()
        if (difference := change_from(base, entry, name, next(iter(scores.metrics))))
    ]
    rows: list[dict[str, Judged]] = [{} for _ in entries]
    judged = judge([difference for _, _, difference in shown])
    for (number, name, _), verdict in zip(shown, judged, strict=True):
        rows[number][name] = verdict
    return rows
