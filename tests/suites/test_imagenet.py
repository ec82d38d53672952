"""Every ImageNet suite through the command line, on small data in the released layouts.

Expected numbers come from a plain loop with timm's own transform, and from the protocols' formulas.
"""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from nsbench.names import CORRUPTIONS, PERTURBATIONS
from nsbench.predictions import Predictions, read_cell
from tests import released_sets
from tests.conftest import write_suite
from tests.metrics.test_robustness import (
    ALEXNET,
    ALEXNET_CLEAN,
    ALEXNET_FP,
    ALEXNET_T5D,
    transcribed,
)
from tests.released_sets import CLASSES, IN_A, IN_O, IN_R, MODEL, VAL
from tests.test_cli import call

ACCURACY = ["imagenet-1k", "imagenet-real", "imagenet-v2-matched-frequency",
            "imagenet-v2-threshold-0.7", "imagenet-v2-top-images", "imagenet-a", "imagenet-r",
            "imagenet-sketch"]  # fmt: skip
CHANGED = ["imagenet-c", "imagenet-c-extra", "imagenet-c-bar", "imagenet-3dcc", "imagenet-p"]
SUITES = [*ACCURACY, "imagenet-o", *CHANGED, "imagenet-fgsm", "imagenet-pgd"]


class Small:
    """The data, a model, and what the command line said of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = released_sets.make_root(folder / "data")
        self.model = released_sets.make_weights(folder / "w.pth", self.root)
        self.transform = timm.data.create_transform(
            **timm.data.resolve_data_config({}, model=self.model, pretrained_cfg=self._settings())
        )
        self.tables = self.evaluate(SUITES, self.root)

    @staticmethod
    def _settings() -> dict[str, Any]:
        settings: dict[str, Any] = timm.get_pretrained_cfg(MODEL).to_dict()
        return settings

    def evaluate(self, suites: list[str], root: Path, *more: object) -> dict[str, Any]:
        models = [f"timm:{MODEL}", "--weights", self.folder / "w.pth"]
        out = self.folder / "e.json"
        options = ["--data", root, "--device", "cpu", "--json", out, *more]
        assert call("eval", *models, "--suite", *suites, *options) == 0
        return {table["suite"]: table for table in json.loads(out.read_text())}

    def metrics(self, suite: str) -> dict[str, float]:
        (model,) = self.tables[suite]["models"].values()
        return {key: metric["value"] for key, metric in model["metrics"].items()}

    def rows(self, suite: str, cell: str) -> Predictions:
        (path,) = self.folder.glob(f"results/*/{suite}/*/suite.json")
        return read_cell(path.parent, cell)

    def logits(self, paths: list[Path]) -> NDArray[np.float32]:
        """Of images by timm's own transform."""
        images = torch.stack([self.transform(Image.open(path).convert("RGB")) for path in paths])
        with torch.inference_mode():
            found: NDArray[np.float32] = self.model(images).numpy()
        return found

    def changed(self, paths: list[Path]) -> NDArray[np.float32]:
        """Of released images of 224 px, which are not cropped again."""
        return released_sets.answers(self.model, released_sets.tensor(map(Image.open, paths)))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("imagenet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield Small(folder)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/*") if path.is_file())


def val_files(root: Path) -> list[Path]:
    return files(root / "imagenet" / "val")


def test_the_model_tells_images_apart(small: Small) -> None:
    logits = small.logits(val_files(small.root))
    assert len(set(logits.argmax(1).tolist())) == len(VAL)


@pytest.mark.parametrize("suite", ACCURACY)
def test_the_model_is_right_on_some_images_and_wrong_on_others(small: Small, suite: str) -> None:
    """Or a comparison of accuracies would compare 0 with 0."""
    assert 0 < small.metrics(suite)["top1"] < 100


@pytest.mark.parametrize(
    ("suite", "folder"),
    [("imagenet-1k", "imagenet/val"), ("imagenet-sketch", "imagenet-sketch/sketch")]
    + [(f"imagenet-v2-{s}", f"imagenetv2-{r}-format-val") for s, r in released_sets.V2.items()],
)
def test_accuracy_is_that_of_a_plain_loop(small: Small, suite: str, folder: str) -> None:
    paths = files(small.root / folder)
    labels = [CLASSES.get(path.parent.name, path.parent.name) for path in paths]
    rows = small.rows(suite, "images")
    expected = np.argsort(-small.logits(paths), axis=1, kind="stable")[:, :5]
    assert (rows.top == expected).all()
    assert rows.labels.tolist() == [int(label) for label in labels]  # of V2 the folders' numbers
    right = expected[:, 0] == rows.labels
    assert small.metrics(suite)["top1"] == pytest.approx(100 * right.mean())


