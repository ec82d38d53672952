"""Whether a second call, and an image alone, give the same bytes on this device."""

from functools import partial
from itertools import product
from typing import Any

import torch

from nsbench.bench.doctor_steps.difference import ids_of
from nsbench.bench.doctor_steps.machine import Finding, Machine, checked
from nsbench.bench.photographs import photographs
from nsbench.corruptions import corrupt
from nsbench.names import (
    CORRUPTIONS,
    EXTRA_CORRUPTIONS,
    EXTRA_PERTURBATIONS,
    PERTURBATIONS,
    SEVERITIES,
)
from nsbench.perturbations import frames

ALONE = slice(1, 2)
"""The image that is made alone too: not the first one, whose place would be the same."""


def repeatability(machine: Machine) -> Finding:
    """Make all cells and sequences on the device twice, and one image alone: bytes are equal."""
    crops = photographs(machine.pick(224, 224, 32), machine.pick(8, 2, 2)).to(machine.device)
    side, size = machine.pick((256, 224), (80, 64), (40, 32))
    wholes = photographs(side, machine.pick(4, 2, 2)).to(machine.device)
    parts = {
        f"{name}/{severity}": partial(_cell, crops, name, severity)
        for name, severity in product(CORRUPTIONS + EXTRA_CORRUPTIONS, SEVERITIES)
    }
    parts |= {
        f"sequence of {name}": partial(_sequence, wholes, name, size)
        for name in PERTURBATIONS + EXTRA_PERTURBATIONS
    }
    found = machine.each(parts)
    differing = {name: part for name, part in found.items() if not part.get("right")}
    what = "cells and sequences repeat, also alone"
    return checked(found, len(parts), what, {"differing": differing})


def _cell(images: torch.Tensor, name: str, severity: int) -> dict[str, Any]:
    ids = ids_of(images)
    first, second = (corrupt(images, name, severity, ids=ids) for _ in range(2))
    alone = corrupt(images[ALONE], name, severity, ids=ids[ALONE])
    return _compared(first, second, first[ALONE], alone)


def _sequence(images: torch.Tensor, name: str, size: int) -> dict[str, Any]:
    ids = ids_of(images)
    first, second, alone = (
        torch.stack(list(frames(images[rows], name, ids=ids[rows], size=size)))
        for rows in (slice(None), slice(None), ALONE)
    )
    return _compared(first, second, first[:, ALONE], alone)


def _compared(
    first: torch.Tensor, second: torch.Tensor, within: torch.Tensor, alone: torch.Tensor
) -> dict[str, Any]:
    repeats, same = torch.equal(first, second), torch.equal(within, alone)
    return {"repeats": repeats, "same_alone": same, "right": repeats and same}
