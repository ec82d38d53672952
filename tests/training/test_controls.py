"""Controls of a run: trained beside it from its data and teacher, and shown beside its students."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from nsbench.commands.app import app
from nsbench.data.open import SourceSpec, open_source
from nsbench.metrics.change import change
from nsbench.models import load_checkpoint, load_models
from nsbench.predictions import results_of
from nsbench.pseudo_labels.targets import dense
from nsbench.pseudo_labels.true_labels import true_labels
from nsbench.reporting.report import write_report
from nsbench.suites.scores import score
from nsbench.training.generations import train
from nsbench.util.device import resolve_device
from nsbench.util.errors import NsbenchError
from tests.conftest import TINY_RECIPE, write_suite
from tests.evaluating import evaluate

RECIPE = (
    TINY_RECIPE.replace(
        'labeled = { source = "digits", split = "labeled" }\n'
        'unlabeled = { source = "digits", split = "unlabeled" }\n',
        'labeled = { source = "digits", split = "train" }\nlabels_per_class = 20\n',
    )
    + """
[[controls]]
kind = "labeled-only"

[[controls]]
kind = "oracle"

[[controls]]
kind = "longer-teacher"

[[controls]]
kind = "ensemble"
"""
)
NAMES = ["labeled-only", "oracle", "longer-teacher", "ensemble"]
SHORT = ["defaults.epochs=0.5"]
PLAIN = 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 10\n'


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all its controls, evaluated on one suite."""
    folder = tmp_path_factory.mktemp("controls")
    (folder / "tiny.toml").write_text(RECIPE)
    recipe = str(folder / "tiny.toml")
    made = train(recipe, folder / "run", settings=SHORT, device="cpu", controls=["all"])
    evaluate([str(made)], [write_suite(folder / "plain.toml", PLAIN)], device="cpu")
    return made


def info(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "model.json").read_text())
    return content


def test_controls_are_trained_from_the_data_and_teacher_of_the_run(run: Path) -> None:
    folders = {name: run / "controls" / name for name in NAMES}
    student = info(run / "generation-1")
    alone = info(folders["labeled-only"] / "generation-0")
    assert alone["steps"] == student["steps"]
    assert alone["unlabeled_images"] == 0
    assert alone["identity"]["chosen images"] == student["identity"]["chosen images"]
    oracle = info(folders["oracle"] / "generation-1")
    assert oracle["teacher_weights"] == info(run / "generation-0")["weights"]
    assert not (folders["oracle"] / "generation-0").exists()
    assert not (folders["oracle"] / "generation-1" / "labels").exists()
    assert oracle["identity"]["labels"]["labels"] == "true"
    assert info(folders["longer-teacher"] / "generation-0")["steps"] > student["steps"]
    names = [model.name for model in load_models([str(run)], resolve_device("cpu"))]
    assert [name.split("/")[-2] for name in names[2:]] == NAMES


def test_an_ensemble_averages_the_probabilities_of_two_teachers(run: Path) -> None:
    device = resolve_device("cpu")
    first = load_checkpoint(run / "generation-0", device)
    folder = run / "controls" / "ensemble" / "generation-1"
    both = load_checkpoint(folder, device)
    record = info(folder)
    assert record["unlabeled_images"] == 0
    assert record["teacher_weights"] == first.weights_hash
    assert record["parameters"] == 2 * info(run / "generation-0")["parameters"]
    assert record["steps"] == info(run / "generation-0")["steps"]
    assert not (folder / "labels").exists()
    images = torch.rand(5, 3, 32, 32)
    members = [member(images).softmax(1) for member in both.module.members]  # type: ignore[union-attr]
    assert torch.equal(members[0], first.module(images).softmax(1))
    assert not torch.allclose(members[0], members[1], atol=0.01)
    torch.testing.assert_close(both.module(images).softmax(1), (members[0] + members[1]) / 2)


