"""On which device pixels are made."""

from functools import lru_cache

import torch

from nsbench.util.device import is_short_of_memory
from nsbench.util.progress import say


@lru_cache
def maker_of(device: torch.device) -> torch.device:
    """Where the pixels of images on a device are made: there, or on the CPU for want of float64.

    Apple's GPUs have none, in which frost, contrast, elastic and most sequences compute; float32
    would give other bytes. All pixels are made on the CPU then, and so are those of a CPU.
    """
    if device.type == "cpu" or _has_float64(device):
        return device
    say(f"{device.type} has no float64: corruptions and sequences are made on the CPU")
    return torch.device("cpu")


def _has_float64(device: torch.device) -> bool:
    try:
        torch.empty(0, dtype=torch.float64, device=device)
    except (TypeError, RuntimeError) as error:
        if is_short_of_memory(error):
            raise
        return False
    return True
