import json
from pathlib import Path
from typing import Any

import pytest

from nsbench.evaluation.estimate import estimate
from nsbench.evaluation.options import make_options
from nsbench.names import CORRUPTIONS, PERTURBATIONS
from nsbench.suites.corruption import CorruptionSuite
from nsbench.suites.load import load_suite, shipped
from nsbench.suites.reference import reference_of
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint
from tests.conftest import write_suite

NORMALISED = [
    "cifar10-a",
    "digits-a",
    "digits-c",
    "digits-p",
    "imagenet-c",
    "imagenet-c-extra",
    "imagenet-p",
]
PERTURBATION = 'kind = "perturbation"\nsource = "digits"\nimage_size = 32\n'
PGD = 'kind = "attack"\nsource = "digits"\nattack = "pgd"\nepsilons = [8]\nheadline = 8\n'
CORRUPTION = 'kind = "corruption"\nsource = "digits"\nimage_size = 32\n'


@pytest.mark.parametrize("name", shipped())
def test_shipped_suites_load_with_their_reference(name: str) -> None:
    suite = load_suite(name)
    assert suite.name == name
    assert suite.description
    reference = reference_of(suite)
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
        ('kind = "corrupt"\n', "which is not a kind of suite; did you mean 'corruption'?"),
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
        (CORRUPTION + 'generator = "none"\n', "makes no images: name the key 'files'"),
        (
            CORRUPTION + 'generator = "none"\nfiles = "f"\ncorruptions = ["../x"]\n',
            "corruptions must be different names of folders",
        ),
        (
            'kind = "accuracy"\nsource = "a"\nmisclassified = true\nclean = "b"\n',
            "leave out 'clean'",
        ),
        ('kind = "detection"\nsource = "digits"\n', "the key 'clean' is missing"),
        ('kind = "detection"\nsource = "a"\nclean = "b"\nmask = false\n', "'mask' is False"),
        (PGD, "needs the keys steps, relative_step, random_start"),
        (PGD + "steps = 1\nrelative_step = 1\nrandom_start = true\n", "'random_start' is True"),
        (PGD.replace("pgd", "fgsm") + "steps = 3\n", "the key 'steps' is for PGD only"),
        ('kind = "attack"\nsource = "digits"\nepsilons = [1, 0]\nheadline = 1\n', "epsilons"),
        (
            'kind = "attack"\nsource = "digits"\nepsilons = [1e300]\nheadline = 1e300\n',
            "epsilons must be at most 255",
        ),
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


def test_an_unknown_suite_offers_the_nearest_and_a_run_a_hint(tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match="did you mean 'digits-c'"):
        load_suite("digits_c")
    (tmp_path / "recipe.toml").touch()
    with pytest.raises(NsbenchError, match="models are named before --suite"):
        load_suite(str(tmp_path))


def test_data_that_lie_there_are_an_accuracy_suite(tmp_path: Path) -> None:
    folder, file = tmp_path / "few", tmp_path / "cif.parquet"
    folder.mkdir()
    file.touch()
    suite = load_suite(file)
    assert (suite.kind, suite.name, suite.source.source) == ("accuracy", "cif", str(file))
    split = load_suite(f"{folder}:test")
    assert (split.name, split.source.split, split.source.source) == (
        "few-test",
        "test",
        str(folder),
    )


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("fewd", "did you mean 'few'?"),
        ("fewc.tom", "did you mean 'fewc.toml'?"),
        ("./fewc.toml.", "did you mean 'fewc.toml'?"),
        ("fewc", "did you mean 'fewc.toml'?"),
        ("imagenet-e", "did you mean 'imagenet-a'?"),
        ("notes.txt", "notes.txt, which is a file: name a TOML file or a folder"),
        ("", "no suite was named"),
        ("x" * 5000, "there is no suite xxx"),
    ],
)
def test_a_wrong_name_offers_what_lies_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few").mkdir()
    (tmp_path / "notes.txt").touch()
    write_suite(tmp_path / "fewc.toml", CORRUPTION)
    with pytest.raises(NsbenchError) as caught:
        load_suite(name)
    assert sentence in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_reference_of_another_definition_is_refused(tmp_path: Path) -> None:
    text = CORRUPTION + 'corruptions = ["fog"]\nreference = "ref.json"\n'
    suite = load_suite(write_suite(tmp_path / "mine.toml", text))
    entry = {"protocol": suite.protocol(), "clean": 0.1, "errors": {"fog": [0.2] * 5}}
    (tmp_path / "ref.json").write_text(json.dumps({"model": "m", "suites": {"mine": entry}}))
    assert reference_of(suite) == {**entry, "model": "m"}
    changed = suite.model_copy(update={"seed": 1})
    with pytest.raises(NsbenchError, match="another definition of mine"):
        reference_of(changed)
    with pytest.raises(NsbenchError, match="no reference for other"):
        reference_of(suite.model_copy(update={"name": "other"}))


