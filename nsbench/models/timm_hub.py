"""timm's models: created by name, with the preprocessing of their pretrained configuration."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config
from torch import nn

from nsbench.data.preprocessing import Preprocessing
from nsbench.models.classifier import Classifier, count_parameters, serialize
from nsbench.models.names import LOCAL, ModelName, is_from_registry, results_of_timm
from nsbench.models.options import ModelOptions
from nsbench.models.wrap import wrap_module
from nsbench.util.config import parse
from nsbench.util.device import to_device
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.files import sha256


def load_timm(known: ModelName, device: torch.device, options: ModelOptions) -> Classifier:
    """A model of timm's with its weights: by name, from the hub, or from a folder.

    Raises NsbenchError for weights that cannot be fetched.
    """
    arch = known.arch
    # By its whole name, so that it is the same whatever timm will take for the usual weights.
    if is_from_registry(arch):
        arch = known.name.removeprefix("timm:")
    try:
        with _quiet():
            created = timm.create_model(arch, pretrained=True, **sized(options))
    except (Exception, SystemExit) as error:  # the hub's client raises those of many libraries
        why = first_line(error).rstrip(".")
        raise NsbenchError(
            f"cannot get the pretrained weights of {known.name}: {why}; where there is no network, "
            "name a file with them by --weights or weights="
        ) from error
    module = to_device(created, device).eval()
    model = wrap_module(
        known.name,
        module,
        device,
        options,
        label=known.name,
        weights_hash=sha256(serialize(module)),
        preprocessing=timm_preprocessing(module, known.name),
        info={"arch": arch, "parameters": count_parameters(module)},
    )
    # Its name says all then, and the folder needs no hash; many folders share a short name.
    if not options.replaced and not arch.startswith(LOCAL):
        model.results = results_of_timm(known.name)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """A context in which the hub's client tells nothing: a line for each time that it tries."""
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "timm", "httpx")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


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
