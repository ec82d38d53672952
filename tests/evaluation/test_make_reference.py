"""The committed reference of the digits suites, remade in part."""

import json
from pathlib import Path

import pytest

from nsbench.evaluation.make_reference import make_reference
from nsbench.names import CORRUPTIONS, PERTURBATIONS
from nsbench.predictions import read_cell
from nsbench.run_folder import read_info
from nsbench.suites.corruption import CorruptionSuite
from nsbench.suites.load import load_suite
from nsbench.suites.perturbation import PerturbationSuite
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError
from tests.evaluating import evaluate

SOME_CORRUPTIONS = ["impulse_noise", "defocus_blur", "contrast", "pixelate"]
SOME_PERTURBATIONS = ["motion_blur", "translate", "gaussian_noise"]


@pytest.fixture(scope="module")
def committed() -> dict[str, dict[str, object]]:
    path = load_suite("digits-c").reference
    assert path is not None
    suites: dict[str, dict[str, object]] = json.loads(Path(path).read_text())["suites"]
    return suites


def test_the_committed_reference_covers_every_cell(committed: dict) -> None:  # type: ignore
    assert tuple(committed["digits-c"]["errors"]) == CORRUPTIONS
    assert all(len(row) == 5 for row in committed["digits-c"]["errors"].values())
    assert tuple(committed["digits-p"]["flip_probability"]) == PERTURBATIONS
    assert tuple(committed["digits-p"]["top5_distance"]) == PERTURBATIONS


def test_some_cells_remade_are_as_committed(
    committed: dict,  # type: ignore[type-arg]
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # where the results of the linear model go
    corruption = load_suite("digits-c").model_copy(
        update={"corruptions": SOME_CORRUPTIONS, "severities": [2, 4], "reference": None}
    )
    perturbation = load_suite("digits-p").model_copy(
        update={"perturbations": SOME_PERTURBATIONS, "reference": None}
    )
    assert isinstance(corruption, CorruptionSuite)
    assert isinstance(perturbation, PerturbationSuite)
    clean = load_suite("digits")
    folders = evaluate(["linear:digits"], [clean, corruption, perturbation], device="cpu")
    # a handful of images may fall otherwise with other versions of scikit-learn or scikit-image
    few = 0.006
    c, p = score(folders[1]), score(folders[2])
    for name in SOME_CORRUPTIONS:
        expected = [committed["digits-c"]["errors"][name][s - 1] for s in (2, 4)]
        found = [error / 100 for error in c.tables["error"][name]]
        assert found == pytest.approx(expected, abs=few)
    for name in SOME_PERTURBATIONS:
        expected = committed["digits-p"]["flip_probability"][name]
        assert p.tables["flip_probability"][name][0] / 100 == pytest.approx(expected, abs=few)
        expected = committed["digits-p"]["top5_distance"][name]
        assert p.tables["top5_distance"][name][0] == pytest.approx(expected, abs=0.05)
    rows = read_cell(folders[0], "images")
    wrong = {i for i, y, t in zip(rows.ids, rows.labels, rows.top[:, 0], strict=True) if y != t}
    assert len(wrong ^ set(committed["digits-a"]["misclassified"])) <= 3


def test_a_reference_for_a_suite_of_ones_own(tiny_run: Path, tmp_path: Path) -> None:
    suite = tmp_path / "mine.toml"
    suite.write_text(
        'kind = "corruption"\nsource = "digits"\nimages_per_class = 5\nimage_size = 32\n'
        'jpeg_quality = 0\ncorruptions = ["contrast"]\nreference = "ref.json"\n'
    )
    model = str(tiny_run / "generation-0")
    content = make_reference([str(suite)], model, tmp_path / "ref.json", device="cpu")
    written = json.loads((tmp_path / "ref.json").read_text())
    assert written.pop("digest").startswith("nsbench-sha256:")
    assert written == content
    (folder,) = evaluate([model], [str(suite)], device="cpu")
    assert score(folder).metrics["mce"].value == pytest.approx(100, abs=1e-3)
    assert f"--model {model}" in content["command"]
    assert content["weights"] == read_info(tiny_run / "generation-0")["weights"]


def test_suites_that_take_none(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match="digits-fgsm takes no reference"):
        make_reference(["digits-fgsm"], str(tiny_run), tmp_path / "ref.json")
    assert not (tmp_path / "ref.json").exists()
