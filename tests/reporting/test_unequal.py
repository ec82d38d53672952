"""Reports of models that were evaluated on different suites, and of hardly any images."""

import json
import shutil
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from nsbench.reporting import score_tables, tables
from nsbench.reporting.compare import compare
from nsbench.reporting.report import write_report
from nsbench.suites.load import load_suite
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.evaluating import evaluate

FEW = 'source = "digits"\nimages_per_class = 1\n'
KINDS = {
    "accuracy": 'kind = "accuracy"\nclean = "digits"\n',
    "filtered": 'kind = "accuracy"\nmisclassified = true\nreference = "ref.json"\n',
    "detection": 'kind = "detection"\nclean = "digits"\n',
    "corruption": 'kind = "corruption"\nimage_size = 32\ncorruptions = ["fog"]\nseverities = [3]\n'
    'reference = "ref.json"\n',
    "perturbation": 'kind = "perturbation"\nimage_size = 32\nperturbations = ["translate"]\n'
    'reference = "ref.json"\n',
    "attack": 'kind = "attack"\nepsilons = [0.0, 8.0]\nheadline = 8.0\n',
}
HEADLINES = {
    "accuracy": "top-1", "filtered": "top-1", "detection": "AUPR",
    "corruption": "mCE of 1 corruption", "perturbation": "mFR", "attack": "FGSM ε=8",
}  # fmt: skip


@pytest.fixture
def suites(tmp_path: Path) -> dict[str, str]:
    # A reference names images, which a choice of a few of them may leave out.
    few = {name: FEW.replace("= 1", "= 100") if name == "filtered" else FEW for name in KINDS}
    paths = {n: write_suite(tmp_path / f"{n}.toml", KINDS[n] + few[n]) for n in KINDS}
    made: dict[str, dict[str, Any]] = {
        # Images that a limit of one leaves out: none is left then.
        "filtered": {"misclassified": ["mnist-0002", "mnist-0101", "mnist-0109"]},
        "corruption": {"clean": 0.2, "errors": {"fog": [0.4]}},
        "perturbation": {"flip_probability": {"translate": 0.1}, "top5_distance": {"translate": 2}},
    }
    entries = {n: {"protocol": load_suite(paths[n]).protocol(), **made[n]} for n in made}
    (tmp_path / "ref.json").write_text(json.dumps({"model": "m", "suites": entries}))
    return paths


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("results"))
    return tmp_path / "run"


def shown(folders: list[Path]) -> None:
    """Every table and file of an evaluation."""
    evaluated = [score(folder) for folder in folders]
    made = score_tables.evaluation_tables(evaluated)
    tables.print_tables(made)
    assert tables.markdown_text(made)
    assert tables.csv_text(score_tables.evaluation_records(evaluated))
    json.dumps([table.data for table in made], allow_nan=False)


def reported(paths: list[Path], out: Path) -> str:
    made = write_report(paths, out)
    tables.print_tables(made)
    json.dumps([table.data for table in made], allow_nan=False)
    return out.read_text()


def test_a_limit_that_leaves_no_image_is_one_sentence(suites: dict[str, str], run: Path) -> None:
    with pytest.raises(NsbenchError) as caught:
        evaluate([str(run)], [suites["filtered"]], device="cpu", limit=1)
    assert "none of the images that" in str(caught.value)
    assert "limit" in str(caught.value)
    assert not list(run.rglob("suite.json"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "filtered"])
@pytest.mark.parametrize("limit", [1, 2])
def test_hardly_any_images(kind: str, limit: int, suites: dict[str, str], run: Path) -> None:
    folders = evaluate([str(run)], [suites[kind]], device="cpu", limit=limit)
    shown(folders)
    reported([run], run / "r.html")
    compared = compare(run / "generation-0", run / "generation-1")
    json.dumps(compared.data(), allow_nan=False)
    assert all(table.rows for table in compared.tables())


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_model_may_lack_a_suite(kind: str, suites: dict[str, str], run: Path) -> None:
    first, second = (run / f"generation-{number}" for number in (0, 1))
    evaluate([str(second)], [suites[kind]], device="cpu")
    text = reported([run], run / "r.html")
    assert f"</small>{HEADLINES[kind]} " in text
    assert "not evaluated" in text
    with pytest.raises(NsbenchError, match=f"run/generation-0 was not evaluated on {kind}"):
        compare(first, second)


@pytest.mark.parametrize(("one", "other"), [*permutations(("detection", "attack", "accuracy"), 2)])
def test_suites_of_one_name_may_be_of_different_kinds(
    one: str, other: str, run: Path, tmp_path: Path
) -> None:
    for number, kind in enumerate((one, other)):
        suite = write_suite(tmp_path / "same.toml", KINDS[kind] + FEW)
        evaluate([str(run / f"generation-{number}")], [suite], device="cpu")
    page = reported([run], tmp_path / "r.html")
    assert "is not shown on same, where it was evaluated differently: another version" in page
    with pytest.raises(NsbenchError, match="nothing to compare: same is left out"):
        compare(run / "generation-0", run / "generation-1")


def test_no_two_models_need_the_same_suites(
    suites: dict[str, str], run: Path, tmp_path: Path
) -> None:
    third = tmp_path / "third" / "generation-1"
    shutil.copytree(run / "generation-1", third)
    models = [run / "generation-0", run / "generation-1", third]
    for model, kinds in zip(
        models, (["accuracy", "attack"], ["detection", "attack"], ["corruption"]), strict=True
    ):
        evaluate([str(model)], [suites[kind] for kind in kinds], device="cpu", limit=3)
    for order in permutations(models):
        reported(list(order), tmp_path / "r.html")
        other = compare(order[0], order[1]) if third not in order[:2] else None
        assert other is None or [row.suite for row in other.headlines] == ["attack"]
