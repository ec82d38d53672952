"""`python:MODULE:FUNCTION`: a function of the user's own code that returns the model.

Naming a function runs it, and whatever its module does when it is imported.
"""

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import nn

from nsbench.models.classifier import Classifier
from nsbench.models.foreign import described, foreign_code
from nsbench.models.given import is_of_timm, wrap_own_code
from nsbench.models.options import ModelOptions
from nsbench.models.wrap import adjusted
from nsbench.util.config import nearest
from nsbench.util.device import to_device
from nsbench.util.errors import NsbenchError
from nsbench.util.text import a_type


def load_function(name: str, device: torch.device, options: ModelOptions) -> Classifier:
    """What the function returns, called without arguments: a module, or a Classifier.

    A module with timm's `pretrained_cfg` is used with the preprocessing in it, another one with
    the usual of ImageNet. The hash of the weights covers all sources of the user's that it
    leads to, and the data that the module holds, as `identity` has them.
    Raises NsbenchError if there is no such function, it fails, or returns something else.
    """
    home, _, function = name.removeprefix("python:").partition(":")
    imported = _imported(home)
    made = _called(_function(imported, function), name)
    # A Classifier says all itself; the command line's class names go first nevertheless.
    if isinstance(made, Classifier):
        classes = options.class_names(name, made.num_classes) or made.classes
        with foreign_code(f"the module of {name} cannot be used"):
            ready = replace(made, module=made.module.to(device).eval(), classes=classes)
        return adjusted(ready, options, device)
    if not isinstance(made, nn.Module):
        raise NsbenchError(f"{name} returns {a_type(made)}, not a torch.nn.Module")
    of_timm = is_of_timm(made)
    # to_device may change the memory order too, which only timm's models are known to take.
    with foreign_code(f"the module of {name} cannot be used"):
        module = (to_device(made, device) if of_timm else made.to(device)).eval()
    # Only timm's are known to take another memory order: .view() in the user's code may not.
    return wrap_own_code(name, module, module, imported, device, options, channels_last=of_timm)


def _imported(home: str) -> ModuleType:
    # An installed command has its own folder in the path, unlike `python -m`.
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(home)
    except (Exception, SystemExit) as error:  # the user's code, a script perhaps
        # The module itself, or a package above it, is missing: not one that it imports.
        if isinstance(error, ModuleNotFoundError) and f"{home}.".startswith(f"{error.name}."):
            raise NsbenchError(
                f"there is no Python module {error.name} here or among the installed packages: "
                "run nsbench in the folder that holds it"
            ) from error
        raise NsbenchError(f"the import of {home} raises {described(error)}") from error


def _function(imported: ModuleType, name: str) -> Callable[[], Any]:
    function: Callable[[], Any] | None = getattr(imported, name, None)
    if not callable(function):
        public = [key for key, value in vars(imported).items() if callable(value)]
        raise NsbenchError(
            f"the module {imported.__name__} has no function '{name}'{nearest(name, public)}"
        )
    return function


def _called(function: Callable[[], Any], name: str) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:  # the user's code
        raise NsbenchError(f"{name} raises {described(error)}") from error
