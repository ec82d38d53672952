"""Models: built with timm, saved and loaded as safetensors with their own preprocessing."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import timm
import torch
from numpy.typing import NDArray
from timm.data import ImageNetInfo, resolve_model_data_config
from torch import nn

from nsbench.config import nearest, parse
from nsbench.data.sources import Source
from nsbench.data.transforms import Preprocessing, normalize
from nsbench.errors import NsbenchError, first_line
from nsbench.run import generation_folders, is_run, read_json, sha256, write_bytes, write_json

RESULTS = Path("results")
REFUSED_ARGUMENTS = {
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "num_classes",
    "in_chans", "features_only", "scriptable", "drop_rate", "drop_path_rate", "cache_dir",
}  # fmt: skip


@dataclass
class Classifier:
    """A module in evaluation mode with all it takes to use it.

    classes: names in the order of the outputs, None if unknown. weights: SHA-256 of the weights.
    results: the folder its predictions go to. info: what a report says of it.
    """

    name: str
    module: nn.Module
    num_classes: int
    classes: tuple[str, ...] | None
    preprocessing: Preprocessing
    weights: str
    results: Path
    info: dict[str, Any] = field(default_factory=dict)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Float (B, C) logits of float images (B, 3, H, W) in [0, 1], of the model's input size."""
        size = self.preprocessing
        ready = normalize(images, size.mean, size.std).contiguous(memory_format=torch.channels_last)
        logits: torch.Tensor = self.module(ready)
        return logits


def resolve_device(device: str | None) -> torch.device:
    """The named device, or the GPU if there is one. Raises NsbenchError for an unusable name."""
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise NsbenchError(f"the device '{name}' cannot be used here: try --device cpu") from error


def build(
    arch: str,
    num_classes: int,
    model_args: dict[str, Any] | None = None,
    dropout: float = 0.0,
    drop_path: float = 0.0,
) -> nn.Module:
    """A randomly initialised timm model; drop_path is the last block's stochastic-depth drop rate.

    Raises NsbenchError for an unknown architecture (with the nearest name) or arguments that it
    does not take.
    """
    if not timm.is_model(arch):
        raise NsbenchError(f"timm has no architecture '{arch}'{nearest(arch, timm.list_models())}")
    arguments = dict(model_args or {})
    refused = sorted(REFUSED_ARGUMENTS & set(arguments))
    if refused:
        raise NsbenchError(f"model_args cannot hold '{refused[0]}': nsbench sets or forbids it")
    noise = {"drop_rate": dropout, "drop_path_rate": drop_path}  # not every model takes both
    arguments |= {name: rate for name, rate in noise.items() if rate}
    try:
        model: nn.Module = timm.create_model(arch, num_classes=num_classes, **arguments)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise NsbenchError(f"timm cannot build '{arch}' with {arguments}: {error}") from error
    return model


def place(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module to a device, its convolutions in channels-last order, which is faster."""
    module = module.to(device)
    return module.to(memory_format=torch.channels_last)


def count_parameters(module: nn.Module) -> int:
    """Number of trainable and frozen parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def save(folder: Path, module: nn.Module, info: dict[str, Any]) -> None:
    """Write model.safetensors and then model.json, whose presence says that both are whole.

    info: arch, model_args, classes, preprocessing and whatever else a report should know.
    """
    content = _serialize(module)
    write_bytes(folder / "model.safetensors", content)
    write_json(folder / "model.json", {**info, "weights": sha256(content)})


def _serialize(module: nn.Module) -> bytes:
    state = module.state_dict().items()
    return bytes(safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in state}))


def load_models(names: Sequence[str], device: torch.device) -> list[Classifier]:
    """Every model named: a run folder stands for all its generations.

    Raises NsbenchError for what cannot be loaded, and if two names lead to the same model.
    """
    models = [model for name in names for model in _load(name, device)]
    places = [model.results.resolve() for model in models]
    shared = [model for model in models if [m.name for m in models].count(model.name) > 1]
    for model in shared:  # p/run and q/run
        model.name = str(model.results.parent)
    twice = [m.name for m, place in zip(models, places, strict=True) if places.count(place) > 1]
    if twice:
        raise NsbenchError(f"the model {twice[0]} is named twice")
    return models


def load_model(name: str, device: str | None = None) -> Classifier:
    """One model by name: a generation's folder, `timm:NAME`, or `linear:digits`.

    A run folder gives its last generation. Raises NsbenchError for what cannot be loaded.
    """
    return _load(name, resolve_device(device))[-1]


