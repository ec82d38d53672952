"""Time that a call takes on a device."""

import time
from collections.abc import Callable

import torch


def timed(side: Callable[[], object], device: torch.device) -> float:
    """Seconds that a call takes, with what it started on the device."""
    # work that was queued before is not the call's
    synchronize(device)
    start = time.perf_counter()
    side()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Wait until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
