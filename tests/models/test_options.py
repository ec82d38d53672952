"""What options for models concern, and what they refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config

import nsbench
from nsbench.data.transforms import center_crop
from nsbench.models import ModelOptions, load_model, load_models
from nsbench.util.errors import NsbenchError
from nsbench.util.sealed import write_record

CPU = torch.device("cpu")


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    path = tmp_path / "m.pth"
    torch.save(timm.create_model("test_resnet", num_classes=3).state_dict(), path)
    return str(path)


@pytest.mark.parametrize(
    ("names", "options", "sentence"),
    [
        (["timm:a"], {"arch": "resnet18"}, "--arch resnet18 is the architecture of a checkpoint"),
        (
            ["run"],
            {"weights_file": "f.pth"},
            "--weights f.pth is loaded into one model timm:NAME, but none",
        ),
        (["timm:a", "timm:b"], {"weights_file": "f.pth"}, "but 2 of the models named are such"),
        (["run", "linear:digits"], {"classes": "c.txt"}, "--classes c.txt names the outputs of a"),
    ],
)
def test_options_that_concern_none_or_too_many(
    names: list[str], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(NsbenchError) as caught:
        load_models(names, CPU, ModelOptions(**options))
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"image_size": 0}, "the options of models: the key 'image_size' is 0, but"),
        ({"crop_pct": 1.5}, "the options of models: the key 'crop_pct' is 1.5, but"),
        (
            {"interpolation": "cubic"},
            "the options of models: the key 'interpolation' is 'cubic'; did",
        ),
        ({"mean": [0.5]}, "the options of models: the key 'mean' is [0.5], but"),
        ({"std": [0.5, 0.5, 0.0]}, "the options of models: the key 'std.2' is 0.0, but"),
    ],
)
def test_a_preprocessing_that_cannot_be(
    options: dict[str, Any], sentence: str, checkpoint: str
) -> None:
    with pytest.raises(NsbenchError) as caught:
        load_model(checkpoint, "cpu", ModelOptions(arch="test_resnet", **options))
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            b"cat\ndog\n",
            "names.txt names 2 classes, but .*/m.pth has 3: name each output, one a line",
        ),
        (b"cat\ndog\ncat\n", "names.txt names the class 'cat' twice, as numbers 0 and 2: rename"),
        (b"\xff\xfe\n", r"names.txt \(it is not UTF-8\): save them"),
        (None, "cannot read .*names.txt: No such file"),
    ],
)
def test_class_files_that_do_not_fit(
    text: bytes | None, sentence: str, checkpoint: str, tmp_path: Path
) -> None:
    names = tmp_path / "names.txt"
    if text is not None:
        names.write_bytes(text)
    with pytest.raises(NsbenchError, match=sentence):
        load_model(checkpoint, "cpu", ModelOptions(arch="test_resnet", classes=names))


def test_every_kind_of_model_takes_another_input(tiny_run: Path, checkpoint: str) -> None:
    names = [str(tiny_run / "generation-0"), checkpoint]
    plain = load_models(names, CPU, ModelOptions(arch="test_resnet"))
    options = nsbench.ModelOptions(arch="test_resnet", image_size=48, crop_pct=0.9)
    changed = load_models(names, CPU, options)
    for before, after in zip(plain, changed, strict=True):
        assert (after.preprocessing.image_size, after.preprocessing.crop_pct) == (48, 0.9)
        assert after.preprocessing.mean == before.preprocessing.mean
        assert (after.info["image_size"], after.info["crop_pct"]) == (48, 0.9)
        assert (after.name, after.weights_hash) == (before.name, before.weights_hash)
        assert after.results != before.results  # a report takes a folder for one model
    with pytest.raises(NsbenchError, match="linear:digits cannot take an image of 48 px"):
        load_model("linear:digits", "cpu", ModelOptions(image_size=48))


def test_timm_builds_for_the_size_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model
    monkeypatch.setattr("timm.create_model", lambda name, pretrained, **rest: create(name, **rest))
    model = load_model("timm:test_vit.r160_in1k", "cpu", ModelOptions(image_size=96))
    assert model.logits(torch.rand(1, 3, 96, 96)).shape == (1, 1000)
    assert model.results.name.startswith("timm-test_vit.r160_in1k-")


@pytest.mark.parametrize("mode", ["squash", "border", "center"])
def test_the_crop_mode_is_timms(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    create = timm.create_model

    def other(name: str, pretrained: bool) -> torch.nn.Module:
        made: torch.nn.Module = create(name, pretrained_cfg_overlay={"crop_mode": mode})
        return made

    monkeypatch.setattr("timm.create_model", other)
    model = load_model("timm:test_resnet.r160_in1k", "cpu")
    transform = create_transform(**resolve_model_data_config(model.module), normalize=False)
    for shape in [(90, 200), (300, 170), (160, 160)]:
        pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        assert (center_crop(image, model.preprocessing) == transform(image).numpy()).all()


def test_models_that_are_loaded_stand_for_themselves(checkpoint: str) -> None:
    model = load_model(checkpoint, "cpu", ModelOptions(arch="test_resnet"))
    assert load_models([model], CPU) == [model]
    with pytest.raises(NsbenchError, match=r"m\.pth is named twice"):
        load_models([model, model], CPU)


def test_a_folder_named_like_a_file_is_a_folder(tmp_path: Path) -> None:
    write_record(tmp_path / "run.pt" / "model.json", {})
    with pytest.raises(NsbenchError, match=r"model\.safetensors is missing: "):
        load_model(str(tmp_path / "run.pt"), "cpu")