def test_real_counts_any_of_the_labels(small: Small) -> None:
    real = json.loads(
        (resources.files("timm.data") / "_info/imagenet_real_labels.json").read_text()
    )
    paths = sorted(val_files(small.root), key=lambda path: path.name)
    top = np.argsort(-small.logits(paths), axis=1, kind="stable")[:, :5]
    hits, hits5 = [], []
    for path, ranked in zip(paths, top.tolist(), strict=True):
        labels = real[int(path.stem.split("_")[-1]) - 1]
        if labels:
            hits.append(ranked[0] in labels)
            hits5.append(any(rank in labels for rank in ranked))
    # By ReaL's labels and by the images' own other images are right.
    assert 0 < np.mean(hits) < 1
    found = small.metrics("imagenet-real")
    assert found["top1"] != small.metrics("imagenet-1k")["top1"]
    assert found["top1"] == pytest.approx(100 * np.mean(hits))
    assert found["top5"] == pytest.approx(100 * np.mean(hits5))


@pytest.mark.parametrize(("suite", "classes"), [("imagenet-a", IN_A), ("imagenet-r", IN_R)])
def test_masked_accuracy_and_clean_beside_it(small: Small, suite: str, classes: list[str]) -> None:
    columns = sorted(CLASSES[wnid] for wnid in classes)
    paths = files(small.root / suite)
    logits = small.logits(paths)[:, columns]
    place = {wnid: columns.index(CLASSES[wnid]) for wnid in classes}
    right = logits.argmax(1) == [place[path.parent.name] for path in paths]
    rows = small.rows(suite, "images")
    assert (rows.top[:, 0] == logits.argmax(1)).all()
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert rows.confidence == pytest.approx(softmax.max(1), abs=1e-5)
    assert small.metrics(suite)["top1"] == pytest.approx(100 * right.mean())
    clean = [path for path in val_files(small.root) if path.parent.name in classes]
    right = small.logits(clean)[:, columns].argmax(1) == [place[p.parent.name] for p in clean]
    assert small.metrics(suite)["clean_top1"] == pytest.approx(100 * right.mean())
    assert small.rows(suite, "clean").ids == [f"{p.parent.name}/{p.name}" for p in clean]


def test_detection_is_that_of_scikit_learn(small: Small) -> None:
    columns = sorted(CLASSES[wnid] for wnid in IN_O)
    unknown = files(small.root / "imagenet-o")
    known = [path for path in val_files(small.root) if path.parent.name in IN_O]
    logits = torch.from_numpy(small.logits(unknown + known))[:, columns]
    scores = -logits.softmax(1).max(1).values.numpy()
    positive = np.arange(len(scores)) < len(unknown)
    found = small.metrics("imagenet-o")
    assert found["auroc"] == pytest.approx(100 * roc_auc_score(positive, scores))
    assert found["aupr"] == pytest.approx(100 * average_precision_score(positive, scores))
    assert list(found) == ["aupr", "auroc", "fpr95", "clean_top1"]
    assert small.rows("imagenet-o", "images").labels.tolist() == [-1] * len(unknown)


def errors(small: Small, folder: Path) -> list[float]:
    """The mean error at each severity of a folder of one corruption."""
    found = []
    for severity in range(1, 6):
        paths = files(folder / str(severity))
        labels = np.array([CLASSES[path.parent.name] for path in paths])
        found.append(float((small.changed(paths).argmax(1) != labels).mean()))
    return found


def clean_error(small: Small) -> float:
    """Of the crops of 224 px that the corrupted images were made from."""
    crops = []
    for path in val_files(small.root):
        image = Image.open(path).convert("RGB")
        short = min(image.size)
        size = [int(side * 256 / short) for side in image.size]  # as torchvision rounds
        whole = image.resize((size[0], size[1]), Image.Resampling.BILINEAR)
        left, top = (round((side - 224) / 2) for side in whole.size)
        crops.append(whole.crop((left, top, left + 224, top + 224)))
    logits = released_sets.answers(small.model, released_sets.tensor(crops))
    labels = np.array([CLASSES[path.parent.name] for path in val_files(small.root)])
    return float((logits.argmax(1) != labels).mean())


