"""Which weights of a checkpoint file count, by the spellings of the field."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from nsbench.models import Classifier, ModelOptions, load_model
from nsbench.util.errors import NsbenchError

ARCH = "test_resnet"
State = dict[str, torch.Tensor]


def made(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    module: nn.Module = timm.create_model(ARCH, num_classes=4)
    with torch.no_grad():  # buffers that differ too
        for buffer in module.buffers():
            buffer += seed
    return module.eval()


RAW, AVERAGED = made(1), made(2)
OPTIMIZER = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"params": [0]}]}


def prefixed(prefix: str, module: nn.Module) -> State:
    return {prefix + key: value for key, value in module.state_dict().items()}


def of_torch(module: nn.Module) -> State:
    """What torch's AveragedModel stores: names after `module.`, and a counter."""
    return AveragedModel(module).state_dict()


def load(path: Path, content: Any, **options: Any) -> Classifier:
    torch.save(content, path)
    return load_model(str(path), "cpu", ModelOptions(arch=ARCH, image_size=32, **options))


def same(model: Classifier, module: nn.Module) -> bool:
    state = model.module.state_dict()
    return all(torch.equal(state[key], value) for key, value in module.state_dict().items())


@pytest.mark.parametrize(
    ("raw", "averaged"),
    [
        ("state_dict", "state_dict_ema"),
        ("model", "model_ema"),
        ("state_dict", "ema_state_dict"),
        ("model", "ema_model"),
        ("model", "ema"),
        ("model_state_dict", "model_ema_state_dict"),
        ("model", "ema_state"),
        ("model", "averaged"),
        ("model", "averaged_model"),
        ("model", "swa_model"),
        ("params", "params_ema"),
        ("net", "EMAModel"),
        ("model_non_ema", "model_ema"),
    ],
)
def test_averaged_weights_are_read_by_every_spelling(
    raw: str, averaged: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {raw: RAW.state_dict(), averaged: AVERAGED.state_dict(), "optimizer": OPTIMIZER}
    model = load(tmp_path / "c.pth", content)
    assert same(model, AVERAGED)
    assert model.info["entry"] == averaged
    told = f"c.pth: the averaged weights in {averaged} are read, not {raw}; --entry chooses\n"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "entry"),
    [
        (lambda: of_torch(AVERAGED), None),
        (lambda: {"model": RAW.state_dict(), "best": of_torch(AVERAGED)}, "best"),
        (lambda: {"model": RAW.state_dict(), "ema": of_torch(AVERAGED)}, "ema"),
        (
            lambda: {"model": RAW.state_dict(), "ema": {"module": AVERAGED.state_dict(), "n": 3}},
            "ema.module",
        ),
        (
            lambda: {"state": {"model": RAW.state_dict(), "ema": AVERAGED.state_dict()}},
            "state.ema",
        ),
        (
            lambda: {
                "model": RAW.state_dict(),
                "ema": {"shadow": AVERAGED.state_dict(), "backup": RAW.state_dict()},
            },
            "ema.shadow",
        ),
        (
            lambda: {
                "state_dict": prefixed("model.", RAW),
                "callbacks": {"EMACallback{'decay': 0.9}": {"weights": AVERAGED.state_dict()}},
            },
            "callbacks.EMACallback{'decay': 0.9}.weights",
        ),
        # Lightning's WeightAveraging puts the average in the place of the model's own weights.
        (
            lambda: {
                "state_dict": prefixed("model.", AVERAGED),
                "current_model_state": prefixed("model.", RAW),
                "averaging_state": {"n_averaged": torch.tensor(3)},
            },
            "state_dict",
        ),
        (
            lambda: {
                "state_dict": {
                    **prefixed("model.", RAW),
                    **prefixed("ema_model.module.", AVERAGED),
                    "ema_model.n_averaged": torch.tensor(3),
                }
            },
            "state_dict.ema_model",
        ),
        (
            lambda: {**prefixed("model.", RAW), **prefixed("model_ema.", AVERAGED)},
            "model_ema",
        ),
        # ema-pytorch, alone and with the raw weights
        (
            lambda: {"step": torch.tensor(3), **prefixed("ema_model.", AVERAGED)},
            "ema_model",
        ),
        (
            lambda: {
                "initted": torch.tensor(True),
                **prefixed("online_model.", RAW),
                **prefixed("ema_model.", AVERAGED),
            },
            "ema_model",
        ),
        # mmengine
        (
            lambda: {
                "state_dict": RAW.state_dict(),
                "ema_state_dict": {"steps": torch.tensor(3), **prefixed("module.", AVERAGED)},
            },
            "ema_state_dict",
        ),
        # NeMo: all values of the state dict, without names
        (
            lambda: {
                "state_dict": RAW.state_dict(),
                "callbacks": {"EMA": {"ema_weights": list(AVERAGED.state_dict().values())}},
            },
            "callbacks.EMA.ema_weights",
        ),
    ],
)
def test_averaged_weights_in_other_forms(
    content: Callable[[], Any], entry: str | None, tmp_path: Path
) -> None:
    model = load(tmp_path / "c.ckpt", content())
    assert same(model, AVERAGED)
    assert model.info["entry"] == entry


