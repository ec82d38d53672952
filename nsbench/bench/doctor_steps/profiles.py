"""Where the time of a corrupted batch goes."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiling

from nsbench.bench.doctor_steps.difference import ids_of
from nsbench.bench.doctor_steps.machine import Finding, Machine
from nsbench.bench.photographs import photographs
from nsbench.corruptions import corrupt, jpeg
from nsbench.util.timing import synchronize

CELLS = (
    ("elastic_transform", 3),
    ("glass_blur", 5),
    ("fog", 3),
    ("defocus_blur", 3),
    ("gaussian_noise", 3),
    ("motion_blur", 5),
)
"""Cells of every family: with transforms, loops, tables, draws and little else."""

LONGEST = 4
"""Kernels that are reported: those that take the most time."""

NAME = 50
"""Characters of a kernel's name that are reported: template arguments can fill pages."""


def profile(machine: Machine) -> Finding:
    """Time on the device, time on the host and launches of a batch of some cells and of JPEG.

    Without a GPU the longest operations of the host instead of kernels.
    """
    images = photographs(224, machine.pick(256, 8, 2)).to(machine.device)
    works: dict[str, Callable[[], torch.Tensor]] = {
        f"{name}/{severity}": partial(corrupt, images, name, severity, ids=ids_of(images))
        for name, severity in CELLS
    }
    works["jpeg"] = partial(jpeg, images, 85)
    figures = {name: _profiled(machine, work) for name, work in works.items()}
    most = max(figures, key=lambda name: figures[name]["launches"])
    verdict = f"most launches: {figures[most]['launches']} by {most}"
    if not machine.on_gpu:
        verdict = f"{len(figures)} works by their longest operations"
    return Finding("measured", verdict, figures)


def _profiled(machine: Machine, work: Callable[[], torch.Tensor]) -> dict[str, Any]:
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if machine.on_gpu else [])]
    work()  # tables and plans that later batches find ready
    synchronize(machine.device)
    with profiling(activities=kinds) as profiler:
        start = time.perf_counter()
        work()
        synchronize(machine.device)
        wall = time.perf_counter() - start
    rows = profiler.key_averages()
    # rows of the host's calls have the time of the kernels that they launched once more
    kind = "CUDA" if machine.on_gpu else "CPU"
    kernels = [row for row in rows if row.device_type.name == kind]
    longest = sorted(kernels, key=_milliseconds, reverse=True)[:LONGEST]
    return {
        "profiled_milliseconds": 1e3 * wall,
        "device_milliseconds": sum(map(_milliseconds, kernels)),
        "launches": sum(row.count for row in rows if "LaunchKernel" in row.key),
        "longest_milliseconds": {row.key[:NAME]: _milliseconds(row) for row in longest},
    }


def _milliseconds(row: Any) -> float:
    """Without the rows below it, of kernels and of the host's operations."""
    on_host = row.device_type.name == "CPU"
    return float(row.self_cpu_time_total if on_host else row.self_device_time_total) / 1e3
