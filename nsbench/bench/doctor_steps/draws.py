"""Which pixels a device draws, to be compared with those of another."""

from typing import Any

import torch

from nsbench.bench.doctor_steps.machine import Machine
from nsbench.corruptions import draw
from nsbench.pixels.draws import Draws
from nsbench.util.files import sha256

FIELDS = (
    ("gaussian_noise", 3, 224),
    ("shot_noise", 3, 224),
    ("glass_blur", 3, 224),
    ("glass_blur", 5, 224),
    ("fog", 3, 224),
    ("gaussian_noise", 3, 299),
    ("fog", 3, 299),
    ("gaussian_noise", 3, 32),
)
"""Name, severity and pixels: normal, bits and whole numbers, small fields and large ones."""

BLOCK = 256
"""Threads of a block in torch's kernels of random numbers."""


def draws_of_this_gpu(machine: Machine) -> dict[str, Any]:
    """Hash some random fields: GPUs that make the same hashes make the same corrupted images.

    Torch spreads a field over as many blocks as a GPU holds at once, so a field of more blocks than
    that may be another on a GPU of another size.
    """
    figures: dict[str, Any] = {}
    for name, severity, size in FIELDS:
        field = draw(name, severity, ["a"], seed=0, shape=(size, size), device=machine.device)
        figures[f"{name}/{severity} at {size} px"] = {
            "sha256": sha256(field.cpu().numpy().tobytes())[:16],
            "blocks": -(-field[0].numel() // BLOCK),
        }
    if machine.on_gpu:
        gpu = torch.cuda.get_device_properties(machine.device)
        held = gpu.max_threads_per_multi_processor // BLOCK
        figures["blocks_at_once"] = gpu.multi_processor_count * held
    ids = list(range(machine.pick(256, 4)))

    def streams() -> Draws:
        return Draws(ids, 0, "fog/3", machine.device)

    figures["images"] = len(ids)
    figures["streams_milliseconds"] = 1e3 * machine.seconds(streams)
    figures["normal_milliseconds"] = 1e3 * machine.seconds(lambda: streams().normal(3, 224, 224))
    return figures
