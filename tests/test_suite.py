import json
from pathlib import Path

import pytest

from nsbench.errors import NsbenchError
from nsbench.names import CORRUPTIONS, PERTURBATIONS
from nsbench.reference import load_reference
from nsbench.suite import CorruptionSuite, load_suite, shipped
from tests.conftest import write_suite

NORMALISED = ["digits-a", "digits-c", "digits-p", "imagenet-c", "imagenet-c-extra", "imagenet-p"]
PERTURBATION = 'kind = "perturbation"\nsource = "digits"\nimage_size = 32\n'
CORRUPTION = 'kind = "corruption"\nsource = "digits"\nimage_size = 32\n'


@pytest.mark.parametrize("name", shipped())
def test_shipped_suites_load_with_their_reference(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert suite.description
    reference = load_reference(suite)
    assert (reference is not None) == (name in NORMALISED)


def test_cells() -> None:
    assert load_suite("digits").cells() == ["images"]
    assert load_suite("digits-a").cells() == ["images", "clean"]
    c = load_suite("digits-c").cells()
    assert c[:3] == ["clean", "gaussian_noise/1", "gaussian_noise/2"]
    assert len(c) == 1 + 15 * 5
    assert load_suite("digits-p").cells() == list(PERTURBATIONS)
    fgsm = [f"eps={e}" for e in ("0", "0.5", "1", "2", "4", "8", "16")]
    assert load_suite("digits-fgsm").cells() == fgsm


def test_corruption_defaults_are_those_of_imagenet_c(tmp_path: Path) -> None:
    suite = load_suite(write_suite(tmp_path / "mine.toml", CORRUPTION))
    assert isinstance(suite, CorruptionSuite)
    assert suite.name == "mine"
    assert suite.corruptions == list(CORRUPTIONS)
    assert suite.jpeg_quality == 85


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('kind = "corrupt"\n', "which is no kind of suite; did you mean 'corruption'?"),
        ("", "the key 'kind' is None"),
        (CORRUPTION + "severitys = [1]\n", "unknown key 'severitys'; did you mean 'severities'?"),
        (CORRUPTION + 'corruptions = ["fogg"]\n', "no corruption 'fogg'; did you mean 'fog'?"),
        (CORRUPTION + 'corruptions = ["fog", "fog"]\n', "a corruption is named twice"),
        (CORRUPTION + "severities = [0]\n", "from 1 to 5"),
        (CORRUPTION + "severities = [1, 1]\n", "from 1 to 5"),
        (CORRUPTION + 'image_sise = "32"\n', "unknown key 'image_sise'"),
        (CORRUPTION + 'generator = "magic"\n', "the key 'generator' is 'magic'"),
        (
            'kind = "attack"\nsource = "digits"\nepsilons = [0, 1]\nheadline = 8\n',
            "headline is 8, which is not among the epsilons",
        ),
        ('kind = "attack"\nsource = "digits"\nepsilons = [1, 0]\nheadline = 1\n', "epsilons"),
        (
            'kind = "accuracy"\nsource = "digits"\nmisclassified = true\n',
            "needs the key 'reference'",
        ),
        (
            PERTURBATION + 'perturbations = ["rotat"]\n',
            "no perturbation 'rotat'; did you mean 'rotate'?",
        ),
    ],
)
def test_wrong_suites(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(NsbenchError) as caught:
        load_suite(write_suite(tmp_path / "mine.toml", text))
    assert sentence in str(caught.value)
    assert "mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_suite_offers_the_nearest_and_a_folder_a_hint(tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match="did you mean 'digits-c'"):
        load_suite("digits_c")
    with pytest.raises(NsbenchError, match="models are named before --suite"):
        load_suite(str(tmp_path))


def test_a_reference_of_another_definition_is_refused(tmp_path: Path) -> None:
    text = CORRUPTION + 'corruptions = ["fog"]\nreference = "ref.json"\n'
    suite = load_suite(write_suite(tmp_path / "mine.toml", text))
    entry = {"protocol": suite.protocol(), "clean": 0.1, "errors": {"fog": [0.2] * 5}}
    (tmp_path / "ref.json").write_text(json.dumps({"model": "m", "suites": {"mine": entry}}))
    assert load_reference(suite) == {**entry, "model": "m"}
    changed = suite.model_copy(update={"seed": 1})
    with pytest.raises(NsbenchError, match="another definition of mine"):
        load_reference(changed)
    with pytest.raises(NsbenchError, match="no reference for other"):
        load_reference(suite.model_copy(update={"name": "other"}))


def test_a_reference_that_would_divide_by_zero_is_refused(tmp_path: Path) -> None:
    text = CORRUPTION + 'corruptions = ["fog"]\nreference = "ref.json"\n'
    suite = load_suite(write_suite(tmp_path / "mine.toml", text))
    entry = {"protocol": suite.protocol(), "clean": 0.1, "errors": {"fog": [0.0] * 5}}
    (tmp_path / "ref.json").write_text(json.dumps({"model": "m", "suites": {"mine": entry}}))
    with pytest.raises(NsbenchError, match="'fog'.*zero"):
        load_reference(suite)
