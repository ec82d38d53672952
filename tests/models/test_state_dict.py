"""Checkpoint files of others: the same answers as timm's own model, and every way they are bad."""

import argparse
import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from timm.data import resolve_model_data_config
from torch import nn

from nsbench.models import Classifier, ModelOptions, load_model, load_models
from nsbench.util.errors import NsbenchError

ARCH = "test_resnet"
IMAGES = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A model with 10 classes that is like no other: its batch norms have seen images too."""
    torch.manual_seed(0)
    module: nn.Module = timm.create_model(ARCH, num_classes=10)
    module.train()
    for _ in range(3):
        module(torch.rand(8, 3, 64, 64))
    return module.eval()


def load(path: Path, arch: str = ARCH, **options: Any) -> Classifier:
    return load_model(str(path), "cpu", ModelOptions(arch=arch, **options))


def expected(module: Any, images: torch.Tensor) -> torch.Tensor:
    config = resolve_model_data_config(module)
    mean, std = (torch.tensor(config[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.inference_mode():
        answer: torch.Tensor = module((images - mean) / std)
    return answer


def check(model: Classifier, module: nn.Module) -> None:
    with torch.inference_mode():
        found = model.logits(IMAGES)
    assert torch.allclose(found, expected(module, IMAGES), atol=1e-6)
    assert not model.module.training


def prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}


@pytest.mark.parametrize(
    ("wrap", "entry"),
    [
        (lambda state: state, None),
        (lambda state: {"state_dict": state, "epoch": 3}, "state_dict"),
        (lambda state: {"model": state, "optimizer": {"lr": 0.1}}, "model"),
        (lambda state: {"model_state_dict": state}, "model_state_dict"),
        (lambda state: {"state_dict": state, "args": argparse.Namespace(lr=1)}, "state_dict"),
        (lambda state: prefixed(state, "module."), None),
        (lambda state: prefixed(state, "_orig_mod.module."), None),
        (lambda state: {"state_dict": prefixed(state, "module._orig_mod.")}, "state_dict"),
        (lambda state: {k: v for k, v in state.items() if "num_batches" not in k}, None),
        (lambda state: {"net": prefixed(state, "model.module."), "acc": 9.0}, "net"),
        (lambda state: {"network": state, "lr": 0.1}, "network"),
        (lambda state: {"params": prefixed(state, "backbone.")}, "params"),
        (lambda state: prefixed(state, "1."), None),
        (lambda state: {"model": {"state_dict": state}}, "model.state_dict"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_in_their_wrappings(
    wrap: Any, entry: str | None, zipped: bool, trained: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "best.pth"
    torch.save(wrap(trained.state_dict()), path, _use_new_zipfile_serialization=zipped)
    model = load(path)
    check(model, trained)
    assert (model.num_classes, model.classes) == (10, None)
    assert model.info["entry"] == entry
    assert model.name == f"{tmp_path.name}/best.pth"
    assert model.channels_last  # the faster order in memory


@pytest.mark.parametrize(
    ("ema", "plain"), [("state_dict_ema", "state_dict"), ("model_ema", "model")]
)
def test_averaged_weights_are_preferred(
    ema: str, plain: str, trained: nn.Module, tmp_path: Path
) -> None:
    other = timm.create_model(ARCH, num_classes=10).state_dict()
    torch.save({plain: other, ema: trained.state_dict()}, tmp_path / "both.pth")
    model = load(tmp_path / "both.pth")
    check(model, trained)
    assert model.info["entry"] == ema


def test_safetensors_and_torch_files_are_one_model(trained: nn.Module, tmp_path: Path) -> None:
    safetensors.torch.save_file(trained.state_dict(), tmp_path / "m.safetensors")
    torch.save(trained.state_dict(), tmp_path / "m.bin")
    model = load(tmp_path / "m.safetensors")
    check(model, trained)
    assert model.weights_hash == load(tmp_path / "m.bin").weights_hash
    assert model.results.parent == Path("results")
    assert model.results.name.startswith("m-test_resnet-")


def test_timm_takes_the_weights_of_a_file(trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    safetensors.torch.save_file(trained.state_dict(), path)
    model = load_model("timm:test_resnet.r160_in1k", "cpu", ModelOptions(weights_file=path))
    check(model, trained)
    other = load(path, "test_resnet.r160_in1k")  # the same model by another name
    assert (model.name, model.weights_hash) == (other.name, other.weights_hash)
    assert model.results == other.results
    assert model.preprocessing.image_size == 160
    assert "entry" in model.info  # by which published results know that they are not timm's


def test_a_thousand_classes_are_those_of_imagenet(tmp_path: Path) -> None:
    torch.save(timm.create_model(ARCH).state_dict(), tmp_path / "m.pt")
    model = load(tmp_path / "m.pt")
    assert model.classes is not None
    assert (model.num_classes, model.classes[0]) == (1000, "n01440764")


def test_other_weights_or_another_architecture_have_other_results(tmp_path: Path) -> None:
    found = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        torch.save(timm.create_model(ARCH, num_classes=10).state_dict(), tmp_path / folder / "m.pt")
        found.append(str(tmp_path / folder / "m.pt"))
    options = ModelOptions(arch=ARCH)
    first, second = load_models(found, torch.device("cpu"), options)
    assert first.results != second.results
    assert first.weights_hash != second.weights_hash
    assert (first.name, second.name) == ("a/m.pt", "b/m.pt")
    with pytest.raises(NsbenchError, match=r"the model a/m\.pt is named twice"):
        load_models([found[0], found[0]], torch.device("cpu"), options)


def test_architectures_of_the_same_tensors_differ(tmp_path: Path) -> None:
    module = timm.create_model("tf_efficientnet_b0", num_classes=2)
    torch.save(module.state_dict(), tmp_path / "m.pt")
    there, here = (
        load(tmp_path / "m.pt", "tf_efficientnet_b0"),
        load(tmp_path / "m.pt", "efficientnet_b0"),
    )
    assert there.weights_hash != here.weights_hash


def test_names_of_the_authors_become_those_of_timm(tmp_path: Path) -> None:
    module = timm.create_model("convnext_atto", num_classes=7).eval()
    renaming = {
        r"stages\.(\d)\.downsample": r"downsample_layers.\1",
        r"stages\.(\d)\.blocks": r"stages.\1",
        r"^stem": "downsample_layers.0",
        r"conv_dw": "dwconv",
        r"mlp\.fc(\d)": r"pwconv\1",
        r"^head\.fc": "head",
        r"^head\.norm": "norm",
    }
    original = {}
    for key, value in module.state_dict().items():
        name = key
        for ours, theirs in renaming.items():
            name = re.sub(ours, theirs, name)
        original[name] = value
    assert not original.keys() & {"head.fc.weight", "stem.0.weight"}
    torch.save({"model": original}, tmp_path / "m.pth")
    model = load(tmp_path / "m.pth", "convnext_atto")
    assert model.num_classes == 7
    check(model, module)


def test_a_vision_transformer_needs_the_size_it_was_trained_at(tmp_path: Path) -> None:
    module = timm.create_model("test_vit", num_classes=3, img_size=96).eval()
    torch.save(module.state_dict(), tmp_path / "m.pth")
    with pytest.raises(NsbenchError, match=r"another image size than test_vit: .*--image-size"):
        load(tmp_path / "m.pth", "test_vit")
    model = load(tmp_path / "m.pth", "test_vit", image_size=96)
    assert model.preprocessing.image_size == 96
    images = torch.rand(2, 3, 96, 96)
    with torch.inference_mode():
        assert torch.allclose(model.logits(images), expected(module, images), atol=1e-6)


class Payload:
    """Pickled, it is a command that its reader runs."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("kind", ["zip", "legacy", "bare"])
