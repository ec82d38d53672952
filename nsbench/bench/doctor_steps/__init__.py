"""The steps of `nsbench doctor`, the most valuable first: names, homes and the time they may take.

A module is imported only when one of its steps begins, so that a package that is missing costs
that step alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nsbench.bench.doctor_steps.machine import Machine


@dataclass(frozen=True)
class Step:
    """One thing to find out about a machine.

    name: also that of its function. module: where that function lies. limit: seconds after which
    the step is given up. least: seconds that must be left for it to be worth beginning.
    """

    name: str
    module: str
    limit: float
    least: float

    def function(self) -> "Callable[[Machine], dict[str, Any]]":
        """What does the step. Raises ImportError where a package that it needs is missing."""
        function: Callable[[Machine], dict[str, Any]]
        function = getattr(import_module(self.module), self.name)
        return function


def _step(name: str, file: str, limit: float, least: float) -> Step:
    return Step(name, f"{__name__}.{file}", limit, least)


# A limit keeps a step that is slow here from taking the others' turns. Together they are more than
# the 520 s of the command's default: where all are slow, the last ones give way.
STEPS = (
    _step("environment", "environment", 20, 10),  # mostly imports
    _step("corruptions_right", "corruptions", 75, 20),  # 190 cells, each once on the CPU too
    _step("corruptions_speed", "corruptions", 60, 20),  # 95 cells of 256 images, four times each
    _step("synchronisations", "synchronisations", 40, 15),  # a batch each, and a model to make
    _step("perturbations_right", "perturbations", 50, 15),  # 14 sequences, most on the CPU too
    _step("evaluation_speed", "evaluation", 90, 40),  # 75 cells of 500 images, three ways
    _step("training_speed", "training", 80, 30),  # two precisions, a student each
    _step("quickstart", "quickstart", 120, 45),  # three generations and three suites
    _step("draws_of_this_gpu", "draws", 30, 10),  # eight fields
    _step("numerics", "numerics", 40, 15),  # a dozen passes of ResNet-50, one on the CPU
    _step("out_of_memory", "evaluation", 30, 10),  # two batches
    _step("profile", "profiles", 30, 12),  # seven batches under a profiler, which is slow
    _step("gpu_tests", "gpu_tests", 60, 25),  # another process, with imports of its own
    _step("compiled", "evaluation", 100, 60),  # the compiler alone may take a minute
)
