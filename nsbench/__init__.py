"""Train Noisy Student generations and measure what each gained in accuracy and robustness.

The Python API does what the commands do: `train`, `evaluate`, `load_model`, `write_report`.
`ModelOptions` are the options that `nsbench eval` has for models.
"""

from typing import TYPE_CHECKING, Any

from nsbench.util.errors import NsbenchError

if TYPE_CHECKING:
    from nsbench.evaluation.runner import evaluate
    from nsbench.models import ModelOptions, load_model
    from nsbench.reporting.report import write_report
    from nsbench.training.generations import train

__all__ = ["ModelOptions", "NsbenchError", "evaluate", "load_model", "train", "write_report"]
_HOME = {
    "train": "nsbench.training.generations",
    "evaluate": "nsbench.evaluation.runner",
    "load_model": "nsbench.models",
    "ModelOptions": "nsbench.models",
    "write_report": "nsbench.reporting.report",
}


def __getattr__(name: str) -> Any:
    # torch and timm take seconds to import, which commands such as `nsbench --help` do not need.
    if name not in _HOME:
        raise AttributeError(f"module 'nsbench' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
