"""What becomes a key, a file or a folder is another one for everything that differs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from nsbench.models import load_model
from nsbench.reporting.figures.drawn import empty_axes, svg
from nsbench.reporting.report import write_report
from nsbench.suites.attack import AttackSuite, exact
from nsbench.suites.load import load_suite, parse_suite, shipped
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.evaluating import evaluate
from tests.test_cli import call

ATTACK = {"kind": "attack", "name": "a", "source": {"source": "digits"}, "images_per_class": 1}


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (8.0, "8"),
        (0.5, "0.5"),
        (0.0, "0"),
        (1.0000001, "1.0000001"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-05, "1e-05"),
        (123456.5, "123456.5"),
        (1234567.0, "1234567.0"),
    ],
)
def test_numbers_keep_the_digits_that_tell_them_apart(number: float, text: str) -> None:
    assert exact(number) == text
    assert float(exact(number)) == number


def test_the_cells_of_shipped_attacks_have_their_names() -> None:
    suites = [load_suite(name) for name in shipped()]
    cells = {cell for suite in suites if suite.kind == "attack" for cell in suite.cells()}
    assert cells >= {"eps=0", "eps=0.5", "eps=1", "eps=16"}
    assert not [cell for cell in cells if cell.endswith(".0") or "e" in cell[3:]]


def test_close_epsilons_have_results_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    values = [0.0, 1.0, 1.0000001, 40.0]
    suite = parse_suite({**ATTACK, "epsilons": values, "headline": 1.0000001}, "a")
    (folder,) = evaluate(["linear:digits"], [suite], device="cpu")
    for _ in range(2):  # a repeated command finds all of them
        metrics = score(folder).metrics
        assert list(metrics) == ["fgsm_1.0000001", "fgsm_0", "fgsm_1", "fgsm_40"]
        assert len({metric.name for metric in metrics.values()}) == 4
        assert evaluate(["linear:digits"], [suite], device="cpu") == [folder]
    write_report("results/linear-digits", "r.html")
    assert "ε = 1.0000001<" in Path("r.html").read_text()


def test_equal_epsilons_are_refused_and_zero_has_no_sign() -> None:
    with pytest.raises(NsbenchError, match="epsilons must be in ascending order, different"):
        parse_suite({**ATTACK, "epsilons": [-0.0, 0.0], "headline": 0.0}, "a")
    with pytest.raises(NsbenchError, match="epsilons must be in ascending order, different"):
        parse_suite({**ATTACK, "epsilons": [0.5, 0.50], "headline": 0.5}, "a")
    zero = parse_suite({**ATTACK, "epsilons": [-0.0, 1.0], "headline": -0.0}, "a")
    assert isinstance(zero, AttackSuite)
    assert zero.cells() == ["eps=0", "eps=1"]
    assert exact(zero.headline) == "0"


def test_names_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    text = 'kind = "accuracy"\nsource = "digits"\n'
    suites = [
        write_suite(tmp_path / f"{n}.toml", f'name = "{n}"\n{text}') for n in ("Mine", "mine")
    ]
    with pytest.raises(NsbenchError, match="two different suites are named Mine and mine: rename"):
        evaluate(["linear:digits"], suites, device="cpu")
    corruption = {**ATTACK, "kind": "corruption", "image_size": 32, "generator": "none"}
    with pytest.raises(NsbenchError, match="corruptions must be different names of folders"):
        parse_suite({**corruption, "files": "f", "corruptions": ["Fog", "fog"]}, "c")


def test_figures_of_similar_names_share_no_ids() -> None:
    shown = {
        name: str(svg(empty_axes()[0], name, "a figure")) for name in ("a.b", "a/b", "a-b", "a--b")
    }
    ids = {name: set(text.split('id="')[1:]) for name, text in shown.items()}
    firsts = {name: {part.split('"')[0] for part in parts} for name, parts in ids.items()}
    names = [part for parts in firsts.values() for part in parts]
    assert len(names) == len(set(names))


def test_models_of_one_name_are_both_shown_when_nothing_is_left_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm
    import torch

    monkeypatch.chdir(tmp_path)
    text = 'kind = "accuracy"\nsource = { source = "digits", label_space = "indices" }\n'
    suite = write_suite(tmp_path / "s.toml", text + "images_per_class = 1\n")
    files = [f"{folder}/best/m.pth" for folder in ("p", "q")]
    (tmp_path / "names.txt").write_text("\n".join("0123456789"))
    options = ["--arch", "test_resnet", "--image-size", 32, "--classes", "names.txt"]
    options += ["--suite", suite, "--device", "cpu"]
    for file in files:
        Path(file).parent.mkdir(parents=True)
        torch.save(timm.create_model("test_resnet", num_classes=10).state_dict(), file)
        assert call("eval", file, *options) == 0
    assert call("eval", *files, *options, "--json", "e.json") == 0
    assert len(json.loads(Path("e.json").read_text())[0]["models"]) == 2


def test_estimates_of_other_input_sizes_are_measured_each(monkeypatch: pytest.MonkeyPatch) -> None:
    from nsbench.evaluation import estimate
    from nsbench.evaluation.options import make_options

    measured: list[int] = []
    monkeypatch.setattr(
        estimate,
        "_forward_seconds",
        lambda run, _: measured.append(run.model.preprocessing.image_size) or 0.0,  # type: ignore[func-returns-value]
    )
    model = load_model("linear:digits", "cpu")
    size = model.preprocessing.model_copy(update={"image_size": 64})
    larger = replace(model, name="larger", preprocessing=size, results=Path("results/larger"))
    suite = parse_suite({**ATTACK, "kind": "accuracy"}, "a")
    estimate.estimate([model, larger], [suite], make_options(device="cpu"))
    assert measured == [32, 64]