def test_mce_against_alexnet(small: Small) -> None:
    groups, root = released_sets.groups(), small.root / "imagenet-c"
    found = small.metrics("imagenet-c")
    rates = {name: np.mean(errors(small, root / groups[name] / name)) for name in CORRUPTIONS}
    assert found["mce"] == pytest.approx(
        100 * np.mean([rates[name] / ALEXNET[name] for name in CORRUPTIONS])
    )
    clean = clean_error(small)
    assert found["clean_top1"] == pytest.approx(100 * (1 - clean))
    ratios = [(rates[n] - clean) / (ALEXNET[n] - ALEXNET_CLEAN) for n in CORRUPTIONS]
    assert found["relative_mce"] == pytest.approx(100 * np.mean(ratios))


def test_the_extra_corruptions_have_constants_too(small: Small) -> None:
    alexnet = {"speckle_noise": 0.845388, "gaussian_blur": 0.787108, "spatter": 0.717512,
               "saturate": 0.658248}  # fmt: skip
    root = small.root / "imagenet-c" / "extra"
    ratios = [np.mean(errors(small, root / name)) / mean for name, mean in alexnet.items()]
    assert small.metrics("imagenet-c-extra")["mce"] == pytest.approx(100 * np.mean(ratios))
    (model,) = small.tables["imagenet-c-extra"]["models"].values()
    assert model["metrics"]["mce"]["name"] == "mCE of 4 corruptions"


@pytest.mark.parametrize("suite", ["imagenet-c-bar", "imagenet-3dcc"])
def test_other_corruptions_are_not_normalised(small: Small, suite: str) -> None:
    names = released_sets.names_of(suite)
    rates = [np.mean(errors(small, small.root / suite / name)) for name in names]
    found = small.metrics(suite)
    assert found["error"] == pytest.approx(100 * np.mean(rates))
    assert "mce" not in found


def frames(path: Path) -> torch.Tensor:
    with av.open(str(path)) as container:
        images = [frame.to_image() for frame in container.decode(video=0)]
    return released_sets.tensor(images)


def test_mfr_against_alexnet(small: Small) -> None:
    flips, distances = [], []
    for name in PERTURBATIONS:
        paths = files(small.root / "imagenet-p" / name)
        logits = np.stack([released_sets.answers(small.model, frames(path)) for path in paths])
        flip, distance = transcribed(logits, noise="noise" in name)
        flips.append(100 * flip / ALEXNET_FP[name])
        distances.append(distance / ALEXNET_T5D[name])
    found = small.metrics("imagenet-p")
    assert found["mfr"] == pytest.approx(100 * np.mean(flips))
    assert found["mt5d"] == pytest.approx(100 * np.mean(distances))


def test_attacks_are_foolboxs(small: Small) -> None:
    import foolbox

    mean, std = released_sets.normalisation()
    wrapped = foolbox.PyTorchModel(
        small.model, bounds=(0, 1), device="cpu",
        preprocessing={"mean": list(mean), "std": list(std), "axis": -3},
    )  # fmt: skip
    paths = val_files(small.root)
    offset, scale = (torch.tensor(value).view(3, 1, 1) for value in (mean, std))
    images = torch.stack([small.transform(Image.open(p).convert("RGB")) for p in paths])
    pixels = ((images * scale + offset) * 255).round().clamp(0, 255) / 255
    labels = torch.tensor([CLASSES[path.parent.name] for path in paths])
    fgsm = foolbox.attacks.LinfFastGradientAttack()
    pgd = foolbox.attacks.LinfPGD(rel_stepsize=0.25, steps=10, random_start=False)
    for suite, attack, epsilons in (
        ("imagenet-fgsm", fgsm, [0.5, 1, 2, 4, 8, 16]),
        ("imagenet-pgd", pgd, [16]),
    ):
        for epsilon in epsilons:
            _, moved, _ = attack(wrapped, pixels, labels, epsilons=epsilon / 255)
            with torch.inference_mode():
                expected = small.model((moved - offset) / scale).argmax(1)
            assert (small.rows(suite, f"eps={epsilon:g}").top[:, 0] == expected.numpy()).all()


def test_tars_are_read_as_they_were_downloaded(small: Small, tmp_path: Path) -> None:
    before = {suite: small.metrics(suite) for suite in SUITES}
    tables = small.evaluate(SUITES, released_sets.pack(small.root, tmp_path / "tars"))
    for suite in SUITES:
        (model,) = tables[suite]["models"].values()
        found = {key: metric["value"] for key, metric in model["metrics"].items()}
        assert found == pytest.approx(before[suite]), suite