def test_a_pickle_that_would_run_code_is_refused(kind: str, tmp_path: Path) -> None:
    path, target = tmp_path / "evil.pth", tmp_path / "created"
    content = {"state_dict": {"conv1.weight": Payload(target)}}
    if kind == "bare":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind == "zip")
    with pytest.raises(NsbenchError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path} asks for the code posix.system, and nsbench runs none from a checkpoint: if you "
        "trust it, load it yourself and save its state_dict() as safetensors"
    )
    assert not target.exists()
    torch.load(path, weights_only=False) if kind != "bare" else pickle.loads(path.read_bytes())
    assert target.exists()  # it would have


def test_a_whole_module_is_refused(trained: nn.Module, tmp_path: Path) -> None:
    torch.save(trained, tmp_path / "m.pth")
    with pytest.raises(NsbenchError, match=r"asks for the code timm\.models"):
        load(tmp_path / "m.pth")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_torch_file(
    share: float, zipped: bool, trained: nn.Module, tmp_path: Path
) -> None:
    path = tmp_path / "m.pth"
    torch.save(trained.state_dict(), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(NsbenchError, match=r"m\.pth is incomplete or no state dict"):
        load(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_safetensors_file(share: float, trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    content = safetensors.torch.save(trained.state_dict())
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(NsbenchError, match=r"m\.safetensors is incomplete or no safetensors file"):
        load(path)


@pytest.mark.parametrize("name", ["m.pth", "m.safetensors"])
@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_checkpoint(name: str, seed: int, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(np.random.default_rng(seed).bytes(2000))
    with pytest.raises(NsbenchError, match="is incomplete or no"):
        load(tmp_path / name)


@pytest.mark.parametrize("name", ["m.pth", "m.safetensors"])
def test_a_file_that_is_not_there(name: str, tmp_path: Path) -> None:
    with pytest.raises(NsbenchError, match=f"cannot read .*{name}: No such file"):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "inside"),
    [
        ({"epoch": 3, "lr": 0.1}, "but epoch, lr"),
        ([torch.zeros(3)], "but list"),
        ({}, "but dict"),
        ({"state_dict": {"a": 1}}, "but state_dict"),
    ],
)
def test_a_file_without_a_state_dict(content: Any, inside: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "m.pth")
    with pytest.raises(NsbenchError, match=f"holds no state dict {inside}: save"):
        load(tmp_path / "m.pth")


def test_a_checkpoint_of_another_architecture(trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "m.pth"

    def sentence(state: dict[str, torch.Tensor], arch: str = ARCH) -> str:
        torch.save(state, path)
        with pytest.raises(NsbenchError) as caught:
            load(path, arch)
        return str(caught.value)

    state = trained.state_dict()
    assert sentence(state, "test_efficientnet") == (
        f"{path} does not fit the architecture test_efficientnet: it lacks conv_stem.weight "
        "and has conv1.0.weight instead; name the architecture that it was trained as instead of "
        "test_efficientnet"
    )
    assert "bn9.weight has no place there;" in sentence(state | {"bn9.weight": torch.ones(3)})
    wide = state | {"conv1.0.weight": torch.zeros(99, 3, 3, 3)}
    assert "conv1.0.weight has shape (99, 3, 3, 3), not (" in sentence(wide)


def self_holding() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["model"] = content
    return content


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda w: w.to_sparse(), "the tensor fc.weight is sparse"),
        (lambda w: w.to_sparse_csr(), "the tensor fc.weight is sparse"),
        (lambda w: w.to(torch.complex64), "the tensor fc.weight is complex"),
        (lambda w: w.to("meta"), "the tensor fc.weight is without values, on the device meta"),
        (lambda w: torch.nested.nested_tensor([w[0], w[1]]), "the tensor fc.weight is nested"),
        (lambda w: w.to(torch.int8), "fc.weight holds int8 where test_resnet has floats"),
        (lambda w: w > 0, "fc.weight holds bool where test_resnet has floats"),
        (lambda _: torch.tensor(1.0), "does not fit the architecture"),
        (lambda w: w[:0], "does not fit the architecture"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_no_weights_are_named(
    change: Any, sentence: str, trained: nn.Module, tmp_path: Path
) -> None:
    state = dict(trained.state_dict())
    torch.save(state | {"fc.weight": change(state["fc.weight"])}, tmp_path / "m.pth")
    with pytest.raises(NsbenchError, match=sentence):
        load(tmp_path / "m.pth")


def test_a_file_that_holds_itself_is_refused(tmp_path: Path) -> None:
    torch.save(self_holding(), tmp_path / "m.pth")
    with pytest.raises(NsbenchError, match=r"m\.pth holds itself: save"):
        load(tmp_path / "m.pth")


def test_half_precision_is_read(trained: nn.Module, tmp_path: Path) -> None:
    halves = {k: v.half() if v.is_floating_point() else v for k, v in trained.state_dict().items()}
    torch.save(halves, tmp_path / "m.pth")
    found = load(tmp_path / "m.pth").module.state_dict()["fc.weight"]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, halves["fc.weight"].float(), rtol=0, atol=0)


def test_counters_are_no_reason_to_name_another_architecture(
    trained: nn.Module, tmp_path: Path
) -> None:
    state, path = trained.state_dict(), tmp_path / "m.pth"
    counters = {"bn9.num_batches_tracked": torch.tensor(7), "epoch": torch.tensor([3])}
    first = next(key for key in state if key.endswith("num_batches_tracked"))
    torch.save(state | counters | {first: torch.tensor([7])}, path)
    check(load(path), trained)
    torch.save(counters | {"x.weight": torch.ones(1)}, path)
    with pytest.raises(NsbenchError, match=r"it lacks conv1\.0\.weight and has x\.weight instead;"):
        load(path)


def test_numbers_of_numpy_beside_the_weights(trained: nn.Module, tmp_path: Path) -> None:
    best = {"best_acc1": np.float64(71.5), "epoch": np.int64(3), "best": np.bool_(True)}
    torch.save({"state_dict": trained.state_dict(), **best}, tmp_path / "model_best.pth.tar")
    check(load(tmp_path / "model_best.pth.tar"), trained)


@pytest.mark.parametrize(
    ("arch", "sentence"),
    [
        (None, "needs its architecture: give a name of timm's by --arch or arch="),
        ("resnet5", "timm has no architecture 'resnet5'; did you mean 'resnet50"),
        ("test_resnet.nothing", "timm cannot build 'test_resnet.nothing': "),
    ],
)
def test_architectures_that_are_not_there(
    arch: str | None, sentence: str, trained: nn.Module, tmp_path: Path
) -> None:
    torch.save(trained.state_dict(), tmp_path / "m.pth")
    with pytest.raises(NsbenchError) as caught:
        load_model(str(tmp_path / "m.pth"), "cpu", ModelOptions(arch=arch))
    assert sentence in str(caught.value)