def test_averages_of_parameters_alone_keep_the_running_statistics(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {key: value.detach() for key, value in AVERAGED.named_parameters()}
    of_raw = {key: value for key, value in RAW.state_dict().items() if key not in named}
    for shadow in (
        {"shadow": named},  # a class of one's own
        {"decay": 0.9, "num_updates": 3, "shadow_params": list(named.values())},  # torch_ema
        {key.replace(".", ""): value for key, value in named.items()},  # latent diffusion
        {key.replace(".", "_"): value for key, value in named.items()},
    ):
        model = load(tmp_path / "c.pth", {"model": RAW.state_dict(), "ema": shadow})
        state = model.module.state_dict()
        assert all(torch.equal(state[key], value) for key, value in {**named, **of_raw}.items())
        assert "are read with the running statistics in model, not" in capsys.readouterr().err


def test_averages_among_the_buffers_of_a_model_are_read(tmp_path: Path) -> None:
    mmcv = {f"ema_{key.replace('.', '_')}": v.detach() for key, v in AVERAGED.named_parameters()}
    model = load(tmp_path / "c.pth", {"state_dict": {**RAW.state_dict(), **mmcv}})
    assert model.info["entry"] == "state_dict.ema"
    state = model.module.state_dict()
    assert all(torch.equal(state[key], value) for key, value in AVERAGED.named_parameters())


def test_averages_that_cannot_be_named_are_refused(tmp_path: Path) -> None:
    values = [value.detach() for value in AVERAGED.parameters()]
    for content in (
        {"ema": {"shadow_params": values}},
        {"ema": {"shadow_params": values[1:]}, "model": RAW.state_dict()},
    ):
        with pytest.raises(NsbenchError, match="averaged weights in ema.shadow_params that have"):
            load(tmp_path / "c.pth", content)


def test_an_entry_is_chosen_by_name_and_makes_another_model(tmp_path: Path) -> None:
    content = {"state_dict": RAW.state_dict(), "state_dict_ema": AVERAGED.state_dict()}
    averaged = load(tmp_path / "c.pth", content)
    raw = load(tmp_path / "c.pth", content, entry="state_dict")
    assert same(raw, RAW)
    assert raw.info["entry"] == "state_dict"
    assert raw.weights_hash != averaged.weights_hash
    assert raw.results != averaged.results
    with pytest.raises(NsbenchError) as caught:
        load(tmp_path / "c.pth", content, entry="ema")
    assert str(caught.value) == (
        f"{tmp_path / 'c.pth'} has no weights in an entry 'ema': --entry can be state_dict or "
        "state_dict_ema"
    )
    with pytest.raises(NsbenchError, match="without entries: leave out --entry ema"):
        load(tmp_path / "c.pth", RAW.state_dict(), entry="ema")
    with pytest.raises(NsbenchError, match="--entry ema names weights in a checkpoint file, but"):
        load_model("linear:digits", "cpu", ModelOptions(entry="ema"))


@pytest.mark.parametrize(
    ("first", "outer", "name"),
    [("model.", "state_dict", "state_dict.model"), ("module.net.", "", "net")],
)
def test_weights_beside_a_model_in_one_attribute(
    first: str, outer: str, name: str, tmp_path: Path
) -> None:
    state = {f"{first.split('.')[0]}.loss.weight" if not outer else "loss.weight": torch.ones(4)}
    state |= prefixed(first, RAW)
    content = {outer: state} if outer else state
    with pytest.raises(NsbenchError, match=f"what it has in {name} does: name that by --entry"):
        load(tmp_path / "c.pth", content)
    model = load(tmp_path / "c.pth", content, entry=name)
    assert same(model, RAW)
    assert model.info["entry"] == name


def test_other_weights_beside_those_read_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = {"model": RAW.state_dict(), "best": AVERAGED.state_dict(), "opt": OPTIMIZER}
    assert same(load(tmp_path / "c.pth", content), RAW)
    assert "the weights in model are read, not best; --entry chooses" in capsys.readouterr().err
    load(tmp_path / "c.pth", {"anything": RAW.state_dict(), "epoch": 3})
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("student", "teacher"), "holds several weights, student or teacher: choose by --entry"),
        (("model", "ema", "swa"), "holds several averaged weights, ema or swa: choose by --entry"),
    ],
)
def test_what_cannot_be_told_is_asked(
    names: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(NsbenchError, match=sentence):
        load(tmp_path / "c.pth", dict.fromkeys(names, RAW.state_dict()))


@pytest.mark.parametrize("prefix", ["model.", "net.", "module.", "_orig_mod.", "model._orig_mod."])
@pytest.mark.parametrize("name", ["model_best.pth.tar", "last.ckpt"])
def test_names_of_wrappers_are_taken_away(prefix: str, name: str, tmp_path: Path) -> None:
    assert same(load(tmp_path / name, {"state_dict": prefixed(prefix, RAW)}), RAW)


def test_safetensors_files_have_entries_in_their_names(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    both = {**prefixed("state_dict.", RAW), **prefixed("state_dict_ema.", AVERAGED)}
    safetensors.torch.save_file(both, path)
    options = {"arch": ARCH, "image_size": 32}
    assert same(load_model(str(path), "cpu", ModelOptions(**options)), AVERAGED)  # type: ignore[arg-type]
    chosen = ModelOptions(**options, entry="state_dict")  # type: ignore[arg-type]
    assert same(load_model(str(path), "cpu", chosen), RAW)
