"""Models of every kind as a `Classifier`: module, classes, preprocessing, hash of the weights.

What is named here is imported when it is first used: the names of models can be checked without
torch, which takes seconds to import.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nsbench.models.classifier import Classifier, class_indices, count_parameters
    from nsbench.models.generation import build, load_checkpoint, save
    from nsbench.models.loading import load_model, load_models
    from nsbench.models.options import ModelOptions
    from nsbench.run_folder import RESULTS
    from nsbench.util.device import resolve_device, to_device

_HOME = {
    "RESULTS": "nsbench.run_folder",
    "Classifier": "nsbench.models.classifier",
    "ModelOptions": "nsbench.models.options",
    "build": "nsbench.models.generation",
    "class_indices": "nsbench.models.classifier",
    "count_parameters": "nsbench.models.classifier",
    "load_checkpoint": "nsbench.models.generation",
    "load_model": "nsbench.models.loading",
    "load_models": "nsbench.models.loading",
    "resolve_device": "nsbench.util.device",
    "save": "nsbench.models.generation",
    "to_device": "nsbench.util.device",
}

__all__ = [
    "RESULTS",
    "Classifier",
    "ModelOptions",
    "build",
    "class_indices",
    "count_parameters",
    "load_checkpoint",
    "load_model",
    "load_models",
    "resolve_device",
    "save",
    "to_device",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nsbench.models' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)
