"""Modules that a program gives: used as they are, and given back as they were."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from itertools import chain
from types import ModuleType

import torch
from torch import nn

from nsbench.models.classifier import Classifier, count_parameters, serialize
from nsbench.models.foreign import foreign_code
from nsbench.models.identity import identity
from nsbench.models.options import USUAL, ModelOptions
from nsbench.models.timm_hub import timm_preprocessing
from nsbench.models.wrap import wrap_module
from nsbench.util.files import sha256
from nsbench.util.progress import say


def wrap_given(module: nn.Module, device: torch.device, options: ModelOptions) -> Classifier:
    """A program's module as a Classifier, to be used inside of `lent`.

    Where the options do not say, it is named as timm calls it, or by its class. Its preprocessing
    is that of a `pretrained_cfg` of timm's if it carries one, else the usual one of ImageNet, which
    is said where no option says otherwise; a size without a share of the image takes all of it.
    The hash of the weights covers the sources of its code, as for `python:MODULE:FUNCTION`.
    Raises NsbenchError for options that do not fit, or a module that does not classify images.
    """
    plain = getattr(module, "_orig_mod", module)  # of a module that is compiled
    config = getattr(plain, "pretrained_cfg", None) or {}
    name = options.name or config.get("architecture") or type(plain).__name__
    of_timm = is_of_timm(plain)
    if not of_timm and options.image_size and options.crop_pct is None:
        options = replace(options, crop_pct=1.0)
    if not of_timm and not options.replaced:
        say(
            f"{name} does not say what input it wants: images of {USUAL.image_size} px with "
            "ImageNet's mean and deviation; give image_size, mean and std"
        )
    home = sys.modules[type(plain).__module__]
    # Its memory order is the program's own.
    return wrap_own_code(name, module, plain, home, device, options, channels_last=False)


def is_of_timm(module: nn.Module) -> bool:
    """Whether a module carries timm's `pretrained_cfg`."""
    return isinstance(getattr(module, "pretrained_cfg", None), dict)


def wrap_own_code(
    name: str,
    module: nn.Module,
    plain: nn.Module,
    home: ModuleType,
    device: torch.device,
    options: ModelOptions,
    *,
    channels_last: bool,
) -> Classifier:
    """A module of a user's own code as a Classifier, as `wrap_module` makes it.

    plain: the module without what compiles it, whose content and preprocessing count. home: where
    its code begins, for `identity`.
    """
    with foreign_code(f"the module of {name} cannot be used"):
        content = identity(home, plain) + serialize(plain)
    return wrap_module(
        name,
        module,
        device,
        options,
        label=name,
        weights_hash=sha256(content),
        preprocessing=timm_preprocessing(plain, name) if is_of_timm(plain) else USUAL,
        info={"arch": type(plain).__name__, "parameters": count_parameters(plain)},
        channels_last=channels_last,
    )


@contextmanager
def lent(modules: Sequence[nn.Module], device: torch.device) -> Iterator[list[nn.Module]]:
    """Modules on a device and in evaluation mode; afterwards each has the modes that it had.

    One that is elsewhere is copied, so that the program's own stays where it is. Raises
    NsbenchError for one that cannot be copied.
    """
    modes = [(part, part.training) for module in modules for part in module.modules()]
    try:
        yield [_on_device(module, device).eval() for module in modules]
    finally:
        for part, training in modes:
            part.training = training


def _on_device(module: nn.Module, device: torch.device) -> nn.Module:
    tensors = chain(module.parameters(), module.buffers())
    if all(_same(tensor.device, device) for tensor in tensors):
        return module
    way_out = f"; move it to {device} first, or give device="
    with foreign_code(f"{type(module).__name__} cannot be copied to {device}", way_out):
        return deepcopy(module).to(device)


def _same(one: torch.device, other: torch.device) -> bool:
    # cuda is cuda:0 unless the program chose another.
    current = torch.cuda.current_device() if one.type == "cuda" and other.type == "cuda" else 0
    return (one.type, one.index or current) == (other.type, other.index or current)
