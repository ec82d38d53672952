import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from nsbench.models import build, count_parameters, load_model
from nsbench.pseudo_labels.store import LabelStore
from nsbench.pseudo_labels.targets import SparseTargets, dense
from nsbench.run_folder import read_info
from nsbench.training import step
from nsbench.training.generations import train
from nsbench.util.errors import NsbenchError
from nsbench.util.locks import LOCK
from nsbench.util.sealed import BLANK, read_record, write_record, written_sealed
from tests.conftest import TINY_RECIPE


def read(path: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads(path.read_text())
    return content


def test_a_run_folder_holds_what_it_should(tiny_run: Path) -> None:
    recipe = tomllib.loads((tiny_run / "recipe.toml").read_text())
    assert recipe["generations"][1]["drop_path"] == 0.2  # a default, spelled out
    provenance = read(tiny_run / "provenance.json")
    assert {"seed", "seconds", "device", "versions", "git_commit", "python"} <= set(provenance)
    for index in range(2):
        folder = tiny_run / f"generation-{index}"
        info = read(folder / "model.json")
        assert info["generation"] == index
        assert info["classes"] == list("0123456789")
        assert info["labeled_images"] == 200
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
        assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
        rows = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
        assert rows[-1]["step"] == info["steps"]
        assert {"generation", "step", "loss", "labeled_loss", "unlabeled_loss", "lr"} <= set(
            rows[0]
        )
        assert (rows[0]["unlabeled_loss"] is None) == (index == 0)
    one, two = (read(tiny_run / f"generation-{i}" / "model.json") for i in range(2))
    assert two["teacher_weights"] == one["weights"]
    # no temporary file is left
    assert {path.name for path in tiny_run.rglob(".*")} <= {LOCK}


def test_pseudo_labels_are_the_teachers_clean_predictions(tiny_run: Path) -> None:
    from nsbench.data.open import DigitsSource
    from nsbench.data.transforms import to_array

    store = LabelStore(tiny_run / "generation-1" / "labels")
    source = DigitsSource("unlabeled")
    assert len(store) == len(source.ids)
    teacher = load_model(str(tiny_run / "generation-0"), "cpu")
    images = np.stack([to_array(source.image(index)) for index in range(64)])
    with torch.inference_mode():
        expected = teacher.logits(torch.from_numpy(images) / 255).softmax(1)
    stored = dense(store.rows(np.arange(64)), 10)
    assert (stored - expected).abs().max() < 2e-3  # half precision, and classes left out
    assert store.manifest["teacher_weights"] == teacher.weights_hash


def test_the_same_seed_gives_the_same_weights(tiny_recipe: Path, tmp_path: Path) -> None:
    settings = ["defaults.epochs=0.5", "generations.0.epochs=0.5"]
    runs = [
        train(str(tiny_recipe), tmp_path / name, settings=[*settings, *more], device="cpu")
        for name, more in (("a", []), ("b", []), ("c", ["seed=1"]))
    ]
    for index in range(2):
        weights = [read(run / f"generation-{index}" / "model.json")["weights"] for run in runs]
        assert weights[0] == weights[1]
        assert weights[0] != weights[2]


def test_workers_do_not_change_the_weights(tiny_recipe: Path, tmp_path: Path) -> None:
    settings = ["generations.0.epochs=0.5", "defaults.epochs=0.5"]
    weights = [
        read(
            train(
                str(tiny_recipe),
                tmp_path / str(workers),
                settings=[*settings, f"workers={workers}"],
                device="cpu",
            )
            / "generation-1"
            / "model.json"
        )["weights"]
        for workers in (0, 1)
    ]
    assert weights[0] == weights[1]


def test_finished_generations_are_kept(
    tiny_run: Path, tiny_recipe: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tiny_run / "generation-1" / "model.safetensors"
    before = file.stat().st_mtime_ns
    train(str(tiny_recipe), tiny_run, device="cpu")
    assert file.stat().st_mtime_ns == before
    assert "generation 1: finished before" in capfd.readouterr().err


def test_a_folder_of_another_recipe_is_refused_and_left_alone(
    tiny_run: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    before = (tiny_run / "recipe.toml").read_bytes()
    with pytest.raises(NsbenchError, match=r"another recipe \(seed is 5, was 0\).*--out"):
        train(str(tiny_recipe), tiny_run, settings=["seed=5"])
    assert (tiny_run / "recipe.toml").read_bytes() == before
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("precious")
    with pytest.raises(NsbenchError, match="not a run folder"):
        train(str(tiny_recipe), other)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("key", "left"),
    [
        ("labeled", "model.json"),
        ("labeled", "checkpoint.safetensors"),
        ("unlabeled", "model.json"),
    ],
)
def test_other_data_are_refused_before_the_recipe_is_written(
    small_folder: Path, tmp_path: Path, key: str, left: str
) -> None:
    """The recipe leads to the run's own data: of a run that was resumed by it, the only trace."""
    recipe, run, other = tmp_path / "r.toml", tmp_path / "run", tmp_path / "other"
    text = TINY_RECIPE.replace("batch_size = 50", "batch_size = 5")
    text = text.replace('{ source = "digits", split = "labeled" }', f'"{small_folder}"')
    recipe.write_text(text.replace('{ source = "digits", split = "unlabeled" }', '"digits"'))
    train(str(recipe), run, settings=["generations.0.epochs=1"], device="cpu")
    if left != "model.json":
        state = {"nsbench": json.dumps({"identity": read_info(run / "generation-0")["identity"]})}
        state["seal"] = BLANK
        with written_sealed(run / "generation-0" / left) as file:
            file.write(safetensors.torch.save({}, state))
        (run / "generation-0" / "model.json").unlink()
    shutil.copytree(small_folder, other)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    settings = ["generations.0.epochs=1", f"data.{key}='{other}'"]
    if key == "labeled":
        shutil.copy(other / "cat" / "0.png", other / "cat" / "1.png")
    with pytest.raises(NsbenchError, match="with other data .*: restore those, or"):
        train(str(recipe), run, settings=settings, device="cpu")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_smaller_student_is_refused_unless_allowed(tiny_recipe: Path, tmp_path: Path) -> None:
    settings = ["generations.0.arch=test_resnet", "generations.0.epochs=0.5", "defaults.epochs=0.5"]
    with pytest.raises(NsbenchError, match=r"smaller than its teacher .*allow_smaller = true"):
        train(str(tiny_recipe), tmp_path / "run", settings=settings)
    assert not (tmp_path / "run").exists()
    run = train(str(tiny_recipe), tmp_path / "run", settings=[*settings, "allow_smaller=true"])
    sizes = [read(run / f"generation-{i}" / "model.json")["parameters"] for i in range(2)]
    assert sizes == [
        count_parameters(build(arch, 10)) for arch in ("test_resnet", "test_efficientnet")
    ]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["generations.1.arch=resnet18x"], "no architecture 'resnet18x'; did you mean 'resnet18"),
        (["defaults.model_args={wings = 2}"], "cannot build 'test_efficientnet'"),
        (["defaults.randaugment=rund"], "randaugment' is 'rund'"),
        (["data.labeled.split=unlabeled"], "has no labels, but data.labeled needs them"),
        (["data.labeled.source=/no/where"], "there is no /no/where"),
        (["data.validation_per_class=20"], "leaves class 0 of digits"),
        (["data.unlabeled_imbalance=5"], "unlabeled_imbalance needs the labels of the unlabeled"),
        (["defaults.optimizer=sdg"], "no optimizer 'sdg'"),
    ],
)
def test_bad_recipes_end_before_anything_is_trained(
    tiny_recipe: Path, tmp_path: Path, settings: list[str], sentence: str
) -> None:
    with pytest.raises(NsbenchError) as caught:
        train(str(tiny_recipe), tmp_path / "run", settings=settings)
    assert sentence in str(caught.value)
    assert not list(tmp_path.rglob("model.*"))


