"""Whether corruptions and sequences are the CPU's on this device."""

from functools import partial
from itertools import product
from typing import Any

import torch

from nsbench.bench.doctor_steps.difference import LEVELS, SHARE, beside, ids_of, notable
from nsbench.bench.doctor_steps.machine import Finding, Machine, checked
from nsbench.bench.photographs import photographs
from nsbench.corruptions import corrupt, jpeg
from nsbench.names import (
    CORRUPTIONS,
    EXTRA_CORRUPTIONS,
    EXTRA_PERTURBATIONS,
    PERTURBATIONS,
    SEVERITIES,
)
from nsbench.perturbations import frames

ALL_NAMES = CORRUPTIONS + EXTRA_CORRUPTIONS

LIMITS = {"levels": LEVELS, "share_of_values": SHARE}

QUALITIES = (7, 85)
"""Of JPEG: a coarse one, and that of the released images."""


def pixels(machine: Machine) -> Finding:
    """Compare all 95 cells with the CPU's, by the same seed and ids, at 224 and at 32 px.

    A cell is right where at most SHARE of its values differ, by at most LEVELS. JPEG must be equal.
    """
    sizes = {224: photographs(224, machine.pick(6, 2, 1)), 32: photographs(32, 16)}
    files = machine.each({f"JPEG/{q}": partial(_jpeg, machine, q, sizes) for q in QUALITIES})
    cells = {
        f"{name}/{severity}": partial(_cell, machine, name, severity, sizes)
        for name, severity in product(ALL_NAMES, SEVERITIES)
    }
    found = machine.each(cells)
    figures = {"limits": LIMITS, "cells": notable(found), "jpeg": files}
    return checked(
        found | {name: part for name, part in files.items() if not part.get("right")},
        len(cells),
        f"cells within {LEVELS} level of the CPU's",
        figures,
    )


def _cell(
    machine: Machine, name: str, severity: int, sizes: dict[int, torch.Tensor]
) -> dict[str, Any]:
    """The worse of the two sizes."""
    found = []
    for images in sizes.values():
        ids = ids_of(images)
        here = corrupt(images, name, severity, ids=ids)
        found.append(beside(here, corrupt(images.to(machine.device), name, severity, ids=ids)))
    return max(found, key=lambda part: (not part["right"], part["share"]))


def _jpeg(machine: Machine, quality: int, sizes: dict[int, torch.Tensor]) -> dict[str, Any]:
    found = [
        beside(jpeg(images, quality), jpeg(images.to(machine.device), quality))
        for images in sizes.values()
    ]
    worst = max(found, key=lambda part: part["share"])
    # whole numbers from the first step to the last: there is nothing to round differently
    return {**worst, "right": worst["largest"] == 0}


def sequences(machine: Machine) -> Finding:
    """Compare all frames of the 14 sequences with the CPU's, by the same seed and ids."""
    side, size = machine.pick(256, 256, 40), machine.pick(224, 224, 32)
    images = photographs(side, machine.pick(2, 1, 2))
    parts = {
        name: partial(_sequence, machine, name, images, size)
        for name in PERTURBATIONS + EXTRA_PERTURBATIONS
    }
    found = machine.each(parts)
    figures = {"limits": LIMITS, "sequences": notable(found)}
    return checked(found, len(parts), f"sequences within {LEVELS} level of the CPU's", figures)


def _sequence(machine: Machine, name: str, images: torch.Tensor, size: int) -> dict[str, Any]:
    ids = ids_of(images)
    here = torch.stack(list(frames(images, name, ids=ids, size=size)))
    there = torch.stack(list(frames(images.to(machine.device), name, ids=ids, size=size)))
    return beside(here, there)