def test_each_photograph_is_decoded_once(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nsbench.data.readers.folder import FolderSource

    read: list[str] = []
    image = FolderSource.image

    def counted(self: FolderSource, index: int) -> Image.Image:
        read.append(f"{self.name}/{self.ids[index]}")
        return image(self, index)

    monkeypatch.setattr(FolderSource, "image", counted)
    monkeypatch.chdir(tmp_path)
    suites = ["imagenet-1k", "imagenet-real", "imagenet-a", "imagenet-o", "imagenet-fgsm"]
    small.evaluate(suites, small.root)
    assert len(read) == len(set(read)) == len(VAL) + 12


def test_what_is_not_found(
    small: Small, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "imagenet").symlink_to(small.root / "imagenet")
    some = 'kind = "corruption"\nsource = "data:imagenet-1k"\nfiles = "data:imagenet-c"\n'
    some += 'corruptions = ["contrast"]\nseverities = [2, 5]\nimage_size = 224\nresize_size = 256\n'
    suite = write_suite(tmp_path / "some.toml", some + 'reference = "alexnet.json"\n')
    tables = small.evaluate([suite], tmp_path / "few")
    said = capfd.readouterr()
    assert "imagenet-c is not in the data roots, so its images are made from" in said.err
    assert "nsbench data fetch imagenet-c" in said.err
    assert "not the released files that AlexNet (published) saw" in " ".join(said.out.split())
    (model,) = tables["some"]["models"].values()
    first, second = model["tables"]["error"]["contrast"]
    expected = 100 * (first + second) / (76.150 + 99.270)  # AlexNet at these severities
    assert model["metrics"]["mce"]["value"] == pytest.approx(expected)
    command = ["eval", f"timm:{MODEL}", "--weights", small.folder / "w.pth", "--device", "cpu"]
    for name in ("imagenet-c-bar", "imagenet-3dcc", "imagenet-a"):
        assert call(*command, "--suite", name, "--data", tmp_path / "few") == 2
        assert f"to get it: nsbench data fetch {name}" in capfd.readouterr().err
    path = write_suite(tmp_path / "path.toml", some.replace("data:imagenet-c", "no/where"))
    assert call(*command, "--suite", path, "--data", tmp_path / "few") == 2
    assert "there is no folder no/where" in capfd.readouterr().err


def test_without_clean_images_their_accuracy_is_left_out(
    small: Small, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "imagenet-a").symlink_to(small.root / "imagenet-a")
    monkeypatch.setattr(small, "folder", tmp_path)
    (tmp_path / "w.pth").symlink_to(Path(small.root).parent / "w.pth")
    small.evaluate(["imagenet-a"], tmp_path / "few")
    said = capfd.readouterr().err
    assert "the accuracy on clean images of the same classes is left out" in said
    assert "imagenet-a has images of 3 classes, not of 200, and only their logits count" in said
    assert len(list(tmp_path.rglob("clean.parquet"))) == 0
    (tmp_path / "few" / "imagenet").symlink_to(small.root / "imagenet")
    tables = small.evaluate(["imagenet-a"], tmp_path / "few")
    (model,) = tables["imagenet-a"]["models"].values()
    assert "clean_top1" in model["metrics"]
    assert len(list(tmp_path.rglob("images.parquet"))) == 2  # never mixed
    assert call("eval", f"timm:{MODEL}", "--weights", "w.pth", "--suite", "imagenet-o",
                "--data", "few", "--device", "cpu") == 2  # fmt: skip
    assert "nsbench data fetch imagenet-o" in capfd.readouterr().err


def test_the_report_shows_them_all(small: Small) -> None:
    assert call("report", *small.folder.glob("results/*"), "--out", small.folder / "r.html") == 0
    text = (small.folder / "r.html").read_text()
    for name in SUITES:
        assert name in text
    for word in ("AUPR", "accuracy under PGD", "10 steps of 0.25 ε", "AlexNet (published)"):
        assert word in text
    assert "clean " in text


def test_a_dry_run_of_them_all(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nsbench.evaluation.estimate.SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)  # where nothing was evaluated
    command = ["eval", f"timm:{MODEL}", "--suite", *SUITES, "--data", small.root, "--dry-run"]
    weights = ["--weights", small.folder / "w.pth", "--device", "cpu"]
    assert call(*command, *weights, "--json", "d.json") == 0
    rows = json.loads(Path("d.json").read_text())
    assert [row["suite"] for row in rows] == SUITES
    assert all(row["cells"] == row["of_cells"] > 0 for row in rows)
    assert not Path("results").exists()
