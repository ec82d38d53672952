"""Models in the order of a suite or a metric."""

from pathlib import Path

import pytest

from nsbench.reporting.order import best_first, sorted_scores
from nsbench.suites.base import SuiteScores
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.evaluating import evaluate

SUITES = {
    "plain": 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 5\n',
    "foggy": 'kind = "corruption"\nsource = "digits"\nimages_per_class = 3\nimage_size = 32\n'
    'corruptions = ["fog"]\nseverities = [1]\n',
    "moved": 'kind = "perturbation"\nsource = "digits"\nimages_per_class = 1\nimage_size = 32\n'
    'perturbations = ["translate"]\n',
    "attacked": 'kind = "attack"\nsource = "digits"\nimages_per_class = 2\nepsilons = [0, 4]\n'
    "headline = 4\n",
}


@pytest.fixture(scope="module")
def scores(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> list[SuiteScores]:
    folder = tmp_path_factory.mktemp("order")
    paths = [write_suite(folder / f"{name}.toml", text) for name, text in SUITES.items()]
    return [score(one) for one in evaluate([str(tiny_run)], paths, device="cpu")]


def test_suites_say_what_their_metrics_are_called(scores: list[SuiteScores]) -> None:
    for one in scores:
        known = one.suite.metric_names
        assert {key: metric.name for key, metric in one.metrics.items()}.items() <= known.items()


@pytest.mark.parametrize(
    ("by", "suite", "key"),
    [
        ("plain", "plain", "top1"),
        ("top-1", "plain", "top1"),
        ("foggy", "foggy", "error"),
        ("error", "foggy", "error"),
        ("flip_probability", "moved", "flip_probability"),
        ("fgsm_4", "attacked", "fgsm_4"),
    ],
)
def test_the_best_comes_first(scores: list[SuiteScores], by: str, suite: str, key: str) -> None:
    shown = [one for one in sorted_scores(scores, by) if one.suite.name == suite]
    values = [one.metrics[key].value for one in shown]
    higher = shown[0].metrics[key].higher_is_better
    assert values == sorted(values, reverse=higher)
    assert len(values) == 2
    # Suites stay in their order, whatever orders the models.
    assert list(dict.fromkeys(o.suite.name for o in sorted_scores(scores, by))) == list(SUITES)


def test_models_without_the_metric_come_last(scores: list[SuiteScores]) -> None:
    plain, foggy = scores[0], scores[2]
    models = {"a": {"plain": plain}, "b": {"foggy": foggy}}
    assert best_first(models, "error") == ["b", "a"]
    with pytest.raises(NsbenchError, match="nothing called 'eror' to sort by; did you mean 'err"):
        best_first(models, "eror")
