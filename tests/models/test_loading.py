import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from timm.layers import DropPath

from nsbench.data.open import SourceSpec, open_source
from nsbench.data.readers.given import GivenSource
from nsbench.models import build, class_indices, count_parameters, load_model, load_models
from nsbench.util.errors import NsbenchError
from nsbench.util.sealed import read_record, write_record
from tests.data.readers.test_given import of_hub


def digits():  # type: ignore[no-untyped-def]
    return open_source(SourceSpec(source="digits"))


def test_a_checkpoint_comes_back_as_it_was(tiny_run: Path) -> None:
    model = load_model(str(tiny_run / "generation-1"), "cpu")
    assert model.name == "run/generation-1"
    assert not model.module.training
    assert model.preprocessing.image_size == 32
    assert model.classes == tuple("0123456789")
    images = torch.rand(2, 3, 32, 32)
    mean = torch.tensor(model.preprocessing.mean).view(3, 1, 1)
    std = torch.tensor(model.preprocessing.std).view(3, 1, 1)
    with torch.inference_mode():
        assert torch.allclose(model.logits(images), model.module((images - mean) / std))


def test_a_run_stands_for_all_its_generations(tiny_run: Path) -> None:
    found = load_models([str(tiny_run)], torch.device("cpu"))
    assert [model.name for model in found] == ["run/generation-0", "run/generation-1"]
    assert load_model(str(tiny_run), "cpu").name == "run/generation-1"
    with pytest.raises(NsbenchError, match="run/generation-0 is named twice"):
        load_models([str(tiny_run), str(tiny_run / "generation-0")], torch.device("cpu"))


def test_weights_that_do_not_belong_are_refused(tiny_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "generation-0"
    shutil.copytree(tiny_run / "generation-0", folder)
    shutil.copy(tiny_run / "generation-1" / "model.safetensors", folder)
    with pytest.raises(NsbenchError, match=r"is not the file that model\.json describes"):
        load_model(str(folder), "cpu")
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        NsbenchError, match=r"model\.safetensors is missing: restore it, or move the"
    ):
        load_model(str(folder), "cpu")
    info = read_record(folder / "model.json", "")
    del info["weights"]
    write_record(folder / "model.json", info)
    shutil.copy(tiny_run / "generation-0" / "model.safetensors", folder)
    with pytest.raises(NsbenchError, match=r"cannot load .*, which lacks 'weights': restore it"):
        load_model(str(folder), "cpu")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nowhere/run", "there is no model nowhere/run"),
        ("timm:resnet5", "timm has no model 'resnet5'; did you mean 'resnet50"),
        ("linear:cats", "the only linear one is linear:digits"),
    ],
)
def test_models_that_are_not_there(name: str, sentence: str) -> None:
    with pytest.raises(NsbenchError) as caught:
        load_model(name, "cpu")
    assert sentence in str(caught.value)


