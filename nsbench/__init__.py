"""Train Noisy Student generations and measure what each gained in accuracy and robustness.

The Python API does what the commands do: `train`, `evaluate`, `load_model`, `write_report`,
`write_leaderboard`; and gives numbers to compute with: `Results`, `load_results`, `metrics`,
`corruptions`, `perturbations`.
Every name is imported when it is first used, so that `import nsbench` takes no time.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from nsbench.util.errors import NsbenchError

if TYPE_CHECKING:
    from nsbench import corruptions, metrics, perturbations
    from nsbench.evaluation.evaluate import evaluate
    from nsbench.models import Classifier, ModelOptions, load_model
    from nsbench.reporting.leaderboard import write_leaderboard
    from nsbench.reporting.report import write_report
    from nsbench.results import Results, load_results
    from nsbench.suites.given import suite_of
    from nsbench.suites.load import load_suite
    from nsbench.suites.reference import Reference, load_reference
    from nsbench.training.generations import train

    __version__: str

_HOME = {
    "Classifier": "nsbench.models",
    "ModelOptions": "nsbench.models",
    "Reference": "nsbench.suites.reference",
    "Results": "nsbench.results",
    "evaluate": "nsbench.evaluation.evaluate",
    "load_model": "nsbench.models",
    "load_reference": "nsbench.suites.reference",
    "load_results": "nsbench.results",
    "load_suite": "nsbench.suites.load",
    "suite_of": "nsbench.suites.given",
    "train": "nsbench.training.generations",
    "write_leaderboard": "nsbench.reporting.leaderboard",
    "write_report": "nsbench.reporting.report",
}
_MODULES = ("corruptions", "metrics", "perturbations")

__all__ = [
    "Classifier",
    "ModelOptions",
    "NsbenchError",
    "Reference",
    "Results",
    "__version__",
    "corruptions",
    "evaluate",
    "load_model",
    "load_reference",
    "load_results",
    "load_suite",
    "metrics",
    "perturbations",
    "suite_of",
    "train",
    "write_leaderboard",
    "write_report",
]


def __getattr__(name: str) -> Any:
    # torch and timm take seconds to import, which commands such as `nsbench --help` do not need.
    if name == "__version__":
        return metadata.version("nsbench")
    if name in _MODULES:
        return import_module(f"nsbench.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'nsbench' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    # What is only imported here would stand in a notebook's completion.
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