def test_a_report_shows_what_the_student_has_above_them(run: Path, tmp_path: Path) -> None:
    _, table = write_report(run, tmp_path / "report.html")
    assert table.rows[0][0].endswith("/generation-1")
    assert [row[0].split("/")[-2] for row in table.rows[1:]] == NAMES
    assert "the gain of self-training" in table.notes[0]
    found = {
        name: score(results_of(folder / "results")["plain"][0].folder).metrics["top1"]
        for name, folder in {
            "student": run / "generation-1",
            "labeled-only": run / "controls" / "labeled-only" / "generation-0",
        }.items()
    }
    wanted = change(found["student"], found["labeled-only"])
    record = table.data[0]["suites"]["plain"]["top1"]
    assert record["value"] == found["student"].value
    assert record["change"]["value"] == wanted.value
    assert record["change"]["interval"] == list(wanted.interval)
    text = (tmp_path / "report.html").read_text()
    section = text[text.index('id="gain"') :]
    low, high = wanted.interval
    assert f"{wanted.value:+z.1f} [{low:+z.1f}, {high:+z.1f}]" in section


def test_finished_controls_are_kept_and_others_refused(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    recipe = str(run.parent / "tiny.toml")
    train(recipe, run, settings=SHORT, device="cpu", controls=["oracle"])
    train(resume=run, device="cpu", controls=["all"])
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    with pytest.raises(NsbenchError, match="has no control 'orakel'; did you mean 'oracle'"):
        train(recipe, run, settings=SHORT, device="cpu", controls=["orakel"])
    done = CliRunner().invoke(app, ["train", recipe, "--dry-run", "--device", "cpu", "--controls"])
    assert done.exit_code == 0, done.output
    assert "longer-teacher" in done.output


def test_true_labels_are_those_of_the_source() -> None:
    source = open_source(SourceSpec(source="digits", split="train"))
    assert source.labels is not None
    assert source.classes is not None
    indices = np.array([5, 3, 700])
    labels = true_labels(source, indices, source.classes)
    rows = np.array([2, 0, 0])
    assert labels.images(rows).tolist() == [700, 5, 5]
    targets = dense(labels.targets(rows), 10)
    assert targets.argmax(1).tolist() == source.labels[[700, 5, 5]].tolist()
    assert targets.sum(1).tolist() == [1, 1, 1]
    assert targets.max() == 1
    # By name, where the labeled images have another order of classes.
    turned = true_labels(source, indices, source.classes[::-1])
    assert (turned.classes == 9 - labels.classes).all()
    with pytest.raises(NsbenchError, match="has images of other classes than the labeled ones"):
        true_labels(source, np.arange(len(source)), ("0", "1"))
    unknown = open_source(SourceSpec(source="digits", split="unlabeled"))
    with pytest.raises(NsbenchError, match="the true labels of .* are not known, which the con"):
        true_labels(unknown, indices, source.classes)


def test_an_oracle_without_labels_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY_RECIPE + '\n[[controls]]\nkind = "oracle"\n')
    with pytest.raises(NsbenchError, match="the true labels of digits .* are not known"):
        train(str(recipe), tmp_path / "run", settings=SHORT, device="cpu", controls=["oracle"])
    assert not (tmp_path / "run").exists()


def test_variants_of_unlabeled_images_share_the_teacher(tmp_path: Path) -> None:
    variants = {
        "uneven": "data.unlabeled_imbalance=8.0",
        "mixed": "data.unlabeled={source='digits', split='test'}",
    }
    tables = [f'[[variants]]\nname = "{n}"\nset = ["{s}"]\n' for n, s in variants.items()]
    (tmp_path / "tiny.toml").write_text("\n".join([RECIPE, *tables]))
    settings = ["defaults.epochs=0.1", "generations.0.epochs=0.1"]
    recipe = str(tmp_path / "tiny.toml")
    made = train(recipe, tmp_path / "run", settings=settings, device="cpu", variants=["all"])
    # Their students saw other images; 3,800 of the digits have no label.
    seen = {"": info(made / "generation-1")["unlabeled_images"]}
    for name in variants:
        folder = made / "variants" / name
        assert not (folder / "generation-0").exists()
        student = info(folder / "generation-1")
        assert student["teacher_weights"] == info(made / "generation-0")["weights"]
        seen[name] = student["unlabeled_images"]
    assert seen[""] == 3800
    assert seen["uneven"] < 2000
    assert seen["mixed"] == 3800 + 1000
    train(recipe, made, settings=settings, device="cpu", variants=["all"])  # all were finished
