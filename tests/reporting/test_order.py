"""Models under chosen names, and in the order of a suite or a metric."""

import json
import shutil
from pathlib import Path

import pytest

import nsbench
from nsbench.reporting.order import best_first, sorted_scores
from nsbench.reporting.report import write_report
from nsbench.suites.base import SuiteScores
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.evaluating import evaluate
from tests.test_cli import call

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


FEW = 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 4\n'


@pytest.fixture(scope="module")
def place(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs with results on one suite, in a folder."""
    folder = tmp_path_factory.mktemp("place")
    suite = write_suite(folder / "few.toml", FEW)
    for name in ("one", "two"):
        shutil.copytree(tiny_run, folder / name)
        for results in (folder / name).rglob("results"):
            shutil.rmtree(results)
        nsbench.evaluate(folder / name, suite, device="cpu")
    return folder


def models(path: Path) -> list[str]:
    return [row["model"] for row in json.loads(path.read_text())]


def test_title_names_base_and_order(place: Path, tmp_path: Path) -> None:
    options = ["--title", "Five <models>", "--name", "one/generation-1=student"]
    options += ["--base", "student", "--sort", "few", "--json", str(tmp_path / "r.json")]
    out = tmp_path / "r.html"
    assert call("report", place / "one", place / "two", "--out", out, *options) == 0
    text = out.read_text()
    assert "<h1>Five &lt;models&gt;</h1>" in text
    assert "against student" in text
    first, *others = models(tmp_path / "r.json")
    assert first == "student"
    values = {
        row["model"]: row["suites"]["few"]["top1"]["value"]
        for row in json.loads((tmp_path / "r.json").read_text())
    }
    assert [values[name] for name in others] == sorted((values[n] for n in others), reverse=True)
    assert values["student"] == values["two/generation-1"]


WRONG: dict[str, dict[str, object]] = {
    "there is no model 'none' to compare with": {"base": "none"},
    "nothing called 'few2' to sort by; did you mean 'few'": {"sort": "few2"},
    "there is no model 'x' to name": {"names": {"x": "y"}},
    "two models would have one name": {"names": {"one/generation-0": "one/generation-1"}},
}


@pytest.mark.parametrize("sentence", WRONG)
def test_what_there_is_none_of_is_told(sentence: str, place: Path, tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match=sentence):
        write_report(place / "one", tmp_path / "r.html", **WRONG[sentence])  # type: ignore[arg-type]
    assert not (tmp_path / "r.html").exists()


def test_a_name_needs_both_sides(
    place: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.html"
    assert call("report", place / "one", "--out", out, "--name", "x") == 2
    assert "--name x: write OLD=NEW" in capfd.readouterr().err


def test_eval_names_and_orders(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    suite = ["--suite", "few.toml", "--device", "cpu"]
    assert call("eval", "one", *suite, "--sort", "top1", "--json", "e.json") == 0
    capfd.readouterr()
    assert call("eval", "one/generation-0", *suite, "--name", "mine") == 0
    assert "\nmine " in capfd.readouterr().out
    assert call("eval", "one", *suite, "--sort", "top9") == 2
    assert "to sort by called 'top9'; did you mean 'top1'" in capfd.readouterr().err
    assert call("eval", "one", *suite, "--sort", "few", "--json", "f.json") == 0
    assert json.loads((place / "e.json").read_text()) == json.loads((place / "f.json").read_text())
    # It is called by its own name again, as nobody says otherwise.
    assert call("eval", "one", *suite) == 0
    assert "mine" not in capfd.readouterr().out


def test_a_folder_of_results_is_all_that_is_inside(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    from tests.models.test_given import Net

    suite = write_suite(tmp_path / "few.toml", FEW)
    for name, outputs in (("a", 10), ("b", 10)):
        module = Net(outputs)
        if name == "b":
            module.head.bias.data.add_(1)
        nsbench.evaluate(module, suite, device="cpu", name=name, image_size=32)
    summary, *_ = write_report("results", "r.html")
    assert sorted(row["model"] for row in summary.data) == ["a", "b"]
    assert sorted(nsbench.load_results("results").models) == ["a", "b"]
