"""The tests that need a GPU, where there is a checkout that has them."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import nsbench
from nsbench.bench.doctor_steps.machine import Failed, Machine, Skipped

TESTS = (
    "tests/perturbations/test_perturbations.py",
    "tests/util/test_device.py",
    "tests/evaluation/test_fgsm.py",
)
"""Files with tests that skip themselves without a GPU, or that choose the device themselves."""

CHOICE = "gpu or memory or curve"
"""Which of their tests, by name."""

TAIL = 1500
"""Characters of pytest's output that are kept: the summary, and the last failure."""


def gpu_tests(machine: Machine) -> dict[str, Any]:
    """Run the tests that skip themselves without a GPU. Fails where pytest does."""
    checkout = Path(nsbench.__file__).parents[1]
    if not (checkout / "tests" / "conftest.py").is_file():
        raise Skipped("there are no tests beside an installed package, only in a checkout")
    if importlib.util.find_spec("pytest") is None:
        raise Skipped("it needs the package pytest: run pip install 'nsbench[dev]'")
    options = ["-q", "-p", "no:cacheprovider", "-k", CHOICE]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *TESTS],
        cwd=checkout,
        capture_output=True,
        text=True,
    )
    figures = {
        "exit_code": done.returncode,
        "output": done.stdout[-TAIL:],
        "errors": done.stderr[-TAIL:],
    }
    if done.returncode:
        raise Failed(f"pytest ends with exit code {done.returncode}", figures)
    return figures