def test_a_diverging_loss_names_the_step_and_keeps_nothing_half(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    settings = ["defaults.optimizer=sgd", "defaults.lr=1e30", "defaults.warmup=0.0"]
    with pytest.raises(NsbenchError, match=r"the loss of generation 0 is .* at step \d+"):
        train(str(tiny_recipe), tmp_path / "run", settings=settings)
    assert not list((tmp_path / "run").rglob("model.*"))


def test_an_image_folder_with_some_labels_and_validation(
    image_folder: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "folder.toml"
    recipe.write_text(
        f"""
        workers = 0
        [data]
        labeled = "{image_folder}"
        labels_per_class = 2
        validation_per_class = 1
        [pseudo_labels]
        balance = false
        [defaults]
        arch = "test_efficientnet"
        image_size = 32
        epochs = 2
        batch_size = 2
        unlabeled_ratio = 1
        [[generations]]
        [[generations]]
        """
    )
    run = train(str(recipe), tmp_path / "run", device="cpu")
    info = read(run / "generation-1" / "model.json")
    assert info["labeled_images"] == 2
    assert info["unlabeled_images"] == 2
    assert info["validation_accuracy"] in (0.0, 0.5, 1.0)
    assert info["classes"] == ["cat", "dog"]
    assert load_model(str(run), "cpu").name == "run/generation-1"


def test_an_unreadable_unlabeled_image_is_dropped_and_told(
    image_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "folder.toml"
    recipe.write_text(
        f'workers = 0\n[data]\nlabeled = "{image_folder}"\nunlabeled = "{tmp_path / "more"}"\n'
        '[defaults]\narch = "test_efficientnet"\nimage_size = 32\nepochs = 1\nbatch_size = 2\n'
        "[pseudo_labels]\nmin_confidence = 0.0\nbalance = false\n"
        "[[generations]]\n[[generations]]\n"
    )
    (tmp_path / "more").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "more" / "good.png")
    (tmp_path / "more" / "bad.png").write_bytes(b"")
    run = train(str(recipe), tmp_path / "run", device="cpu")
    assert "bad.png cannot be read" in capfd.readouterr().err
    summary = read_record(run / "generation-1" / "selection.json", "")
    assert list(summary["unreadable"]) == ["bad.png"]
    assert summary["selected"] == 1


def test_a_student_of_another_teacher_is_not_kept(
    tiny_run: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    info = read_record(run / "generation-1" / "model.json", "")
    identity = {**info["identity"], "teacher_weights": "x"}
    write_record(run / "generation-1" / "model.json", {**info, "identity": identity})
    with pytest.raises(
        NsbenchError, match=r"generation-1 was trained with other .*teacher_weights"
    ):
        train(str(tiny_recipe), run, device="cpu")


def test_repeating_a_finished_run_changes_nothing(tiny_run: Path, tiny_recipe: Path) -> None:
    before = (tiny_run / "provenance.json").read_bytes()
    train(str(tiny_recipe), tiny_run, settings=["workers=1"], device="cpu")
    assert (tiny_run / "provenance.json").read_bytes() == before


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (["generations.1.optimizer=sdg"], "no optimizer 'sdg'"),
        (["generations.1.schedule=cosin"], "'cosin'; did you mean 'cosine'"),
        (["generations.1.arch=vit_tiny_patch16_224"], "does not take images of 32 px"),
        (["defaults.model_args={in_chans=1}"], "model_args cannot hold 'in_chans'"),
        (["defaults.model_args={checkpoint_path='x'}"], "cannot hold 'checkpoint_path'"),
        (["data.std=[0.0, 1.0, 1.0]"], "'data.std.0' is 0.0"),
        (["pseudo_labels.filter='nowhere'"], "pseudo_labels.filter: there is no model nowhere"),
        (["generations.1.accumulate=3"], "50 labeled images, which 1 process with accumulate = 3"),
        (["generations.1.unlabeled_ratio=0.5", "defaults.accumulate=2"], "25 pseudo-labeled"),
        (
            [
                "generations.1.fine_tune={image_size=48, batch_size=7, lr=1e-3}",
                "defaults.accumulate=2",
            ],
            "7 labeled images",
        ),
        (["defaults=3"], "the key 'defaults' is 3"),
    ],
)
def test_what_would_fail_later_is_found_before_the_folder_is_claimed(
    tiny_recipe: Path, tmp_path: Path, settings: list[str], sentence: str
) -> None:
    with pytest.raises(NsbenchError) as caught:
        train(str(tiny_recipe), tmp_path / "run", settings=settings)
    assert sentence in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_labels_for_all_leave_nothing_to_label(small_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.toml"
    path.write_text(
        f'[data]\nlabeled = "{small_folder}"\nlabels_per_class = 5\n[defaults]\n'
        'arch = "test_resnet"\nimage_size = 32\n[[generations]]\n[[generations]]\n'
    )
    with pytest.raises(NsbenchError, match=r"labels_per_class = 5 leaves no image .*: lower it"):
        train(str(path), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_run_that_trained_nothing_can_have_its_recipe_corrected(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text('name = "older"\n')
    run = train(str(tiny_recipe), tmp_path / "run", settings=["defaults.epochs=0.25"], device="cpu")
    assert 'name = "tiny"' in (run / "recipe.toml").read_text()


def test_the_rest_of_labels_follows_the_labeled_images_if_the_recipe_says_so(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    priors = []

    def recorded(targets: SparseTargets, classes: int, temperature: float, prior: Any) -> Any:
        priors.append(prior)
        return dense(targets, classes, temperature, prior)

    monkeypatch.setattr(step, "dense", recorded)
    settings = ["generations.0.steps=1", "defaults.steps=1"]
    run = train(str(tiny_recipe), tmp_path / "run", settings=settings, device="cpu")
    assert priors == [None]
    labeled = [*settings, "pseudo_labels.rest=labeled"]
    other = train(str(tiny_recipe), tmp_path / "other", settings=labeled, device="cpu")
    assert torch.equal(priors[1], torch.full((10,), 0.1))  # 20 digits of each
    # only the student depends on it
    for index, same in ((0, True), (1, False)):
        of_both = [read(folder / f"generation-{index}" / "model.json") for folder in (run, other)]
        assert (of_both[0]["identity"] == of_both[1]["identity"]) == same