def test_a_reference_that_would_divide_by_zero_is_refused(tmp_path: Path) -> None:
    text = CORRUPTION + 'corruptions = ["fog"]\nreference = "ref.json"\n'
    suite = load_suite(write_suite(tmp_path / "mine.toml", text))
    entry = {"protocol": suite.protocol(), "clean": 0.1, "errors": {"fog": [0.0] * 5}}
    (tmp_path / "ref.json").write_text(json.dumps({"model": "m", "suites": {"mine": entry}}))
    with pytest.raises(NsbenchError, match="'fog'.*zero"):
        reference_of(suite)


def test_keys_that_came_later_leave_the_protocol_of_older_suites() -> None:
    """The digits' reference, and stored predictions, were made before these keys were known."""
    assert load_suite("digits-a").protocol().startswith("bdbb97c921d6286d")
    fgsm = load_suite("digits-fgsm")
    later = {"steps", "relative_step", "random_start"}
    older = fgsm.model_dump(exclude={"description", "reference", *later})
    assert fgsm.protocol() == fingerprint(older)


ALEXNET = 'reference = "alexnet.json"\n'
FULL = CORRUPTION.replace("32", "224")


def published(tmp_path: Path, text: str) -> dict[str, Any]:
    reference = reference_of(load_suite(write_suite(tmp_path / "mine.toml", text + ALEXNET)))
    assert reference is not None
    return reference


def test_published_constants_serve_any_suite_of_their_parts(tmp_path: Path) -> None:
    few = FULL + 'corruptions = ["fog", "saturate"]\nseverities = [2, 5]\n'
    assert published(tmp_path, few)["errors"] == {
        "fog": [0.76050, 0.94500], "saturate": [0.65514, 0.82260]
    }  # fmt: skip
    more = few + "images_per_class = 3\nseed = 9\nresize_size = 256\njpeg_quality = 0\n"
    assert published(tmp_path, more) == published(tmp_path, few)
    clips = PERTURBATION.replace("32", "224") + 'perturbations = ["shear"]\n'
    found = published(tmp_path, clips)
    assert found["flip_probability"] == {"shear": 0.1066}
    assert found["top5_distance"] == {"shear": 2.48}


def test_published_constants_of_other_pixels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        NsbenchError, match="mine has images of 32 px, but .*alexnet.json is of 224"
    ):
        published(tmp_path, CORRUPTION)
    clips = PERTURBATION.replace("32", "224") + "difficulty = 2\n"
    with pytest.raises(NsbenchError, match="mine has difficulty 2, but .* of difficulty 1"):
        published(tmp_path, clips)
    with pytest.raises(NsbenchError, match="constant of 'sparkles' is missing"):
        published(tmp_path, FULL + 'generator = "none"\nfiles = "f"\ncorruptions = ["sparkles"]\n')
    short = {"protocol": "published", "errors": {"fog": [0.5]}}
    (tmp_path / "ref.json").write_text(json.dumps({"model": "m", "suites": {"mine": short}}))
    text = CORRUPTION + 'corruptions = ["fog"]\nreference = "ref.json"\n'
    with pytest.raises(NsbenchError, match="needs errors of 5 severities"):
        reference_of(load_suite(write_suite(tmp_path / "mine.toml", text)))


def test_a_missing_reference_is_sought_beside_the_suite(tmp_path: Path) -> None:
    text = CORRUPTION + 'reference = "none.json"\n'
    suite = load_suite(write_suite(tmp_path / "mine.toml", text))
    with pytest.raises(NsbenchError, match=str(tmp_path / "none.json")):
        reference_of(suite)


def test_a_dry_run_of_the_digits_suites(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nsbench.evaluation.estimate.SECONDS", 0.0)
    suites = [name for name in shipped() if name.startswith("digits")]
    rows = estimate([str(tiny_run / "generation-0")], suites, make_options(device="cpu"))
    assert [row["suite"] for row in rows] == suites
