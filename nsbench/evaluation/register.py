"""The one list of kinds: what suites of a kind say, and how their images go through models."""

from collections.abc import Callable
from typing import Any

from nsbench.evaluation.accuracy import AccuracyPasses
from nsbench.evaluation.attack import AttackPasses
from nsbench.evaluation.corruption import CorruptionPasses
from nsbench.evaluation.perturbation import PerturbationPasses
from nsbench.evaluation.plan import Passes, S
from nsbench.suites.accuracy import AccuracySuite
from nsbench.suites.attack import AttackSuite
from nsbench.suites.base import Suite
from nsbench.suites.corruption import CorruptionSuite
from nsbench.suites.detection import DetectionSuite
from nsbench.suites.load import add_kind
from nsbench.suites.perturbation import PerturbationSuite
from nsbench.util.errors import NsbenchError

# By the kind's name, so that nothing has to ask for the class of a suite.
_passes: dict[str, Callable[[Any], Passes[Any]]] = {}


def register(kind: str, suite_class: type[S], passes: Callable[[S], Passes[Any]]) -> None:
    """Read suites of a kind as `suite_class` and run them by `passes`, which is given the suite.

    A kind may share the passes of another. Raises ValueError if another class has the kind already.
    """
    add_kind(kind, suite_class)
    _passes[kind] = passes


def passes_of(suite: Suite) -> Passes[Any]:
    """How a suite is run. Raises NsbenchError for a kind that was not registered."""
    if suite.kind not in _passes:
        raise NsbenchError(f"no passes are registered for the kind '{suite.kind}' of {suite.name}")
    return _passes[suite.kind](suite)


register("accuracy", AccuracySuite, AccuracyPasses)
register("detection", DetectionSuite, AccuracyPasses)
register("corruption", CorruptionSuite, CorruptionPasses)
register("perturbation", PerturbationSuite, PerturbationPasses)
register("attack", AttackSuite, AttackPasses)
