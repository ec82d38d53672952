"""The order of models in tables: the best first, by a suite's headline or a metric."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nsbench.reporting.results import Entry, headline
from nsbench.suites.base import SuiteScores
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError

Models = Mapping[str, Mapping[str, SuiteScores]]
"""The scores of models by their names, and by suite."""


def best_first(models: Models, by: str) -> list[str]:
    """The names of the models from the best to the worst, then those that have no such metric.

    by: a suite, for its headline, or a metric by its key or as tables call it, of the first suite
    that has it. Raises NsbenchError if no model has either.
    """
    ranks: dict[str, float] = {}
    for name, scores in models.items():
        for suite, own in scores.items():
            metrics = {m.name: m for m in own.metrics.values()} | dict(own.metrics)
            metric = headline(own) if suite == by else metrics.get(by)
            if metric is not None:
                ranks.setdefault(name, metric.rank)
    if not ranks:
        every = [one for scores in models.values() for one in scores.values()]
        known = [suite for scores in models.values() for suite in scores]
        known += [name for one in every for key, m in one.metrics.items() for name in (key, m.name)]
        raise NsbenchError(f"there is nothing called '{by}' to sort by{nearest(by, known)}")
    # Python's sort keeps the order of equal ones.
    return sorted(models, key=lambda name: (name not in ranks, ranks.get(name, 0.0)))


def sorted_scores(evaluated: Sequence[SuiteScores], by: str) -> list[SuiteScores]:
    """The scores of an evaluation, suite by suite, with the models in the order of `best_first`.

    A suite's order is that of all. A metric orders each suite that has it by itself.
    """
    models: dict[str, dict[str, SuiteScores]] = {}
    for one in evaluated:
        models.setdefault(one.model, {})[one.suite.name] = one
    order = best_first(models, by)
    found = []
    for suite in dict.fromkeys(one.suite.name for one in evaluated):
        own = {name: {suite: models[name][suite]} for name in order if suite in models[name]}
        metrics = [pair for scores in own.values() for pair in scores[suite].metrics.items()]
        has_it = any(by in (key, metric.name) for key, metric in metrics)
        inside = best_first(own, by) if has_it else list(own)
        found += [own[name][suite] for name in inside]
    return found


def arranged(
    entries: Sequence[Entry], names: Mapping[str, str], base: str | None, sort: str | None
) -> list[Entry]:
    """The models under the names that they are given, the base first, the others by a suite.

    names: new ones by those that the models have. base: the one that others are compared with, by
    either name; by default the first. sort: what `best_first` orders the others by.
    Raises NsbenchError for a name, a suite or a metric that there is none of.
    """
    known = [entry.name for entry in entries]
    for name in names:
        if name not in known:
            raise NsbenchError(f"there is no model '{name}' to name{nearest(name, known)}")
    named = [replace(entry, name=names.get(entry.name, entry.name)) for entry in entries]
    if len({entry.name for entry in named}) < len(named):
        raise NsbenchError("two models would have one name: choose others")
    first = named[0]
    if base is not None:
        own = [e for e, old in zip(named, known, strict=True) if base in (e.name, old)]
        if not own:
            raise NsbenchError(f"there is no model '{base}' to compare with{nearest(base, known)}")
        first = own[0]
    if sort is not None:
        order = best_first({entry.name: entry.scores for entry in named}, sort)
        named.sort(key=lambda entry: order.index(entry.name))
    return [first, *(entry for entry in named if entry is not first)]


def sorted_column(
    columns: Sequence[str], entries: Sequence[Entry], sort: str | None
) -> tuple[str, ...]:
    """The heads among a summary's columns that the models are sorted by: of a suite, its own."""
    suites = {
        name
        for entry in entries
        for name, scores in entry.scores.items()
        if sort == name or any(sort in (key, m.name) for key, m in scores.metrics.items())
    }
    return tuple(head for head in columns if head.partition("\n")[0] in suites)[:1]
