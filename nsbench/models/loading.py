"""From the name of a model to the model."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from nsbench.models.classifier import Classifier
from nsbench.models.generation import load_checkpoint
from nsbench.models.given import wrap_given
from nsbench.models.linear import load_linear
from nsbench.models.names import ModelName, check_models, folders_of, plain_architecture, understood
from nsbench.models.onnx import load_onnx
from nsbench.models.options import ModelOptions
from nsbench.models.python_function import load_function
from nsbench.models.state_dict import load_file
from nsbench.models.timm_hub import load_timm
from nsbench.models.wrap import adjusted
from nsbench.run_folder import RESULTS, generation_folders, place_in_seeds
from nsbench.util.arguments import checked
from nsbench.util.device import enough_memory, resolve_device
from nsbench.util.errors import NsbenchError

Named = str | Path | nn.Module | Classifier
"""What a model is named by, or is."""


def load_models(
    names: Sequence[Named], device: torch.device, options: ModelOptions | None = None
) -> list[Classifier]:
    """Every model named, as `load_model` takes them.

    A run folder stands for all its generations, and those of its controls and variants; a folder of
    seeds for its runs.

    Options hold for all models that they can concern. A module or Classifier stands for itself.
    Raises NsbenchError for what cannot be loaded, for options that concern no model, and if two
    names lead to the same model.
    """
    options = options or ModelOptions()
    # Before anything is loaded, which may take minutes or a download.
    others = sum(isinstance(name, nn.Module) for name in names)
    check_models(
        [str(name) for name in names if isinstance(name, str | Path)], options, others=others
    )
    models = [model for name in names for model in _fitting(name, device, options)]
    # By folders of results, since different names may lead to one model, which would be evaluated
    # twice into the same files.
    folders = [model.results.resolve() for model in models]
    twice = [m.name for m, folder in zip(models, folders, strict=True) if folders.count(folder) > 1]
    if twice:
        raise NsbenchError(f"the model {twice[0]} is named twice")
    if options.name:
        if len(models) > 1:
            raise NsbenchError(
                f"the name '{options.name}' is for one model, but there are {len(models)}"
            )
        models[0].name = options.name
    shared = [model for model in models if [m.name for m in models].count(model.name) > 1]
    for model in shared:  # p/run and q/run: names that a report could not tell apart
        outside = model.results.parent == RESULTS
        model.name = model.results.name if outside else str(model.results.parent)
    return models


@checked
def load_model(
    name: str | Path, device: str | torch.device | None = None, options: ModelOptions | None = None
) -> Classifier:
    """One model by name; a run folder gives its last generation.

    name: a run folder or generation, a model of timm's (`resnet50`, `timm:NAME`,
    `hf-hub:USER/MODEL`, `local-dir:FOLDER`), a checkpoint file (.safetensors, .pth, .pt, .bin,
    .pth.tar or .ckpt, with the option `arch`), `FILE.onnx`, `python:MODULE:FUNCTION`, which runs
    that function, or `linear:digits`. Raises NsbenchError for what cannot be loaded.
    """
    name, options = str(name), options or ModelOptions()
    check_models([name], options)
    own = generation_folders(Path(name)) if understood(name).kind == "folder" else []
    if place_in_seeds(Path(name)):
        raise NsbenchError(
            f"{name} stands for models of several seeds: name the run of one of them"
        )
    return _fitting(str(own[-1]) if own else name, resolve_device(device), options)[-1]


def _fitting(name: Named, device: torch.device, options: ModelOptions) -> list[Classifier]:
    way_out = "free some, name fewer models at once, or use --device cpu"
    with enough_memory(f"the model {name}", way_out):
        return _load(name, device, options)


def _load(name: Named, device: torch.device, options: ModelOptions) -> list[Classifier]:
    if isinstance(name, Classifier):
        name.module.eval()  # as it may come from a training
        return [name]
    if isinstance(name, nn.Module):
        return [wrap_given(name, device, options)]
    name = str(name)
    known = understood(name)
    if known.kind == "timm":
        return [_load_timm(known, device, options)]
    if known.kind == "checkpoint":
        path, arch = Path(name).expanduser(), plain_architecture(str(options.arch))
        return [load_file(path, arch, device, options)]
    if known.kind == "python":
        return [load_function(name, device, options)]
    if known.kind == "onnx":
        return [load_onnx(Path(name).expanduser(), device, options)]
    if known.kind == "linear":
        return [adjusted(load_linear(device), options, device)]
    models = [load_checkpoint(folder, device) for folder in folders_of(name)]
    return [adjusted(model, options, device) for model in models]


def _load_timm(known: ModelName, device: torch.device, options: ModelOptions) -> Classifier:
    if options.weights_file:
        return load_file(Path(options.weights_file), known.arch, device, options)
    return load_timm(known, device, options)
