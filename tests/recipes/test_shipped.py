"""Every shipped recipe on a little data in the format it names: only sizes and steps are changed.

The paper's L2 gives way to smaller EfficientNets, and the filter of the hub to one of a run folder.
"""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from nsbench.data.catalog import set_roots
from nsbench.training.generations import train
from nsbench.training.step import TrainStep
from tests.conftest import write_suite
from tests.recipes import recipe_data
from tests.test_cli import call

FILTER = """
name = "filter"
workers = 0
data.labeled = "data:imagenet-train"

[[generations]]
arch = "test_resnet"
image_size = 32
epochs = 20
batch_size = 6
crop = "center"
randaugment = ""
dropout = 0.0
drop_path = 0.0
optimizer = "adamw"
lr = 3e-3
ema_decay = 0.9
"""


ANY_CONFIDENCE = ["pseudo_labels.min_confidence=0.05", "pseudo_labels.balance=false"]
"""For teachers of so few steps that they leave out classes."""


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with three labeled images of each of four classes, and ten others."""
    return recipe_data.imagenet(tmp_path_factory.mktemp("imagenet"), 3, 5)


@pytest.fixture(scope="module")
def filtered(imagenet: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Settings that name unlabeled images in folders and in shards, and a filter for them."""
    folder = tmp_path_factory.mktemp("filter")
    (folder / "filter.toml").write_text(FILTER)
    set_roots([imagenet])
    run = train(str(folder / "filter.toml"), folder / "run", device="cpu")
    return [
        f"data.unlabeled=['{imagenet}/imagenet/more', '{imagenet}/shards']",
        f"pseudo_labels.filter='{run}/generation-0'",
        "pseudo_labels.per_class=8",
    ]


def trained(recipe: str, root: Path, out: Path, *settings: str) -> Path:
    set_roots([root])
    return train(recipe, out, settings=["workers=0", *settings], device="cpu")


def content(path: Path) -> Any:
    return json.loads(path.read_text())


def weights(run: Path) -> list[str]:
    return [content(path)["weights"] for path in sorted(run.glob("generation-*/model.json"))]


def rates(folder: Path) -> list[float]:
    """The learning rate of every step."""
    rows = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    assert all(math.isfinite(row["loss"]) for row in rows if "loss" in row)
    return [row["lr"] for row in rows if "loss" in row]


def staircase(
    lr: float, steps: int, epoch: float, warmup_epochs: float, decay_epochs: float
) -> list[float]:
    """Linear warm-up from 0; a factor of 0.97 whenever decay_epochs are over, from step 0 on."""
    return [
        lr * step / (warmup_epochs * epoch)
        if step < warmup_epochs * epoch
        else lr * 0.97 ** int(step / (decay_epochs * epoch))
        for step in range(steps)
    ]


def cosine(lr: float, steps: int, warmup: int = 0) -> list[float]:
    return [
        lr * step / warmup if step < warmup else lr * (1 + math.cos(math.pi * step / steps)) / 2
        for step in range(steps)
    ]


def chosen(run: Path, index: int, *, images: int, per_class: int | None) -> None:
    """What generation `index` was given: a share of the images, the quota of each class or all."""
    selection = content(run / f"generation-{index}" / "selection.json")
    rows = selection["per_class"]
    assert selection["images"] == images == sum(row["labeled"] for row in rows)
    assert 0 < selection["unique"] <= selection["confident"] <= images
    assert selection["selected"] == sum(row["selected"] for row in rows)
    assert selection["target"] == per_class
    if per_class is None:
        assert selection["selected"] == selection["unique"] == selection["confident"]
        return
    for row in rows:
        assert row["threshold"] >= selection["min_confidence"] == 0.3
        # whole copies of every image, and one more of some, drawn image by image
        copies = per_class // row["unique"]
        assert copies * row["unique"] <= row["selected"] <= (copies + 1) * row["unique"]


