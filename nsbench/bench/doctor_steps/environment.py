"""What the machine is: packages, threads and, in a few figures, its device."""

import importlib.util
from typing import Any

import torch

from nsbench.bench.doctor_steps.machine import Machine
from nsbench.util import device

OPTIONAL = ("imagecorruptions", "mlxtend", "sklearn", "av", "cv2", "pytest", "xdist")
"""Modules without which some step, or some part of one, cannot be done."""

LAUNCHES, COPIES = 2000, 200
"""Calls timed together, so that the clock and the first call do not count."""


def environment(machine: Machine) -> dict[str, Any]:
    """Versions and packages, and what the device's memory, launches and small copies take."""
    figures = {
        **device.environment(machine.device),
        "optional_packages": {
            name: importlib.util.find_spec(name) is not None for name in OPTIONAL
        },
        **_costs(machine),
    }
    return figures | _gpu(machine) if machine.on_gpu else figures


def _costs(machine: Machine) -> dict[str, float]:
    source = torch.ones(machine.pick(2**30, 2**20), dtype=torch.uint8, device=machine.device)
    target = torch.empty_like(source)
    number = torch.zeros(1, device=machine.device)
    copy = machine.seconds(lambda: target.copy_(source), 5)
    launches = machine.seconds(lambda: [number.add_(1) for _ in range(LAUNCHES)])
    copies = machine.seconds(lambda: [number.new_tensor([1.0, 2.0, 3.0]) for _ in range(COPIES)])
    return {
        "memory_terabytes_per_second": 2 * source.numel() / copy / 1e12,  # read and written
        "launch_microseconds": launches / LAUNCHES * 1e6,
        "copy_to_device_microseconds": copies / COPIES * 1e6,
    }


def _gpu(machine: Machine) -> dict[str, Any]:
    gpu = torch.cuda.get_device_properties(machine.device)
    return {
        "multiprocessors": gpu.multi_processor_count,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }
