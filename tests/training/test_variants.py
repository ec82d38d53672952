"""Variants of a run: what they share with it, and what they do not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from nsbench.models import load_model, load_models
from nsbench.pseudo_labels import pipeline
from nsbench.pseudo_labels.store import LabelStore
from nsbench.reporting.run_tables import training_table
from nsbench.training.generations import train
from nsbench.util.errors import NsbenchError
from nsbench.util.locks import only_writer
from tests.conftest import TINY_RECIPE

SHORT = ["defaults.epochs=0.5"]
VARIANTS = """
[[variants]]
name = "quiet"
set = ["generations.1.randaugment=''", "generations.1.dropout=0"]

[[variants]]
name = "confident"
set = ["pseudo_labels.min_confidence=0.15"]

[[variants]]
name = "top"
set = ["pseudo_labels.top_k=3"]

[[variants]]
name = "noised"
set = ["pseudo_labels.teacher_noise=true"]

[[variants]]
name = "distilled"
set = ["pseudo_labels.distill=true", "pseudo_labels.min_confidence=0.9"]

[[variants]]
name = "seeded"
set = ["seed=1"]
"""
NAMES = ["quiet", "confident", "top", "noised", "distilled", "seeded"]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("variants") / "tiny.toml"
    path.write_text(TINY_RECIPE + VARIANTS)
    return path


@pytest.fixture(scope="module")
def varied(recipe: Path) -> Path:
    """A run with all its variants; tests only read it."""
    folder = recipe.parent / "run"
    return train(str(recipe), folder, settings=SHORT, device="cpu", variants=["all"])


def info(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "model.json").read_text())
    return content


def stamps(run: Path) -> dict[str, int]:
    return {
        str(path.relative_to(run)): path.stat().st_mtime_ns
        for path in run.rglob("*")
        if path.suffix in (".safetensors", ".arrow", ".npy")
    }


def test_students_have_the_teacher_of_the_run(varied: Path) -> None:
    teacher = info(varied / "generation-0")["weights"]
    for name in NAMES[:-1]:
        folder = varied / "variants" / name
        assert info(folder / "generation-1")["teacher_weights"] == teacher
        assert not (folder / "generation-0").exists()
        assert json.loads((folder / "variant.json").read_text())["teacher"] == "../../generation-0"
    students = {info(varied / "variants" / n / "generation-1")["weights"] for n in NAMES}
    assert len(students | {info(varied / "generation-1")["weights"]}) == len(NAMES) + 1


def test_another_seed_trains_a_teacher_of_its_own(varied: Path) -> None:
    own = varied / "variants" / "seeded"
    assert info(own / "generation-0")["weights"] != info(varied / "generation-0")["weights"]
    assert info(own / "generation-1")["teacher_weights"] == info(own / "generation-0")["weights"]
    assert json.loads((own / "variant.json").read_text())["teacher"] is None


def test_labels_are_shared_where_they_would_be_the_same(varied: Path) -> None:
    kept = {
        name: (varied / "variants" / name / "generation-1" / "labels").exists() for name in NAMES
    }
    assert kept == {
        "quiet": False, "confident": False,
        "top": True, "noised": True, "distilled": True, "seeded": True,
    }  # fmt: skip
    chosen = [
        json.loads((folder / "generation-1" / "selection.json").read_text())
        for folder in (varied, varied / "variants" / "quiet", varied / "variants" / "confident")
    ]
    assert chosen[0] == chosen[1]
    assert chosen[2]["min_confidence"] == 0.15


def test_a_noised_teacher_has_the_noise_it_was_trained_with(varied: Path) -> None:
    noised = LabelStore(varied / "variants" / "noised" / "generation-1" / "labels")
    clean = LabelStore(varied / "generation-1" / "labels")
    assert clean.manifest["noise_seed"] is None
    found = noised.manifest["noise_seed"]
    assert (found["seed"], found["crop"], found["randaugment"]) == (0, "pad", "rand-m9-n2-p1.0")
    rows = torch.arange(50).numpy()
    assert not torch.equal(clean.rows(rows).probabilities, noised.rows(rows).probabilities)
    module = load_model(str(varied / "generation-0"), "cpu").module
    rates = {m.p for m in module.modules() if isinstance(m, torch.nn.Dropout)}
    assert info(varied / "generation-0")["noise"] == {"dropout": 0.2, "drop_path": 0.2}
    assert getattr(module, "drop_rate", 0.0) == 0.2 or 0.2 in rates
    drops = [float(str(m.drop_prob)) for m in module.modules() if type(m).__name__ == "DropPath"]
    assert max(drops) > 0


def test_distillation_labels_the_labeled_images_and_drops_none(varied: Path) -> None:
    folder = varied / "variants" / "distilled" / "generation-1"
    selection = json.loads((folder / "selection.json").read_text())
    assert selection["images"] == selection["selected"] == selection["unique"] == 200
    assert LabelStore(folder / "labels").manifest["images"] == 200
    assert info(folder)["unlabeled_images"] == 0
    assert info(varied / "generation-1")["unlabeled_images"] == 3800


def test_repeated_nothing_is_made_again(
    varied: Path, recipe: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("labeled again")

    before = stamps(varied)
    monkeypatch.setattr(pipeline, "predict", never)
    train(str(recipe), varied, settings=SHORT, device="cpu", variants=["all"])
    train(resume=varied, device="cpu", variants=["quiet"])
    train(resume=varied / "variants" / "quiet", device="cpu")
    assert stamps(varied) == before
    assert "quiet, generation 1: finished before" in capfd.readouterr().err


def test_it_goes_on_and_survives_a_move(varied: Path, recipe: Path, tmp_path: Path) -> None:
    run = tmp_path / "moved"
    shutil.copytree(varied, run, ignore=shutil.ignore_patterns("noised", "top", "distilled"))
    wanted = info(run / "variants" / "confident" / "generation-1")["weights"]
    shutil.rmtree(run / "variants" / "confident" / "generation-1")
    before = stamps(run)
    train(resume=run / "variants" / "confident", device="cpu")
    assert info(run / "variants" / "confident" / "generation-1")["weights"] == wanted
    assert {name: at for name, at in stamps(run).items() if name in before} == before
    shutil.rmtree(run / "generation-0")
    with pytest.raises(NsbenchError, match=r"shares the teacher .*generation-0, which is not"):
        train(resume=run / "variants" / "confident", device="cpu")


def test_a_variant_that_comes_later_leaves_the_run_its_own(
    varied: Path, recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(varied, run, ignore=shutil.ignore_patterns("variants"))
    later = tmp_path / "tiny.toml"
    later.write_text(TINY_RECIPE + '[[variants]]\nname = "x"\nset = ["generations.1.flip=0.5"]\n')
    train(str(later), run, settings=SHORT, device="cpu", variants=["x"])
    assert info(run / "variants" / "x" / "generation-1")["steps"] == 2


def test_a_variant_that_was_changed_is_not_mixed_with_what_it_was(
    varied: Path, tmp_path: Path
) -> None:
    run, changed = tmp_path / "run", tmp_path / "tiny.toml"
    shutil.copytree(varied, run)
    changed.write_text((TINY_RECIPE + VARIANTS).replace("generations.1.dropout=0", "seed=0"))
    before = stamps(run)
    with pytest.raises(NsbenchError, match=r"variants/quiet holds a run of another recipe.*--out"):
        train(str(changed), run, settings=SHORT, device="cpu", variants=["quiet"])
    assert stamps(run) == before


def test_models_of_a_run_are_those_of_its_variants_too(varied: Path) -> None:
    names = [model.name for model in load_models([str(varied)], torch.device("cpu"))]
    students = [f"run/{name}/generation-1" for name in NAMES[:-1]]
    seeded = [f"run/seeded/generation-{index}" for index in (0, 1)]
    assert names == ["run/generation-0", "run/generation-1", *students, *seeded]
    assert load_model(str(varied), "cpu").name == "run/generation-1"
    one = load_models([str(varied / "variants" / "quiet")], torch.device("cpu"))
    assert [model.name for model in one] == ["run/quiet/generation-1"]
    assert [row[0] for row in training_table(varied).rows][:3] == [
        "run/generation-0",
        "run/generation-1",
        "run/quiet/generation-1",
    ]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"variants": ["quit"]}, "has no variant 'quit'; did you mean 'quiet'"),
        ({"variants": ["all"], "settings": ["defaults.lr=-1"]}, "the key 'generations.0.lr' is -1"),
    ],
)
def test_wrong_variants_end_before_anything_is_trained(
    recipe: Path, tmp_path: Path, keys: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(NsbenchError, match=sentence):
        train(str(recipe), tmp_path / "run", device="cpu", **keys)
    assert not (tmp_path / "run").exists()


def test_a_variant_that_cannot_be_trained_ends_before_the_run_is(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_RECIPE + '[[variants]]\nname = "x"\nset = ["generations.1.arch=vgg1"]\n')
    with pytest.raises(NsbenchError, match="no architecture 'vgg1'"):
        train(str(path), tmp_path / "run", device="cpu", variants=["x"])
    assert not (tmp_path / "run").exists()
    path.write_text(TINY_RECIPE)
    with pytest.raises(NsbenchError, match="has no variants: add"):
        train(str(path), tmp_path / "run", device="cpu", variants=["all"])


def test_a_variant_at_work_is_not_resumed_by_another_command(varied: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(varied, run)
    before = stamps(run)
    with (
        only_writer(run / "variants" / "quiet"),
        pytest.raises(NsbenchError, match="another nsbench is writing to .*variants/quiet"),
    ):
        train(resume=run, device="cpu", variants=["quiet"])
    assert stamps(run) == before


def test_labels_by_other_noise_are_others(tmp_path: Path) -> None:
    path = tmp_path / "tiny.toml"
    variant = (
        '[[variants]]\nname = "NAME"\nset = ["generations.1.unlabeled_noise={crop=\'CROP\'}"]\n'
    )
    variants = [variant.replace("NAME", c).replace("CROP", c) for c in ("pad", "center")]
    path.write_text(TINY_RECIPE + "".join(variants))
    settings = ["defaults.steps=1", "generations.0.steps=1", "pseudo_labels.teacher_noise=true"]
    run = train(
        str(path), tmp_path / "run", settings=settings, device="cpu", variants=["pad", "center"]
    )
    stores = [run, run / "variants" / "pad", run / "variants" / "center"]
    made = [(folder / "generation-1" / "labels").exists() for folder in stores]
    assert made == [True, False, True]  # `pad` is the noise of the recipe
    rows = torch.arange(50).numpy()
    one, other = (
        LabelStore(stores[index] / "generation-1" / "labels").rows(rows) for index in (0, 2)
    )
    assert not torch.equal(one.probabilities, other.probabilities)
