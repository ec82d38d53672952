"""Models of every kind as a `Classifier`: module, classes, preprocessing, hash of the weights."""

from nsbench.models.classifier import RESULTS, Classifier, class_indices, count_parameters
from nsbench.models.generation import build, load_checkpoint, save
from nsbench.models.loading import load_model, load_models
from nsbench.models.options import ModelOptions
from nsbench.util.device import resolve_device, to_device

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