def _load(name: str, device: torch.device) -> list[Classifier]:
    if name.startswith("timm:"):
        return [_load_timm(name, device)]
    if name.startswith("linear:"):
        from nsbench.linear import load_linear

        return [load_linear(name, device)]
    path = Path(name)
    if (path / "model.json").is_file():
        return [load_checkpoint(path, device)]
    if is_run(path):
        generations = generation_folders(path)
        if not generations:
            raise NsbenchError(f"{path} has no finished generation: run nsbench train again")
        return [load_checkpoint(folder, device) for folder in generations]
    raise NsbenchError(
        f"there is no model {name}: name a run folder, one of its generations, or timm:NAME"
    )


def load_checkpoint(folder: Path, device: torch.device) -> Classifier:
    """A generation as `save` wrote it. Raises NsbenchError if its files do not belong together."""
    info = read_json(folder / "model.json")
    file = folder / "model.safetensors"
    try:
        content = file.read_bytes()
        if sha256(content) != info["weights"]:
            raise NsbenchError(f"{file} is not the file that model.json describes: train it again")
        module = build(info["arch"], len(info["classes"]), info["model_args"])
        module.load_state_dict(safetensors.torch.load(content))
        return Classifier(
            name=f"{folder.resolve().parent.name}/{folder.resolve().name}",
            module=place(module, device).eval(),
            num_classes=len(info["classes"]),
            classes=tuple(info["classes"]),
            preprocessing=parse(Preprocessing, info["preprocessing"], str(folder / "model.json")),
            weights=info["weights"],
            results=folder / "results",
            info={key: info[key] for key in ("arch", "generation", "parameters", "seconds")},
        )
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise NsbenchError(f"cannot load {file}: {first_line(error)}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NsbenchError(f"cannot load {folder / 'model.json'}: it lacks {error}") from error


def _load_timm(name: str, device: torch.device) -> Classifier:
    arch = name.removeprefix("timm:")
    if not timm.is_model(arch.split(".")[0]):
        raise NsbenchError(
            f"timm has no model '{arch}'{nearest(arch, timm.list_models(pretrained=True))}"
        )
    try:
        created = timm.create_model(arch, pretrained=True)
    except Exception as error:  # the hub's client raises errors of many libraries
        raise NsbenchError(
            f"cannot get the pretrained weights of {name}: {first_line(error)}"
        ) from error
    num_classes = int(created.num_classes)
    module = place(created, device).eval()
    return Classifier(
        name=name,
        module=module,
        num_classes=num_classes,
        classes=tuple(ImageNetInfo().label_names()) if num_classes == 1000 else None,
        preprocessing=_timm_preprocessing(module),
        weights=sha256(_serialize(module)),
        results=RESULTS / name.replace(":", "-").replace("/", "-"),
        info={"arch": arch, "parameters": count_parameters(module)},
    )


def _timm_preprocessing(module: nn.Module) -> Preprocessing:
    config = resolve_model_data_config(module)
    return Preprocessing(
        image_size=int(config["input_size"][-1]),
        crop_pct=float(config["crop_pct"]),
        interpolation=config["interpolation"],
        mean=[float(value) for value in config["mean"]],
        std=[float(value) for value in config["std"]],
    )


def class_indices(model: Classifier, source: Source) -> NDArray[np.int64]:
    """For each class of the source, the model's output that stands for it.

    Classes are matched by name; a source without names labels by the model's own indices.
    Raises NsbenchError naming the first class that the model does not know.
    """
    if source.classes is None:
        highest = -1 if source.labels is None else int(np.max(source.labels, initial=-1))
        if highest >= model.num_classes:
            raise NsbenchError(
                f"{source.name} has {highest + 1} classes, but {model.name} has {model.num_classes}"
            )
        return np.arange(model.num_classes)
    if model.classes is None:
        raise NsbenchError(
            f"the names of {model.name}'s {model.num_classes} classes are not known: set "
            f'label_space = "indices" for {source.name} if its labels are the model\'s indices'
        )
    position = {name: index for index, name in enumerate(model.classes)}
    unknown = [name for name in source.classes if name not in position]
    if unknown:
        raise NsbenchError(
            f"the class '{unknown[0]}' of {source.name} is not known to {model.name}"
            f'{nearest(unknown[0], model.classes)}; rename it, or set label_space = "indices" '
            "where labels are the model's class indices"
        )
    return np.array([position[name] for name in source.classes])
