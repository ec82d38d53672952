"""Pictures of a report are the pixels that models saw."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nsbench import perturbations
from nsbench.corruptions import corrupt, jpeg
from nsbench.data.open import open_source
from nsbench.data.spec import SourceSpec
from nsbench.data.transforms import center_crop
from nsbench.evaluation.gallery import make_gallery
from nsbench.evaluation.pictures import Pictures, Place
from nsbench.models import Classifier
from nsbench.models.generation import load_checkpoint
from nsbench.predictions import read_cell, results_of
from nsbench.reporting.gallery import PictureFile, choices, pair_shown
from nsbench.reporting.results import collect
from nsbench.suites.scores import score
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.evaluating import evaluate

DIGITS = 'source = "digits"\nimages_per_class = 30\n'
SUITES = {
    "plain": 'kind = "accuracy"\n',
    "c": 'kind = "corruption"\nimage_size = 32\ncorruptions = ["fog", "contrast"]\n'
    "severities = [1, 3, 5]\njpeg_quality = 85\n",
    "p": 'kind = "perturbation"\nimage_size = 32\nperturbations = ["translate"]\n',
    "f": 'kind = "attack"\nepsilons = [0.0, 8.0]\nheadline = 8.0\n',
}


@pytest.fixture(scope="module")
def run(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import shutil

    folder = tmp_path_factory.mktemp("pictures")
    run = folder / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("results"))
    paths = [write_suite(folder / f"{n}.toml", text + DIGITS) for n, text in SUITES.items()]
    evaluate([str(run)], paths, device="cpu")
    return run


def pictures(run: Path, suite: str) -> Pictures:
    scores = score(results_of(run / "generation-1" / "results")[suite][0].folder)
    return Pictures(scores.suite, scores.manifest)


def crops(names: list[str]) -> torch.Tensor:
    from nsbench.data.preprocessing import fixed_crop

    source = open_source(SourceSpec(source="digits"))
    numbers = [source.ids.index(name) for name in names]
    own = [center_crop(source.image(number), fixed_crop(32, 32)) for number in numbers]
    return torch.from_numpy(np.stack(own))


def test_corrupted_pixels_are_those_that_were_evaluated(run: Path) -> None:
    folder = results_of(run / "generation-1" / "results")["c"][0].folder
    names = [*read_cell(folder, "clean").ids][:3]
    made = pictures(run, "c").at(
        [Place("fog/3", 0, names[2]), Place("clean", 0, names[0]), Place("fog/3", 0, names[1])]
    )
    clean = crops(names)
    expected = jpeg(corrupt(clean, "fog", 3, ids=names), 85)
    for picture, image in zip(made, (expected[2], clean[0], expected[1]), strict=True):
        np.testing.assert_array_equal(picture, image.permute(1, 2, 0).numpy())


def test_frames_are_those_that_were_evaluated(run: Path) -> None:
    folder = results_of(run / "generation-1" / "results")["p"][0].folder
    name = next(iter(read_cell(folder, "translate").ids))
    frames = list(perturbations.frames(crops([name]), "translate", ids=[name], size=32))
    for number in (0, 3, 9):
        (made,) = pictures(run, "p").at([Place("translate", number, name)])
        np.testing.assert_array_equal(made, frames[number][0].permute(1, 2, 0).numpy())


def test_the_choice_is_what_its_rule_says(run: Path) -> None:
    entries = collect([run])
    pair = pair_shown(entries)
    assert pair
    assert [entry.name for entry in pair] == ["run/generation-0", "run/generation-1"]
    found = choices(*pair, 2)
    assert found
    assert found == choices(*pair, 2)
    assert {choice.suite for choice in found} <= SUITES.keys()
    for choice in found:
        if choice.suite != "p":
            rows = [read_cell(e.scores[choice.suite].folder, choice.cell) for e in pair]
            number = [*rows[0].ids].index(choice.image)
            right = [bool(r.top[number, 0] == r.labels[number]) for r in rows]
            assert right == [not choice.gained, choice.gained]
        else:
            flips = []
            for entry in pair:
                top = read_cell(entry.scores["p"].folder, "translate").top[:, 0].reshape(300, -1)
                row = [*read_cell(entry.scores["p"].folder, "translate", id_step=top.shape[1]).ids]
                clip = top[row.index(choice.image)]
                flips.append(bool(clip[choice.frame] != clip[choice.frame - 1]))
            assert flips == [choice.gained, not choice.gained]


def test_a_gallery_holds_every_choice_and_a_sheet(run: Path) -> None:
    entries = collect([run])
    gallery = make_gallery(entries, 2)
    assert gallery
    pair = pair_shown(entries)
    assert pair
    assert [shot.choice for shot in gallery.shots] == choices(*pair, 2)
    files = [file for shot in gallery.shots for file in shot.views.values()]
    assert all(file.content.startswith(b"\x89PNG") for file in files)
    assert gallery.notes == []
    (sheet,) = gallery.sheets
    assert (sheet.suite, list(sheet.rows)) == ("c", ["fog", "contrast"])
    assert sheet.heads == ["clean", "severity 1", "severity 3", "severity 5"]
    expected = pictures(run, "c").at([Place("fog/3", 0, sheet.image)])[0]
    shown = 255 * opened(sheet.rows["fog"][2])[0].permute(1, 2, 0)
    np.testing.assert_array_equal(shown.round().to(torch.uint8).numpy(), expected)
    assert make_gallery(entries[:1], 2) is None


def test_pixels_that_cannot_be_made_again_are_told(run: Path) -> None:
    scores = score(results_of(run / "generation-1" / "results")["c"][0].folder)
    identity = {**scores.manifest["identity"], "generator": "nsbench corruptions 1"}
    with pytest.raises(NsbenchError, match="were made by nsbench corruptions 1, not by nsbench"):
        Pictures(scores.suite, {**scores.manifest, "identity": identity})
    with pytest.raises(NsbenchError, match="has no image nothing any more"):
        pictures(run, "c").at([Place("clean", 0, "nothing")])
    entries = collect([run])
    for entry in entries:
        entry.scores["c"].manifest["identity"]["generator"] = "nsbench corruptions 1"
    gallery = make_gallery(entries, 1)
    assert gallery
    assert any("c has no pictures: the pixels of c were made" in note for note in gallery.notes)


def test_attacked_pictures_are_those_that_each_model_answered(run: Path) -> None:
    import foolbox

    entries = collect([run])
    pair = pair_shown(entries)
    assert pair
    wanted = [choice for choice in choices(*pair, 3) if choice.suite == "f"]
    assert wanted
    gallery = make_gallery(entries, 3)
    assert gallery
    shots = [shot for shot in gallery.shots if shot.choice.suite == "f"]
    assert [shot.choice for shot in shots] == wanted
    for entry, who in zip(pair, ("teacher", "student"), strict=True):
        assert entry.folder
        model = load_checkpoint(entry.folder, torch.device("cpu"))
        attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
        module = Logits(model).eval()
        for shot in shots:
            clean, made = (
                opened(shot.views[v]) for v in ("before the attack", f"against the {who}")
            )
            label = model.classes.index(shot.choice.label) if model.classes else -1
            wrapped = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
            _, moved, _ = attack(wrapped, clean, torch.tensor([label]), epsilons=8 / 255)
            torch.testing.assert_close(made, moved, rtol=0, atol=0.5001 / 255)
            assert 7 < 255 * float((made - clean).abs().max()) < 9
            with torch.inference_mode():
                top = int(model.logits(moved).argmax(1))
            assert model.classes
            assert model.classes[top] == getattr(shot.choice, who).name


def test_models_that_are_no_generations_have_no_attacked_pictures(run: Path) -> None:
    from dataclasses import replace

    entries = [replace(entry, folder=None) for entry in collect([run])]
    gallery = make_gallery(entries, 1)
    assert gallery
    shots = [shot for shot in gallery.shots if shot.choice.suite == "f"]
    assert shots
    assert all(list(shot.views) == ["before the attack"] for shot in shots)
    assert sum("f has no pictures of attacks on" in note for note in gallery.notes) == 2


class Logits(torch.nn.Module):
    """A classifier as a module, which foolbox insists on."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model.logits(images)


def opened(file: PictureFile) -> torch.Tensor:
    """A picture as float (1, 3, H, W) in [0, 1]."""
    pixels = np.asarray(Image.open(io.BytesIO(file.content)).convert("RGB"))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
