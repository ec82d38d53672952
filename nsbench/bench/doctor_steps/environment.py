"""What the machine is: packages, threads and, in a few figures, its device."""

import importlib.util
from typing import Any

import torch

from nsbench.bench.doctor_steps.limits import costs
from nsbench.bench.doctor_steps.machine import Finding, Machine
from nsbench.util import device

OPTIONAL = ("imagecorruptions", "mlxtend", "sklearn", "cv2", "triton", "onnxruntime")
"""Modules without which some step, or some part of one, cannot be done."""

COPIES = 200
"""Small copies that are timed together, so that the clock and the first do not count."""


def environment(machine: Machine) -> Finding:
    """Versions and packages, and what the device's memory, launches and small copies take."""
    found = device.environment(machine.device)
    packages = {name: importlib.util.find_spec(name) is not None for name in OPTIONAL}
    price, number = costs(machine), torch.zeros(1, device=machine.device)
    copies = machine.seconds(lambda: [number.new_tensor([1.0, 2.0, 3.0]) for _ in range(COPIES)])
    figures: dict[str, Any] = {
        **found,
        "optional_packages": packages,
        "memory_terabytes_per_second": price.bytes_per_second / 1e12,
        "launch_microseconds": 1e6 * price.launch_seconds,
        "copy_to_device_microseconds": 1e6 * copies / COPIES,
    }
    verdict = f"torch {torch.__version__}, {found['cores']} cores"
    if machine.on_gpu:
        figures |= _gpu(machine)
        verdict += f", driver {found['driver']}" + ", no Triton" * (not packages["triton"])
    verdict += f", {price.bytes_per_second / 1e12:.2f} TB/s"
    return Finding("measured", verdict, figures)


def _gpu(machine: Machine) -> dict[str, Any]:
    gpu = torch.cuda.get_device_properties(machine.device)
    return {
        "multiprocessors": gpu.multi_processor_count,
        "cudnn_tf32": torch.backends.cudnn.allow_tf32,
        "matmul_tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


def model_of(device: torch.device) -> str:
    """The model of a GPU by its own name, or that of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).name
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            lines = [line.split(":", 1)[1] for line in file if line.startswith("model name")]
    except OSError:  # another system than Linux
        lines = []
    return lines[0].strip() if lines else "unknown CPU"