def evaluated(run: Path, root: Path, source: str, *more: str) -> list[str]:
    """The models of a run that an evaluation from the command line has results of."""
    suite = write_suite(run.parent / "suite.toml", f'kind = "accuracy"\nsource = {source}\n')
    out = run.parent / "results.json"
    options = ["--suite", suite, "--data", root, "--device", "cpu", "--json", out, *more]
    assert call("eval", run, *options) == 0
    (found,) = content(out)
    for model in found["models"].values():
        assert 0 <= model["metrics"]["top1"]["value"] <= 100
    return list(found["models"])


def interrupted(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Stop a training after so many updates, of all generations together."""
    update, made = TrainStep.__call__, []

    def stops(self: TrainStep, passes: Any) -> Any:
        made.append(self)
        if len(made) > after:
            raise KeyboardInterrupt
        return update(self, passes)

    monkeypatch.setattr(TrainStep, "__call__", stops)


def trained_in_two(
    monkeypatch: pytest.MonkeyPatch, after: int, root: Path, recipe: str, out: Path, *settings: str
) -> Path:
    """The same as `trained`, but stopped in generation 1 with a checkpoint, and repeated."""
    settings = ("checkpoint_steps=1", *settings)
    with monkeypatch.context() as patch:
        interrupted(patch, after)
        with pytest.raises(KeyboardInterrupt):
            trained(recipe, root, out, *settings)
    assert (out / "generation-1" / "checkpoint.safetensors").is_file()
    return trained(recipe, root, out, *settings)


def test_quickstart(tmp_path: Path) -> None:
    run = trained("quickstart", tmp_path, tmp_path / "run", "defaults.steps=2", *ANY_CONFIDENCE)
    for index in range(3):
        assert rates(run / f"generation-{index}") == pytest.approx(cosine(3e-3, 2))
    chosen(run, 1, images=3800, per_class=None)
    chosen(run, 2, images=3800, per_class=None)
    assert len(evaluated(run, tmp_path, '"digits"', "--limit", "50")) == 3


@pytest.mark.parametrize("recipe", ["cifar10-4k", "cifar10-4k-gpu"])
def test_cifar10(recipe: str, tmp_path: Path) -> None:
    root = recipe_data.cifar10(tmp_path / "data", per_class=6)
    settings = ["data.labels_per_class=3", "data.validation_per_class=1"]
    settings += [f"generations.{index}.steps=10" for index in range(3)]
    settings += ["generations.0.batch_size=8", "defaults.batch_size=2", *ANY_CONFIDENCE]
    if recipe == "cifar10-4k-gpu":  # whose models are for GPUs: the same ones, narrower
        small = "layers = [1, 1, 1, 1], channels = [16, 16, 16, 16], stem_type = 'deep', "
        small += "stem_width = 8, stem_stride = 1, stem_pool = false"
        settings += [f"defaults.model_args={{{small}}}", f"generations.2.model_args={{{small}}}"]
    run = trained(recipe, root, tmp_path / "run", *settings)
    # two steps of warm-up, and eight down to zero
    lr = 0.8 if recipe == "cifar10-4k" else 0.2
    wanted = [0.0, lr / 2, *(lr * (1 - step / 8) for step in range(8))]
    for index in range(3):
        assert rates(run / f"generation-{index}") == pytest.approx(wanted)
    chosen(run, 1, images=30, per_class=None)
    chosen(run, 2, images=30, per_class=None)
    assert len(evaluated(run, root, '{ source = "data:cifar10", split = "train" }')) == 3


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = recipe_data.svhn(tmp_path / "data", per_class=2, unlabeled=2)
    settings = ["data.validation_per_class=1", "defaults.steps=3", "defaults.batch_size=2"]
    run = trained("svhn", root, tmp_path / "run", *settings)
    for index in range(2):
        # 10 labeled images of which 2 make a step: an epoch is 5 steps
        assert rates(run / f"generation-{index}") == pytest.approx(
            staircase(0.008, 3, 5, warmup_epochs=5, decay_epochs=1.372)
        )
    chosen(run, 1, images=20, per_class=None)
    assert content(run / "generation-1" / "selection.json")["selected"] == 20  # run.sh takes all
    again = trained_in_two(monkeypatch, 4, root, "svhn", tmp_path / "again", *settings)
    assert weights(again) == weights(run)
    assert len(evaluated(run, root, '{ source = "data:svhn", split = "train" }')) == 2


def test_stl10(tmp_path: Path) -> None:
    root = recipe_data.stl10(tmp_path / "data", per_class=2, unlabeled=2)
    settings = ["data.validation_per_class=1", "defaults.steps=2", "defaults.batch_size=2"]
    settings += ["defaults.image_size=32", *ANY_CONFIDENCE]
    run = trained("stl10", root, tmp_path / "run", *settings)
    for index in range(3):
        assert rates(run / f"generation-{index}") == pytest.approx(cosine(1e-3, 2))
    chosen(run, 2, images=20, per_class=None)
    assert len(evaluated(run, root, '{ source = "data:stl10", split = "train" }')) == 3


def test_imagenet_b0(imagenet: Path, filtered: list[str], tmp_path: Path) -> None:
    settings = [*filtered, "defaults.image_size=32", "defaults.steps=6", "defaults.batch_size=12"]
    run = trained("imagenet-b0", imagenet, tmp_path / "run", *settings)
    for index in range(2):
        # all 12 labeled images make a step: an epoch is 1 step
        expected = staircase(0.128, 6, 1, warmup_epochs=5, decay_epochs=4.8)
        assert expected[4:] == [0.128 * 4 / 5, 0.128 * 0.97]
        assert rates(run / f"generation-{index}") == pytest.approx(expected)
    chosen(run, 1, images=40, per_class=8)
    assert len(evaluated(run, imagenet, '"data:imagenet-1k"')) == 2


def test_imagenet_l2(
    imagenet: Path, filtered: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [
        *filtered, "generations.0.arch=test_efficientnet", "defaults.arch=test_efficientnet",
        "generations.0.image_size=32", "defaults.image_size=32", "defaults.steps=2",
        "defaults.batch_size=4", "defaults.accumulate=2", "generations.3.fine_tune.image_size=48",
        "generations.3.fine_tune.frozen_blocks=3",
    ]  # fmt: skip
    run = trained("imagenet-l2", imagenet, tmp_path / "run", *settings)
    for index in range(4):
        # 12 labeled images of which 4 make a step: an epoch is 3 steps
        expected = staircase(0.128, 2, 3, warmup_epochs=5, decay_epochs=2.4)
        assert rates(run / f"generation-{index}") == pytest.approx(expected)
    for index in range(1, 4):
        chosen(run, index, images=40, per_class=8)
    # 1.5 epochs with the rate at which the schedule ended
    tuned = run / "generation-3-fine-tuned"
    assert rates(tuned) == pytest.approx([expected[-1]] * 5)
    assert content(tuned / "model.json")["preprocessing"]["image_size"] == 48
    before, after = (
        safetensors.torch.load_file(run / name / "model.safetensors")
        for name in ("generation-3", tuned.name)
    )
    fixed = [name for name in before if torch.equal(before[name], after[name])]
    assert "conv_stem.weight" in fixed
    assert "bn1.running_mean" in fixed
    assert "classifier.weight" not in fixed
    assert len(evaluated(run, imagenet, '"data:imagenet-1k"')) == 5
    again = trained_in_two(monkeypatch, 3, imagenet, "imagenet-l2", tmp_path / "again", *settings)
    assert weights(again) == weights(run)


def test_imagenet_modern(imagenet: Path, filtered: list[str], tmp_path: Path) -> None:
    settings = [
        filtered[0],
        "generations.0.arch=convnext_atto",
        "generations.1.arch=convnext_femto",
    ]
    settings += ["defaults.image_size=32", "defaults.steps=2", "defaults.batch_size=4"]
    settings += ANY_CONFIDENCE
    run = trained("imagenet-1k-modern", imagenet, tmp_path / "run", *settings)
    for index in range(2):
        # 12 labeled images of which 4 make a step: an epoch is 3 steps
        assert rates(run / f"generation-{index}") == pytest.approx(cosine(4e-3, 2, warmup=60))
    chosen(run, 1, images=40, per_class=None)
    assert len(evaluated(run, imagenet, '"data:imagenet-1k"')) == 2
