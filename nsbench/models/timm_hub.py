"""timm's models: created by name, with the preprocessing of their pretrained configuration."""

from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config
from torch import nn

from nsbench.data.preprocessing import Preprocessing
from nsbench.models.classifier import Classifier, count_parameters, serialize
from nsbench.models.names import RESULTS, check_arch
from nsbench.models.options import ModelOptions
from nsbench.models.wrap import wrap_module
from nsbench.util.config import parse
from nsbench.util.device import to_device
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.files import sha256


def load_timm(name: str, device: torch.device, options: ModelOptions) -> Classifier:
    """`timm:NAME` with the pretrained weights of the hub.

    Raises NsbenchError for an unknown name, or weights that cannot be fetched.
    """
    arch = name.removeprefix("timm:")
    check_arch(arch)
    try:
        created = timm.create_model(arch, pretrained=True, **sized(options))
    except (Exception, SystemExit) as error:  # the hub's client raises those of many libraries
        raise NsbenchError(
            f"cannot get the pretrained weights of {name}: {first_line(error)}"
        ) from error
    module = to_device(created, device).eval()
    model = wrap_module(
        name,
        module,
        device,
        options,
        label=name,
        weights_hash=sha256(serialize(module)),
        preprocessing=timm_preprocessing(module, name),
        info={"arch": arch, "parameters": count_parameters(module)},
    )
    # Its name says all then, and the folder needs no hash.
    if not options.replaced:
        model.results = RESULTS / name.replace(":", "-").replace("/", "-")
    return model


def sized(options: ModelOptions) -> dict[str, Any]:
    """Arguments of timm.create_model for an image size: some architectures are built for one."""
    if options.image_size is None:
        return {}
    size = (3, options.image_size, options.image_size)
    return {"pretrained_cfg_overlay": {"input_size": size}}


def timm_preprocessing(module: nn.Module, name: str) -> Preprocessing:
    """The preprocessing in a module's pretrained_cfg. Raises NsbenchError for an unknown one."""
    config = resolve_model_data_config(module)
    fields = {
        "image_size": int(config["input_size"][-1]),
        "crop_pct": float(config["crop_pct"]),
        "crop_mode": config["crop_mode"],
        "interpolation": config["interpolation"],
        "mean": [float(value) for value in config["mean"]],
        "std": [float(value) for value in config["std"]],
    }
    return parse(Preprocessing, fields, f"the pretrained_cfg of {name}")
