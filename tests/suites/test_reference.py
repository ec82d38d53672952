"""References: constants from models and from the literature."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nsbench import corruptions
from nsbench.data.class_names import imagenet_classes
from nsbench.data.open import open_source
from nsbench.evaluation.make_reference import make_reference
from nsbench.suites.load import folder, load_suite
from nsbench.suites.reference import check_classes, check_generator, reference_of
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint
from nsbench.util.sealed import flaw, write_record
from tests.conftest import write_suite
from tests.evaluating import evaluate


def test_the_committed_reference_agrees_with_itself() -> None:
    """digits-a are the images behind the clean error of digits-c."""
    content = json.loads(Path(str(load_suite("digits-c").reference)).read_text())
    wrong = content["suites"]["digits-a"]["misclassified"]
    assert len(wrong) == pytest.approx(1000 * content["suites"]["digits-c"]["clean"], abs=0.5)


CORRUPTION = """
kind = "corruption"
source = "digits"
images_per_class = 1
image_size = 32
corruptions = ["fog", "snow"]
severities = [1, 3]
reference = "ref.json"
"""
PERTURBATION = """
kind = "perturbation"
source = "digits"
images_per_class = 1
image_size = 32
perturbations = ["translate"]
reference = "ref.json"
"""
ERRORS = {"fog": [0.2, 0.3], "snow": [0.4, 0.5]}
FILE: dict[str, dict[str, Any]] = {
    CORRUPTION: {"clean": 0.1, "errors": ERRORS},
    PERTURBATION: {"flip_probability": {"translate": 0.1}, "top5_distance": {"translate": 2.0}},
}


def written(folder: Path, text: str, **changed: Any) -> str:
    """A suite beside a reference that is right but for these keys; None is a missing one."""
    path = write_suite(folder / "mine.toml", text)
    entry = {"protocol": load_suite(path).protocol(), **FILE[text], **changed}
    entry = {key: value for key, value in entry.items() if value is not None}
    (folder / "ref.json").write_text(json.dumps({"model": "m", "suites": {"mine": entry}}))
    return path


@pytest.mark.parametrize(
    ("text", "changed", "sentence"),
    [
        (CORRUPTION, {"errors": {**ERRORS, "fog": [20.0, 30.0]}}, "errors.fog.0' is 20.0, but a"),
        (CORRUPTION, {"clean": 10.0}, "mine.clean' is 10.0, but a reference holds fractions from"),
        (CORRUPTION, {"clean": -0.1}, "mine.clean' is -0.1, but a reference holds fractions"),
        (CORRUPTION, {"clean": 1.01}, "mine.clean' is 1.01, but a reference holds fractions"),
        (CORRUPTION, {"clean": float("nan")}, "mine.clean' is nan, but"),
        (CORRUPTION, {"clean": True}, "mine.clean' is True, but"),
        (CORRUPTION, {"clean": "0.1"}, "mine.clean' is '0.1', but"),
        (CORRUPTION, {"clean": None}, "relative mCE needs the key 'clean'"),
        (CORRUPTION, {"errors": {**ERRORS, "fog": [0.2]}}, "has 1 errors of 'fog', but mine has 2"),
        (CORRUPTION, {"errors": {**ERRORS, "fog": [0.2] * 5}}, "has 5 errors of 'fog', but mine"),
        (
            CORRUPTION,
            {"errors": {**ERRORS, "fogg": [0.2, 0.3]}},
            "'fogg', which mine does not know",
        ),
        (CORRUPTION, {"errors": {"fog": [0.2, 0.3]}}, "its constant of 'snow' is missing or zero"),
        (CORRUPTION, {"errors": {**ERRORS, "fog": [0.2, "x"]}}, "errors.fog.1' is 'x', but"),
        (CORRUPTION, {"errors": {**ERRORS, "fog": 0.2}}, "errors.fog' is 0.2, but"),
        (CORRUPTION, {"image_size": 64}, "mine has images of 32 px, but"),
        (PERTURBATION, {"flip_probability": {"translate": 11.0}}, "translate' is 11.0, but a ref"),
        (PERTURBATION, {"top5_distance": {"translate": 16.0}}, "top-5 distances are from 0 to 15"),
        (PERTURBATION, {"top5_distance": {"translate": -1.0}}, "top-5 distances are from 0 to 15"),
        (PERTURBATION, {"top5_distance": None}, "'T5D of translate' is missing or zero"),
        (
            PERTURBATION,
            {"flip_probability": {"translate": 0.1, "tilt": 0.1}},
            "has constants of 'tilt', which mine does not know",
        ),
        (PERTURBATION, {"image_size": 64}, "mine has images of 32 px, but"),
    ],
)
def test_constants_that_cannot_be_are_refused_before_anything_runs(
    text: str, changed: dict[str, Any], sentence: str, tmp_path: Path, tiny_run: Path
) -> None:
    before = sorted(tiny_run.rglob("results/mine"))  # which another test may have made
    with pytest.raises(NsbenchError) as caught:
        evaluate([str(tiny_run)], [written(tmp_path, text, **changed)], device="cpu")
    assert sentence in str(caught.value)
    assert "ref.json" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(tiny_run.rglob("results/mine")) == before


def test_what_only_checks_is_no_part_of_the_results(tmp_path: Path) -> None:
    more = {"classes": 10, "classes_hash": fingerprint(sorted("0123456789")), "image_size": 32}
    suites = [load_suite(written(tmp_path, text, **more)) for text in (PERTURBATION, CORRUPTION)]
    check_classes(suites[1], open_source(suites[1].source))
    found = reference_of(suites[1])
    assert found is not None
    assert found == {"protocol": suites[1].protocol(), "model": "m", **FILE[CORRUPTION]}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"classes": 1000}, r"has 10 classes, but .*ref.json is of 1,000: leave out"),
        ({"classes": 10, "classes_hash": "0" * 64}, "has other classes than the 10 that"),
    ],
)
def test_constants_of_other_classes_are_refused(
    changed: dict[str, Any], sentence: str, tmp_path: Path, tiny_run: Path
) -> None:
    before = sorted(tiny_run.rglob("results/mine"))
    with pytest.raises(NsbenchError, match=sentence):
        evaluate([str(tiny_run)], [written(tmp_path, CORRUPTION, **changed)], device="cpu")
    assert sorted(tiny_run.rglob("results/mine")) == before


@pytest.mark.parametrize("text", [CORRUPTION, PERTURBATION])
def test_published_constants_of_imagenet_are_for_its_classes(text: str, tmp_path: Path) -> None:
    suite_text = text.replace("32", "224").replace("ref.json", "alexnet.json")
    suite_text = suite_text.replace("images_per_class = 1\n", "")

    suite = load_suite(write_suite(tmp_path / "s.toml", suite_text))

    def sentence(names: list[str] | None, labels: int = 0) -> str | None:
        classes = None if names is None else tuple(names)
        source: Any = SimpleNamespace(name="mine", classes=classes, labels=np.arange(labels))
        try:
            check_classes(suite, source)
        except NsbenchError as error:
            return str(error)
        return None

    wnids = list(imagenet_classes())
    assert sentence(wnids) is None
    assert sentence(None, 1000) is None
    assert "has 4 classes, but" in str(sentence(["alpha", "beta", "gamma", "delta"]))
    assert "has 4 classes, but" in str(sentence(wnids[:4]))
    assert "has 3 classes, but" in str(sentence(None, 3))
    assert "has other classes than the 1,000 that" in str(sentence([*wnids[:999], "cat"]))


def test_a_reference_says_what_it_belongs_to(tmp_path: Path, tiny_run: Path) -> None:
    path = write_suite(tmp_path / "mine.toml", CORRUPTION)
    model = str(tiny_run / "generation-0")
    content = make_reference([path], model, tmp_path / "ref.json", device="cpu")
    entry = content["suites"]["mine"]
    belonging = {key: entry[key] for key in ("image_size", "classes", "classes_hash")}
    committed = json.loads(Path(str(load_suite("digits-c").reference)).read_text())
    of_digits = committed["suites"]["digits-c"]
    assert belonging == {key: of_digits[key] for key in belonging}
    assert belonging["classes"] == 10
    check_classes(load_suite(path), open_source(load_suite(path).source))


def test_constants_of_other_pixels_are_refused(
    tmp_path: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_suite(tmp_path / "mine.toml", CORRUPTION)
    model = str(tiny_run / "generation-0")
    reference = tmp_path / "ref.json"
    content = make_reference([path], model, reference, device="cpu")
    ours = f"nsbench corruptions {corruptions.VERSION}"
    assert content["suites"]["mine"]["generator"] == ours
    check_generator(load_suite(path), ours)
    before = sorted(tiny_run.rglob("results/mine/*"))
    monkeypatch.setattr(corruptions, "VERSION", 77)
    with pytest.raises(NsbenchError, match=f"was made on images by {ours}, and .* corruptions 77"):
        evaluate([model], [path], device="cpu")
    assert sorted(tiny_run.rglob("results/mine/*")) == before
    # One that says nothing is of an earlier version, unless somebody wrote it by hand.
    del content["suites"]["mine"]["generator"]
    write_record(reference, content, named=False)
    with pytest.raises(NsbenchError, match="was made on images by an earlier generator"):
        check_generator(load_suite(path), ours)
    reference.write_text(json.dumps(content))
    check_generator(load_suite(path), ours)


def test_shipped_references_are_as_they_were_made() -> None:
    paths = sorted(folder().glob("*.json"))
    names = ["alexnet.json", "cifar10-reference.json", "digits-reference.json"]
    assert [path.name for path in paths] == names
    assert [flaw(path) for path in paths] == [None] * 3
    content = json.loads(paths[1].read_text())
    chosen = content["suites"]["cifar10-a"]["misclassified"]
    # As the README and the head of the model's recipe have it.
    assert len(set(chosen)) == len(chosen) == 1622
    assert content["weights"].startswith("5796fd9b8bb6")


def test_a_reference_that_was_changed_is_refused_unless_it_is_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "alexnet.json"
    text = (folder() / "alexnet.json").read_text()
    suite = load_suite("imagenet-c").model_copy(update={"reference": str(path)})
    for digits in (text.replace("0.43478", "0.43578"), text.replace("nsbench-sha256", "x")):
        path.write_text(digits)
        with pytest.raises(NsbenchError, match=r"alexnet\.json (is not as it was|holds no digest)"):
            reference_of(suite)
    path.write_text(re.sub(r',\s*"digest": "[^"]*"', "", text))
    assert reference_of(suite)
