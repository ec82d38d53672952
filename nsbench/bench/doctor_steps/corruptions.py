"""Whether the corruptions are right on this device, and how fast they are."""

from itertools import product
from typing import Any

import torch

from nsbench.bench.doctor_steps.difference import FAR, difference, ids_of
from nsbench.bench.doctor_steps.machine import Machine, attempt, checked
from nsbench.bench.photographs import photographs
from nsbench.corruptions import apply, corrupt, draw, jpeg
from nsbench.corruptions.digital import Elastic
from nsbench.names import CORRUPTIONS, EXTRA_CORRUPTIONS, SEVERITIES

ALL_NAMES = CORRUPTIONS + EXTRA_CORRUPTIONS
SLOW = 10_000
"""Images a second: on a fast GPU ResNet-50 takes some thousand, beside which making a cell should
cost little."""

HUNGRIEST = 6
"""Cells whose memory is reported: those that need the most."""


def corruptions_right(machine: Machine) -> dict[str, Any]:
    """Compare every cell with the CPU by the same draws, with itself, and with an image alone.

    Fails where a pixel is more than FAR levels away from the CPU's, where a second call or another
    batch gives other bytes, and where JPEG is not the CPU's to the bit.
    """
    cells: dict[str, dict[str, Any]] = {}
    for size, count in ((224, machine.pick(6, 2)), (32, machine.pick(16, 2))):
        images = photographs(size, count)
        for name, severity in product(ALL_NAMES, machine.pick(SEVERITIES, (5,))):
            cells[f"{name}/{severity} at {size} px"] = attempt(
                lambda n=name, s=severity, i=images: _cell(machine, n, s, i)  # type: ignore[misc]
            )
        for quality in (7, 85):  # a coarse one, and that of the released images
            cells[f"JPEG of quality {quality} at {size} px"] = attempt(
                lambda q=quality, i=images: _jpeg(machine, q, i)  # type: ignore[misc]
            )
    differing = {
        name: cell
        for name, cell in cells.items()
        if cell.get("largest") or not cell.get("right", "skipped" in cell)
    }
    return checked(cells, {"differing": differing})


def _cell(machine: Machine, name: str, severity: int, images: torch.Tensor) -> dict[str, Any]:
    ids, there = ids_of(images), images.to(machine.device)
    shape = (images.shape[-2], images.shape[-1])
    drawn = draw(name, severity, ids, seed=0, shape=shape, device=torch.device("cpu"))
    apart = difference(
        apply(images, name, severity, drawn),
        apply(there, name, severity, _moved(drawn, machine.device)),
    )
    whole = corrupt(there, name, severity, ids=ids)
    repeats = torch.equal(whole, corrupt(there, name, severity, ids=ids))
    alone = torch.equal(whole[1:2], corrupt(there[1:2], name, severity, ids=ids[1:2]))
    right = repeats and alone and apart["largest"] <= FAR
    return {**apart, "repeats": repeats, "same_alone": alone, "right": right}


def _moved(drawn: Any, device: torch.device) -> Any:
    """Draws on another device, but for the elastic transform's corners, which stay on the CPU."""
    if isinstance(drawn, Elastic):
        return drawn._replace(field=drawn.field.to(device))
    if isinstance(drawn, torch.Tensor):
        return drawn.to(device)
    if isinstance(drawn, tuple) and hasattr(drawn, "_fields"):
        return type(drawn)(*(_moved(part, device) for part in drawn))
    return drawn


def _jpeg(machine: Machine, quality: int, images: torch.Tensor) -> dict[str, Any]:
    apart = difference(jpeg(images, quality), jpeg(images.to(machine.device), quality))
    return {**apart, "right": apart["largest"] == 0}


def corruptions_speed(machine: Machine) -> dict[str, Any]:
    """Time every cell, and JPEG of quality 85, on a batch of 224 px; and the memory they take.

    The mean is over the 75 cells of ImageNet-C, of which each gives as many images.
    """
    count = machine.pick(256, 4)
    images = photographs(224, count).to(machine.device)
    cells = {
        f"{name}/{severity}": attempt(
            lambda n=name, s=severity: _speed(machine, n, s, images)  # type: ignore[misc]
        )
        for name, severity in product(ALL_NAMES, machine.pick(SEVERITIES, (3,)))
    }
    jpeg_seconds = machine.seconds(lambda: jpeg(images, 85), machine.pick(5, 1))
    seconds = [
        cell["seconds"]
        for name, cell in cells.items()
        if "seconds" in cell and name.split("/")[0] in CORRUPTIONS
    ]
    rates = {name: count / cell["seconds"] for name, cell in cells.items() if "seconds" in cell}
    memory = {name: cell["mebibytes"] for name, cell in cells.items() if "mebibytes" in cell}
    figures = {
        "batch_size": count,
        "images_per_second": count * len(seconds) / sum(seconds),
        "with_jpeg_images_per_second": count / (sum(seconds) / len(seconds) + jpeg_seconds),
        "jpeg_images_per_second": count / jpeg_seconds,
        "slow": {name: rate for name, rate in rates.items() if rate < SLOW},
        "cells": rates,
        "memory_mebibytes": dict(sorted(memory.items(), key=lambda item: -item[1])[:HUNGRIEST]),
        "errors": {name: cell["error"] for name, cell in cells.items() if "error" in cell},
    }
    return checked(cells, figures)


def _speed(machine: Machine, name: str, severity: int, images: torch.Tensor) -> dict[str, Any]:
    ids, device, memory = ids_of(images), machine.device, {}
    before = 0
    if machine.on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
    seconds = machine.seconds(lambda: corrupt(images, name, severity, ids=ids), machine.pick(3, 1))
    if machine.on_gpu:
        memory = {"mebibytes": (torch.cuda.max_memory_allocated(device) - before) / 2**20}
    return {"seconds": seconds, **memory, "right": True}
