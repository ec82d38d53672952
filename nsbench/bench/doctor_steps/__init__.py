"""The steps of `nsbench doctor`, the most valuable first: names, homes and the time they may take.

A module is imported only when one of its steps begins, so that a package that is missing costs
that step alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nsbench.bench.doctor_steps.machine import Finding, Machine


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

    def function(self) -> "Callable[[Machine], Finding]":
        """What does the step. Raises ImportError where a package that it needs is missing."""
        function: Callable[[Machine], Finding] = getattr(import_module(self.module), self.name)
        return function


def _step(name: str, file: str, limit: float, least: float) -> Step:
    return Step(name, f"{__name__}.{file}", limit, least)


# A limit keeps a step that is slow here from taking the others' turns. Together they are more than
# the default of the command: where all are slow, the last ones give way.
STEPS = (
    _step("environment", "environment", 20, 5),  # mostly imports
    _step("pixels", "pixels", 75, 15),  # 95 cells of two sizes, each on the CPU too
    _step("sequences", "pixels", 60, 10),  # 14 sequences, each on the CPU too
    _step("draws", "draws", 40, 5),  # 95 cells of three sizes, each on the CPU too
    _step("repeatability", "repeatability", 50, 10),  # 95 cells and 14 sequences, three times each
    _step("foolbox", "foolbox", 40, 10),  # a curve by both, some times
    _step("precision", "precision", 40, 15),  # a dozen passes of ResNet-50, one on the CPU
    _step("out_of_memory", "out_of_memory", 30, 10),  # two batches
    _step("corruption_speed", "corruption_speed", 70, 20),  # 95 cells of 256 images, five times
    _step("evaluation_speed", "evaluation_speed", 90, 40),  # 75 cells of 500 images, three ways
    _step("training_speed", "training_speed", 80, 30),  # two precisions, a student each
    _step("labeling_speed", "labeling_speed", 40, 15),  # 4,096 images, some times
    _step("quickstart", "quickstart", 120, 45),  # three generations and three suites
    _step("synchronisations", "synchronisations", 40, 15),  # a batch each, and a model to make
    _step("profile", "profiles", 30, 12),  # seven batches under a profiler, which is slow
    _step("compiled", "compiled", 100, 60),  # the compiler alone may take a minute
)
