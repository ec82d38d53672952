"""How fast each corruption is on this device, beside its limit."""

import statistics
from functools import partial
from itertools import product
from typing import Any

import torch

from nsbench.bench.doctor_steps.difference import ids_of
from nsbench.bench.doctor_steps.limits import limited
from nsbench.bench.doctor_steps.machine import Finding, Machine
from nsbench.bench.photographs import photographs
from nsbench.corruptions import corrupt, jpeg
from nsbench.names import CORRUPTIONS, EXTRA_CORRUPTIONS, SEVERITIES
from nsbench.reporting.doctor_result import Goal, Outcome, Speed

EACH, MEAN = 10_000.0, 20_000.0
"""Images a second that every cell of ImageNet-C should reach on a GPU, and their mean: ResNet-50
takes some thousand, beside which making a cell should cost little."""

HUNGRIEST = 6
"""Cells whose memory is reported: those that need the most."""


def corruption_speed(machine: Machine) -> Finding:
    """Time every cell, and JPEG of quality 85, on a batch of 224 px; and the memory they take.

    The mean is over the 75 cells of ImageNet-C, of which each gives as many images.
    """
    images = photographs(224, machine.pick(256, 24, 2)).to(machine.device)
    ids = ids_of(images)
    cells = {
        f"{name}/{severity}": partial(corrupt, images, name, severity, ids=ids)
        for name, severity in product(
            CORRUPTIONS + EXTRA_CORRUPTIONS, machine.pick(SEVERITIES, SEVERITIES, (3,))
        )
    }
    works = {"JPEG/85": partial(jpeg, images, 85), **cells}
    parts = machine.each(
        {name: partial(_measured, machine, work, images) for name, work in works.items()}
    )
    speeds = {name: part["speed"] for name, part in parts.items() if "speed" in part}
    return _finding(machine, speeds, parts, len(works), len(images))


def _measured(machine: Machine, work: Any, images: torch.Tensor) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    before = 0
    if machine.on_gpu:
        torch.cuda.reset_peak_memory_stats(machine.device)
        before = torch.cuda.memory_allocated(machine.device)
    figures["speed"], figures["operations"] = limited(machine, work, images)
    if machine.on_gpu:
        peak = torch.cuda.max_memory_allocated(machine.device)
        figures["mebibytes"] = (peak - before) / 2**20
    return figures


def _finding(
    machine: Machine,
    speeds: dict[str, Speed],
    parts: dict[str, dict[str, Any]],
    count: int,
    batch_size: int,
) -> Finding:
    rates = {
        name: speed.images_per_second
        for name, speed in speeds.items()
        if name.split("/")[0] in CORRUPTIONS
    }
    errors = {name: part["error"] for name, part in parts.items() if "error" in part}
    memory = {name: part["mebibytes"] for name, part in parts.items() if "mebibytes" in part}
    figures = {
        "batch_size": batch_size,
        "operations": {name: part.get("operations") for name, part in parts.items()},
        "memory_mebibytes": dict(sorted(memory.items(), key=lambda item: -item[1])[:HUNGRIEST]),
        "errors": errors,
        "skipped": {name: part["skipped"] for name, part in parts.items() if "skipped" in part},
    }
    if errors:
        return Finding("error", f"{len(errors)} cells fail: {next(iter(errors))}", figures, speeds)
    if not rates:
        return Finding("no time", "not one cell was timed", figures, speeds)
    # each cell gives as many images, so that the rate over all of them is the harmonic mean
    mean, slowest = statistics.harmonic_mean(rates.values()), min(rates, key=lambda n: rates[n])
    figures["images_per_second"] = mean
    goals = [
        Goal(name="mean of the cells", figure=mean, wanted=MEAN, unit="images/s"),
        Goal(name="slowest cell", figure=rates[slowest], wanted=EACH, unit="images/s"),
    ]
    outcome: Outcome = "measured" if len(parts) == count else "no time"
    verdict = f"mean {mean:,.0f}/s, least {slowest} {rates[slowest]:,.0f}/s"
    return Finding(outcome, verdict, figures, speeds, goals if machine.on_gpu else [])
