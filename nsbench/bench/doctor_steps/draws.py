"""Whether this device draws the numbers that the CPU draws."""

from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch

from nsbench.bench.doctor_steps.machine import Finding, Machine, checked
from nsbench.corruptions import draw
from nsbench.names import CORRUPTIONS, EXTRA_CORRUPTIONS, SEVERITIES
from nsbench.util.files import sha256

IDS = ("a", "b", 7)
"""Strings and a whole number, whose streams are found in ways of their own."""

SHOWN = 16
"""Characters of a hash that are reported: enough to compare two machines by eye."""


def draws(machine: Machine) -> Finding:
    """Draw for each of the 95 cells here and on the CPU: the hashes must be equal.

    At 32, 224 and 299 px: short fields and long ones, and one whose length is no multiple of any
    block of threads.
    """
    sizes = machine.pick((32, 224, 299), (32, 224, 299), (32,))
    cells = {
        f"{name}/{severity}": partial(_cell, machine, name, severity, sizes)
        for name, severity in product(CORRUPTIONS + EXTRA_CORRUPTIONS, SEVERITIES)
    }
    found = machine.each(cells)
    hashes = {name: part["sha256"] for name, part in found.items() if part.get("random")}
    what = "cells with the CPU's draws bit for bit"
    return checked(found, len(cells), what, {"sha256": hashes})


def _cell(machine: Machine, name: str, severity: int, sizes: tuple[int, ...]) -> dict[str, Any]:
    def content(device: torch.device) -> bytes:
        drawn = [
            draw(name, severity, list(IDS), seed=0, shape=(size, size), device=device)
            for size in sizes
        ]
        return content_of(drawn)

    here, there = content(torch.device("cpu")), content(machine.device)
    nothing = content_of([None] * len(sizes))
    return {
        "sha256": sha256(there)[:SHOWN],
        "random": there != nothing,
        "right": here == there,
    }


def content_of(drawn: Any) -> bytes:
    """The bytes of what a corruption draws: tensors wherever they lie, numbers, and parts of them.

    Equal bytes are equal draws, of the same kinds and shapes.
    """
    if isinstance(drawn, torch.Tensor):
        drawn = drawn.cpu().numpy()
    if isinstance(drawn, np.ndarray):
        return f"{drawn.dtype}{drawn.shape}".encode() + drawn.tobytes()
    if isinstance(drawn, list | tuple):
        return b"(" + b",".join(content_of(part) for part in drawn) + b")"
    return repr(drawn).encode()
