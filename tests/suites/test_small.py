"""The suites of CIFAR and Tiny ImageNet through the command line, in the released layouts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from PIL import Image

from nsbench.names import CORRUPTIONS, PERTURBATIONS, frame_count
from nsbench.suites.load import load_suite, shipped
from nsbench.suites.perturbation import PerturbationSuite
from tests import released_sets
from tests.metrics.test_robustness import transcribed
from tests.test_cli import call

NAMES = ["airplane", "bird", "cat"]
TINY = ["n01443537", "n01629819", "n01641577"]
EACH = 3
COUNT = EACH * len(NAMES)
LABELS = np.repeat(np.arange(len(NAMES)), EACH)
FLIPS = [name if name != "snow" else "spatter" for name in PERTURBATIONS]
IDENTITY = ["--mean", 0, 0, 0, "--std", 1, 1, 1, "--crop-pct", 1]


def pixels(rng: np.random.Generator, size: int, *shape: int) -> NDArray[np.uint8]:
    """Smooth pictures (…, size, size, 3)."""
    count = int(np.prod(shape))
    made = [np.asarray(released_sets.picture(rng, size, size)) for _ in range(count)]
    return np.stack(made).reshape(*shape, size, size, 3)


def make_cifar(root: Path, name: str, released_name: str) -> None:
    rng = np.random.default_rng(2)
    for row, image in enumerate(pixels(rng, 32, COUNT)):
        path = root / name / "test" / NAMES[LABELS[row]] / f"{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    for corruption in CORRUPTIONS:
        changed = pixels(rng, 32, 5 * COUNT)
        released_sets.saved(changed, root / f"{released_name}-C" / f"{corruption}.npy")
    np.save(root / f"{released_name}-C" / "labels.npy", np.tile(LABELS, 5))


def make_tiny(root: Path) -> None:
    rng = np.random.default_rng(3)
    lines = []
    for row in range(COUNT):
        name, wnid = f"val_{row}.JPEG", TINY[LABELS[row]]
        released_sets.jpeg(rng, root / "tiny-imagenet-200" / "val" / "images" / name, 64, 64)
        lines.append(f"{name}\t{wnid}\t0\t0\t62\t62")
        for corruption in CORRUPTIONS:
            for severity in range(1, 6):
                folder = root / "Tiny-ImageNet-C" / corruption / str(severity) / wnid
                released_sets.jpeg(rng, folder / name, 64, 64)
    (root / "tiny-imagenet-200" / "val" / "val_annotations.txt").write_text("\n".join(lines))


class Small:
    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "data"
        make_cifar(self.root, "cifar10", "CIFAR-10")
        make_cifar(self.root, "cifar100", "CIFAR-100")
        rng = np.random.default_rng(4)
        for name in FLIPS:
            clips = pixels(rng, 32, COUNT, frame_count(name, 32))
            released_sets.saved(clips, self.root / "CIFAR-10-P" / f"{name}.npy")
        make_tiny(self.root)
        torch.manual_seed(2)  # with which it is right on most of the clean images
        self.model = timm.create_model("test_resnet", num_classes=3).eval().requires_grad_(False)
        self.model.fc.weight.mul_(3000)
        images = torch.from_numpy(pixels(rng, 32, 60)).permute(0, 3, 1, 2) / 255
        self.model.fc.bias.sub_(self.model(images).mean(0))
        torch.save(self.model.state_dict(), folder / "w.pth")
        (folder / "cifar.txt").write_text("\n".join(NAMES))
        (folder / "tiny.txt").write_text("\n".join(TINY))
        self.tables = self.evaluate(
            ["cifar10", "cifar10-c", "cifar10-p", "cifar100-c", "cifar10-fgsm", "cifar10-pgd"],
            "cifar",
            32,
        )
        self.tables |= self.evaluate(["tiny-imagenet-c"], "tiny", 64)

    def evaluate(self, suites: list[str], classes: str, size: int, *more: object) -> dict[str, Any]:
        command = ["eval", "w.pth", "--arch", "test_resnet", "--classes", f"{classes}.txt",
                   "--image-size", size, *IDENTITY, "--suite", *suites, "--data", self.root,
                   "--device", "cpu", "--json", "e.json", *more]  # fmt: skip
        assert call(*command) == 0
        tables = json.loads(Path("e.json").read_text())
        return {table["suite"]: table for table in tables}

    def metrics(self, suite: str) -> dict[str, float]:
        (model,) = self.tables[suite]["models"].values()
        return {key: metric["value"] for key, metric in model["metrics"].items()}

    def logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            channels_first = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2) / 255
            found: NDArray[np.float32] = self.model(channels_first).numpy()
        return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("cifar")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield Small(folder)


@pytest.mark.parametrize(("suite", "released_name"), [("cifar10-c", "CIFAR-10-C"),
                                                      ("cifar100-c", "CIFAR-100-C")])  # fmt: skip
def test_the_error_is_the_mean_over_severities_and_corruptions(
    small: Small, suite: str, released_name: str
) -> None:
    rates = []
    for name in CORRUPTIONS:
        images = np.load(small.root / released_name / f"{name}.npy")
        for severity in range(5):
            part = images[severity * COUNT : (severity + 1) * COUNT]
            rates.append((small.logits(part).argmax(1) != LABELS).mean())
    found = small.metrics(suite)
    assert 0.1 < np.mean(rates) < 0.95
    assert found["error"] == pytest.approx(100 * np.mean(rates))
    assert "mce" not in found


def test_fgsm_of_strength_zero_is_the_accuracy(small: Small) -> None:
    curve = small.metrics("cifar10-fgsm")
    assert list(curve) == ["fgsm_4", "fgsm_0", "fgsm_1", "fgsm_2", "fgsm_8"]
    assert curve["fgsm_0"] == small.metrics("cifar10")["top1"]
    assert 50 < curve["fgsm_0"] < 100


def test_pgd_is_stronger_than_one_step(small: Small) -> None:
    curve, one_step = small.metrics("cifar10-pgd"), small.metrics("cifar10-fgsm")
    assert list(curve) == ["pgd_1", "pgd_0.5", "pgd_2", "pgd_4"]
    assert curve["pgd_0.5"] >= curve["pgd_1"] >= curve["pgd_2"] >= curve["pgd_4"]
    assert all(curve[f"pgd_{n}"] <= one_step[f"fgsm_{n}"] for n in (1, 2, 4))
    assert curve["pgd_4"] < one_step["fgsm_0"]


def test_the_flips_are_the_mean_over_the_ten_of_cifar_10_p(small: Small) -> None:
    suite = load_suite("cifar10-p")
    assert isinstance(suite, PerturbationSuite)
    assert suite.perturbations == FLIPS
    flips = []
    for name in FLIPS:
        clips = np.load(small.root / "CIFAR-10-P" / f"{name}.npy")
        logits = np.stack([small.logits(clip) for clip in clips])
        flips.append(transcribed(logits, noise="noise" in name)[0])
    found = small.metrics("cifar10-p")
    assert found["flip_probability"] == pytest.approx(100 * np.mean(flips))
    assert "mfr" not in found


def test_tiny_imagenet_c(small: Small) -> None:
    rates = []
    for name in CORRUPTIONS:
        for severity in range(1, 6):
            folder = small.root / "Tiny-ImageNet-C" / name / str(severity)
            paths = [folder / TINY[LABELS[row]] / f"val_{row}.JPEG" for row in range(COUNT)]
            images = np.stack([np.asarray(Image.open(path)) for path in paths])
            rates.append((small.logits(images).argmax(1) != LABELS).mean())
    assert small.metrics("tiny-imagenet-c")["error"] == pytest.approx(100 * np.mean(rates))


def test_files_of_another_order_are_refused(
    small: Small, capfd: pytest.CaptureFixture[str]
) -> None:
    labels = small.root / "CIFAR-100-C" / "labels.npy"
    before = labels.read_bytes()
    np.save(labels, np.tile(np.roll(LABELS, 1), 5))
    try:
        with pytest.raises(AssertionError):
            small.evaluate(["cifar100-c"], "cifar", 32)
        assert "are not those of" in capfd.readouterr().err
    finally:
        labels.write_bytes(before)


SMALL = [s for s in shipped() if s.startswith(("cifar", "tiny"))]


# But for cifar10-a, which is of images that are not among these.
@pytest.mark.parametrize("suite", [name for name in SMALL if name != "cifar10-a"])
def test_a_dry_run_without_the_changed_images(
    small: Small, suite: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("nsbench.evaluation.estimate.SECONDS", 0.0)
    for name in ("CIFAR-10-C", "CIFAR-10-P", "CIFAR-100-C", "Tiny-ImageNet-C"):
        (small.root / name).rename(small.root / f"hidden-{name}")
    try:
        classes, size = ("tiny", 64) if suite.startswith("tiny") else ("cifar", 32)
        command = ["eval", "w.pth", "--arch", "test_resnet", "--classes", f"{classes}.txt",
                   "--image-size", size, *IDENTITY, "--suite", suite, "--data", small.root,
                   "--device", "cpu", "--dry-run"]  # fmt: skip
        assert call(*command) == 0
    finally:
        for path in small.root.glob("hidden-*"):
            path.rename(path.with_name(path.name.removeprefix("hidden-")))
    said = capfd.readouterr().err
    of_files = suite not in ("cifar10", "cifar10-fgsm", "cifar10-pgd")
    assert ("so its images are made from" in said) == of_files
