"""The project's own models: built with timm, saved and loaded as safetensors and JSON."""

from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import timm
import torch
from torch import nn

from nsbench.data.preprocessing import Preprocessing
from nsbench.models.classifier import Classifier, serialize
from nsbench.models.ensemble import Ensemble
from nsbench.models.timm_index import check_architecture
from nsbench.run_folder import model_name, read_info
from nsbench.util.config import parse
from nsbench.util.device import to_device
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.files import read_plain, sha256, write_bytes
from nsbench.util.sealed import write_record

# Arguments of timm.create_model that a recipe's model_args may not hold: they load other weights or
# files, change what goes in or comes out, or have a key of their own in a recipe.
REFUSED_ARGUMENTS = {
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "num_classes",
    "in_chans", "features_only", "scriptable", "drop_rate", "drop_path_rate", "cache_dir",
}  # fmt: skip

RESTORE = "restore it, or move the folder away to train it again"


def build(
    arch: str,
    num_classes: int,
    model_args: dict[str, Any] | None = None,
    dropout: float = 0.0,
    drop_path: float = 0.0,
) -> nn.Module:
    """A randomly initialised timm model; drop_path is the last block's stochastic-depth drop rate.

    model_args: timm's arguments, and three for small images: `unit_stride_stages`, the stages of an
    EfficientNet, counted from 0, whose strides become 1, as the official code has it for 32 px;
    `stem_stride = 1`, with which the stem of a ResNet does not downsample; and `stem_pool = false`,
    which leaves out the pooling behind it.
    Raises NsbenchError for an unknown architecture (with the nearest name) or arguments that it
    does not take.
    """
    check_architecture(arch)
    arguments = dict(model_args or {})  # a copy, from which nsbench's own are taken out
    unit_strides = arguments.pop("unit_stride_stages", [])
    stem_stride = arguments.pop("stem_stride", None)
    stem_pool = arguments.pop("stem_pool", True)
    refused = sorted(REFUSED_ARGUMENTS & set(arguments))
    if refused:
        raise NsbenchError(f"model_args cannot hold '{refused[0]}': nsbench sets or forbids it")
    noise = {"drop_rate": dropout, "drop_path_rate": drop_path}
    model = _create(arch, {"num_classes": num_classes, **arguments}, noise)
    _keep_size(model, arch, unit_strides)
    if stem_stride is not None:
        _set_stem_stride(model, arch, stem_stride)
    if not stem_pool:
        _leave_out_pool(model, arch)
    return model


def _create(arch: str, arguments: dict[str, Any], noise: dict[str, float]) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(arch, **arguments, **noise)
        return model
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        # not every model takes both rates; where it does, its own default may not be 0
        lacking = [name for name, rate in noise.items() if not rate and f"'{name}'" in str(error)]
        if isinstance(error, TypeError) and lacking:
            accepted = {name: rate for name, rate in noise.items() if name not in lacking}
            return _create(arch, arguments, accepted)
        asked = arguments | {name: rate for name, rate in noise.items() if rate}
        asked.pop("num_classes")
        raise NsbenchError(f"timm cannot build '{arch}' with {asked}: {error}") from error


def _keep_size(model: Any, arch: str, stages: list[int]) -> None:
    # The first block of a stage has its stride, in the depthwise convolution.
    blocks = getattr(model, "blocks", [])
    for stage in stages:
        if not 0 <= stage < len(blocks) or not hasattr(blocks[stage][0], "conv_dw"):
            raise NsbenchError(
                f"model_args.unit_stride_stages names stage {stage}, but '{arch}' has no such "
                "stage of an EfficientNet: leave it out"
            )
        blocks[stage][0].conv_dw.stride = (1, 1)


def _set_stem_stride(model: Any, arch: str, stride: Any) -> None:
    if type(stride) is not int or stride not in (1, 2):  # nor True, which equals 1
        raise NsbenchError(f"model_args.stem_stride is {stride!r}, but it must be 1 or 2")
    # A deep stem is a sequence, one of whose convolutions downsamples.
    stem = getattr(model, "conv1", nn.Identity())
    strided = [p for p in stem.modules() if isinstance(p, nn.Conv2d) and p.stride == (2, 2)]
    if not strided:
        raise NsbenchError(
            f"model_args.stem_stride is {stride}, but '{arch}' has no stem of a ResNet that "
            "downsamples: leave it out"
        )
    for convolution in strided:
        convolution.stride = (stride, stride)


def _leave_out_pool(model: Any, arch: str) -> None:
    if not hasattr(model, "maxpool"):
        raise NsbenchError(
            f"model_args.stem_pool is false, but '{arch}' has no pooling: leave it out"
        )
    model.maxpool = nn.Identity()  # has no weights, so that checkpoints keep their names


def save(folder: Path, module: nn.Module, info: dict[str, Any]) -> None:
    """Write model.safetensors and then model.json, whose presence says that both are whole.

    info: arch, model_args, classes, preprocessing, members where it is an Ensemble of so many, and
    whatever else a report should know.
    """
    # The weights' hash in the one file tells whether the other belongs to it.
    content = serialize(module)
    write_bytes(folder / "model.safetensors", content)
    write_record(folder / "model.json", {**info, "weights": sha256(content)})


def load_checkpoint(folder: Path, device: torch.device) -> Classifier:
    """A generation as `save` wrote it. Raises NsbenchError if its files do not belong together."""
    info = read_info(folder)
    file = folder / "model.safetensors"
    try:
        content = read_plain(file)
        if sha256(content) != info["weights"]:
            raise NsbenchError(f"{file} is not the file that model.json describes: {RESTORE}")
        noise = info.get("noise", {})  # without effect but where a teacher is to be noised
        of_it = info["arch"], len(info["classes"]), info["model_args"]
        module = build(*of_it, **noise)
        if members := info.get("members"):
            module = Ensemble([module, *(build(*of_it, **noise) for _ in range(1, members))])
        module.load_state_dict(safetensors.torch.load(content))
        return Classifier(
            name=model_name(folder),
            module=to_device(module, device).eval(),
            num_classes=len(info["classes"]),
            classes=tuple(info["classes"]),
            preprocessing=parse(Preprocessing, info["preprocessing"], str(folder / "model.json")),
            weights_hash=info["weights"],
            results=folder / "results",
            info={key: info[key] for key in ("arch", "generation", "parameters", "seconds")},
        )
    except FileNotFoundError as error:
        raise NsbenchError(f"{file} is missing: {RESTORE}") from error
    # RuntimeError is torch's for tensors that do not fit; what follows is for a broken model.json.
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise NsbenchError(f"cannot load {file} ({first_line(error)}): {RESTORE}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        record = folder / "model.json"
        raise NsbenchError(f"cannot load {record}, which lacks {error}: {RESTORE}") from error