def test_a_run_without_generations(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("")
    with pytest.raises(NsbenchError, match="no finished generation"):
        load_model(str(tmp_path), "cpu")


def test_weights_that_cannot_be_fetched_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise OSError("no network\nand more lines")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(NsbenchError) as caught:
        load_model("timm:resnet10t.c3_in1k", "cpu")
    assert str(caught.value) == (
        "cannot get the pretrained weights of timm:resnet10t.c3_in1k: no network; where "
        "there is no network, name a file with them by --weights or weights="
    )


def test_a_timm_model_brings_its_own_preprocessing(monkeypatch: pytest.MonkeyPatch) -> None:
    create = timm.create_model

    def untrained(name: str, pretrained: bool) -> torch.nn.Module:
        assert pretrained
        made: torch.nn.Module = create(name)
        return made

    monkeypatch.setattr("timm.create_model", untrained)
    model = load_model("timm:test_resnet.r160_in1k", "cpu")
    assert model.preprocessing.image_size == 160
    assert model.preprocessing.crop_pct == 0.95
    assert model.preprocessing.interpolation == "bilinear"
    assert model.classes is not None
    assert model.classes[0] == "n01440764"
    assert model.results == Path("results/timm-test_resnet.r160_in1k")
    # By which published results know timm's own weights.
    assert model.info["arch"] == "test_resnet.r160_in1k"
    assert not {"entry", "generation"} & model.info.keys()
    with pytest.raises(NsbenchError, match=r"class '0' of digits \(test\) is not known"):
        class_indices(model, digits())


def test_classes_are_matched_by_name(tiny_run: Path, image_folder: Path) -> None:
    model = load_model(str(tiny_run), "cpu")
    assert class_indices(model, digits()).tolist() == list(range(10))
    model.classes = tuple("9876543210")
    assert class_indices(model, digits()).tolist() == list(range(9, -1, -1))
    folder = open_source(SourceSpec(source=str(image_folder)))
    with pytest.raises(NsbenchError, match=r"class 'cat' of .*images is not known to run"):
        class_indices(model, folder)


def test_data_on_a_disk_are_matched_by_one_rule(tiny_run: Path, tmp_path: Path) -> None:
    """Names that a model without names does not have are refused in whatever form they lie."""
    model = replace(load_model(str(tiny_run), "cpu"), classes=None, num_classes=3)
    data = of_hub()
    data.save_to_disk(tmp_path / "saved")
    data.to_parquet(tmp_path / "data.parquet")
    for path in (tmp_path / "saved", tmp_path / "data.parquet"):
        with pytest.raises(NsbenchError, match="the names of .* 3 classes are not known"):
            class_indices(model, open_source(SourceSpec(source=str(path))))
    assert class_indices(model, GivenSource(data)).tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", [torch.uint8, torch.int64, torch.bool])
def test_images_that_are_no_floats_are_refused(tiny_run: Path, kind: torch.dtype) -> None:
    model = load_model(str(tiny_run), "cpu")
    with pytest.raises(TypeError, match=r"^images are \w+, but must be float in \[0, 1\]$"):
        model(torch.ones(2, 3, 32, 32, dtype=kind))


def test_bare_labels_are_the_models_indices(tiny_run: Path) -> None:
    model = load_model(str(tiny_run), "cpu")
    source = digits()
    source.classes = None
    assert class_indices(model, source).tolist() == list(range(10))
    source.labels = np.array([10])
    with pytest.raises(NsbenchError, match="has 11 classes, but run/generation-1 has 10"):
        class_indices(model, source)


def test_the_nearest_architecture_is_offered() -> None:
    with pytest.raises(NsbenchError, match="did you mean 'efficientnet_b0'"):
        build("efficientnetb0", 10)


def test_noise_reaches_the_model() -> None:
    model = build("efficientnet_b0", 10, dropout=0.3, drop_path=0.2)
    assert model.drop_rate == 0.3
    rates = [float(m.drop_prob) for m in model.modules() if isinstance(m, DropPath)]
    assert max(rates) == pytest.approx(0.1875)  # 0.2 * 15 / 16, as in the official code


@pytest.mark.parametrize(
    "arch",
    ["swin_tiny_patch4_window7_224", "ghostnet_050", "test_vit", "tnt_s_legacy_patch16_224"],
)
def test_no_noise_is_none_whatever_the_default_of_the_architecture(arch: str) -> None:
    with torch.device("meta"):
        model = build(arch, 10)
    assert not any(isinstance(m, DropPath) for m in model.modules())
    assert getattr(model, "drop_rate", 0.0) == 0.0


RESNET_9 = {"layers": [1, 1, 1, 1], "stem_type": "deep", "stem_width": 8, "stem_pool": False}


@pytest.mark.parametrize(
    ("arch", "model_args"),
    [("resnet18", {}), ("test_resnet", {}), ("resnet10t", {}), ("resnet18", RESNET_9)],
)
def test_the_stem_of_a_resnet_can_keep_the_size(arch: str, model_args: dict[str, object]) -> None:
    sides = []
    for stride in (2, 1):
        model = build(arch, 10, {"stem_stride": stride, "stem_pool": False, **model_args})
        model.get_submodule("layer1").register_forward_hook(
            lambda _, __, output: sides.append(output.shape[-1])
        )
        assert model.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert sides == [16, 32]
    plain = build(arch, 10, model_args)
    assert {name: value.shape for name, value in model.state_dict().items()} == {
        name: value.shape for name, value in plain.state_dict().items()
    }


@pytest.mark.parametrize(
    ("stages", "sides"),
    [
        ([], [16, 8, 4, 2, 2, 1, 1]),
        ([1], [16, 16, 8, 4, 4, 2, 2]),
        ([1, 3], [16, 16, 8, 8, 8, 4, 4]),
    ],
)
def test_the_stages_of_an_efficientnet_can_keep_the_size(
    stages: list[int], sides: list[int]
) -> None:
    """Those that are named and no others; the first block of a stage has its stride."""
    model: Any = build("tf_efficientnet_b0", 10, {"unit_stride_stages": stages})
    found: list[int] = []
    for stage in model.blocks:
        stage.register_forward_hook(lambda _, __, output: found.append(output.shape[-1]))
    assert model.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert found == sides


def test_a_resnet_9_of_small_images() -> None:
    model = build("resnet18", 10, {**RESNET_9, "stem_stride": 1, "channels": [16, 32, 64, 160]})
    assert count_parameters(model) == 414_306
    convolutions = [
        module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Conv2d) and "downsample" not in name
    ]
    assert len(convolutions) == 3 + 4 * 2  # a deep stem has three where others have one


@pytest.mark.parametrize(
    ("arch", "model_args", "sentence"),
    [
        ("test_resnet", {"stem_stride": 3}, "stem_stride is 3, but it must be 1 or 2"),
        ("test_resnet", {"stem_stride": "1"}, "stem_stride is '1', but it must be 1 or 2"),
        ("test_resnet", {"stem_stride": 1.0}, "stem_stride is 1.0, but it must be 1 or 2"),
        ("test_resnet", {"stem_stride": True}, "stem_stride is True, but it must be 1 or 2"),
        ("tf_efficientnet_b0", {"stem_stride": 1}, "'tf_efficientnet_b0' has no stem of a ResNet"),
        ("tf_efficientnet_b0", {"unit_stride_stages": [9]}, "names stage 9, but"),
        ("tf_efficientnet_b0", {"unit_stride_stages": [-1]}, "names stage -1, but"),
        ("test_efficientnet", {"unit_stride_stages": [1]}, "names stage 1, but"),
    ],
)
def test_other_stems_are_refused(arch: str, model_args: dict[str, object], sentence: str) -> None:
    with pytest.raises(NsbenchError, match=sentence):
        build(arch, 10, model_args)
