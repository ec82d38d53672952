"""Attacks that give the same images each time, as far as torch can."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from nsbench.util.progress import say

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""What cuBLAS reads once, when a process multiplies its first matrices on a GPU."""

ABOUT = "(?s).*deterministic"
"""The warnings of torch that are about this."""


def prepare_matrices() -> None:
    """Let cuBLAS give the same sums each time, unless the user has chosen already."""
    # One of two settings of which NVIDIA says so; this one has the size that torch takes too.
    os.environ.setdefault(WORKSPACE, ":4096:8")


@contextmanager
def deterministic() -> Iterator[None]:
    """A context in which torch takes the algorithms that give the same result each time.

    Where it has none the usual one is taken, which is said once for each operation: a warning a
    batch would say no more. All settings are restored afterwards, whatever ends the context.
    """
    mode = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic  # whose one setting torch's types do not know
    cudnn = torch.backends.cudnn
    before = memory.fill_uninitialized_memory, cudnn.deterministic, cudnn.benchmark
    try:
        torch.use_deterministic_algorithms(True, warn_only=True)
        # It would fill all new memory, to show what reads it unwritten, which costs time.
        memory.fill_uninitialized_memory = False
        # Of several algorithms the fastest at the moment would be another one the next time.
        cudnn.deterministic, cudnn.benchmark = True, False
        with _said_once():
            yield
    finally:
        torch.use_deterministic_algorithms(mode, warn_only=warn_only)
        memory.fill_uninitialized_memory, cudnn.deterministic, cudnn.benchmark = before


@contextmanager
def _said_once() -> Iterator[None]:
    """Say torch's warnings about determinism in plain words; others pass as they are."""
    with warnings.catch_warnings(record=True) as caught:
        # Recorded also where the user makes errors of warnings, which would end the attack.
        warnings.filterwarnings("always", message=ABOUT)
        yield
    for warning in caught:
        if "deterministic" in (text := str(warning.message)):
            _say("CuBLAS" if "CuBLAS" in text else text.split(" does not have")[0])
        else:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )


@cache
def _say(operation: str) -> None:
    if operation == "CuBLAS":
        say(f"attacks may differ a little from run to run: set {WORKSPACE}=:4096:8")
    else:
        say(
            "attacks may differ a little from run to run: torch has no deterministic "
            f"{operation} here"
        )
