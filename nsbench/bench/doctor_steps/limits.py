"""What the device's memory and the starting of kernels allow at most, and what binds a speed."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nsbench.bench.doctor_steps.machine import Machine
from nsbench.reporting.doctor_result import Binds, Speed
from nsbench.util.timing import synchronize, timed

COPY_BYTES = 2**28
"""256 MiB, more than any cache holds, so that a copy measures memory."""

LAUNCHES = 2000
"""Kernels that are started one after the other, so that the clock and the first do not count."""

EXPLAINS = 0.5
"""Share of the time that memory or launches must account for to be what binds it."""

ONLY_FILL = ("copy_", "fill_", "zero_")
"""Operations that write their first argument without a look at what was there."""

WAITED = 0.9
"""Share of the time after which the host has only just asked for the last kernel: the device had to
wait for it."""


@dataclass(frozen=True)
class Costs:
    """Bytes a second that a copy in the device's memory reads and writes, and seconds a launch."""

    bytes_per_second: float
    launch_seconds: float


def costs(machine: Machine) -> Costs:
    """The costs of this machine, measured once a process."""
    return _costs(machine.device, machine.pick(COPY_BYTES, COPY_BYTES, 2**22))


@lru_cache
def _costs(device: torch.device, copied: int) -> Costs:
    source = torch.ones(copied, dtype=torch.uint8, device=device)
    target, number = torch.empty_like(source), torch.zeros(1, device=device)
    # The fastest of some is the nearest to the limit; the first finds cold pages.
    copy = min(timed(lambda: target.copy_(source), device) for _ in range(6))
    launch = min(timed(lambda: [number.add_(1) for _ in range(LAUNCHES)], device) for _ in range(3))
    return Costs(2 * copied / copy, launch / LAUNCHES)  # each byte is read and written


class _Operations(TorchDispatchMode):
    """Counts the bytes that each of torch's operations reads and writes, but for views."""

    def __init__(self) -> None:
        super().__init__()
        self.moved: list[int] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        fresh = {argument.name for argument in func._schema.arguments if argument.is_out}
        given = {name: value for name, value in (kwargs or {}).items() if name not in fresh}
        # the first argument of those that only fill it is not read
        used = args[1:] if func.overloadpacket.__name__ in ONLY_FILL else args
        touched = [
            leaf for leaf in tree_leaves((used, given, out)) if isinstance(leaf, torch.Tensor)
        ]
        if touched and not _only_looks(func._schema) and "empty" not in str(func):
            # what an operation changes in place is among its arguments and its results
            self.moved.append(sum(map(_bytes, touched)))
        return out


def _only_looks(schema: Any) -> bool:
    """Whether all results are views of the arguments, and nothing is written."""
    marks = [result.alias_info for result in schema.returns]
    return bool(marks) and all(mark is not None and not mark.is_write for mark in marks)


def _bytes(tensor: torch.Tensor) -> int:
    # an expanded tensor has more values than memory
    sizes = [n for n, step in zip(tensor.shape, tensor.stride(), strict=True) if step or n == 0]
    return math.prod(sizes) * tensor.element_size()


def operations_of(call: Callable[[], object]) -> list[int]:
    """The bytes that each operation of a call reads and writes, in one thread, views left out.

    Kernels that torch does not know of are not seen.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # other threads would not be seen
    try:
        seen = _Operations()
        with seen:
            call()
    finally:
        torch.set_num_threads(threads)
    return seen.moved


def limited(
    machine: Machine, call: Callable[[], object], images: torch.Tensor
) -> tuple[Speed, int]:
    """Time a call that makes as many images of others, say what allows how much; and count.

    On a GPU each operation needs the longer of two times, to move its bytes and to start it. A CPU
    works on few images at a time, which stay in its cache: memory only holds the images themselves,
    read once and written once, and its threads start operations side by side.

    Returns the speed, and the number of operations.
    """
    device = machine.device
    call()  # tables and plans that later batches find ready
    moved = operations_of(call)
    seconds, host = _timed_twice(call, device, machine.pick(3, 3, 1))
    memory, launches, least = _needed(machine, moved, images.nbytes)
    binds: Binds
    if max(memory, launches) >= EXPLAINS * seconds:
        binds = "memory" if memory >= launches else "launches"
    else:
        binds = "host" if machine.on_gpu and host >= WAITED * seconds else "compute"
    count = len(images)
    speed = Speed(
        images_per_second=count / seconds,
        limit=count / least,
        share=least / seconds,
        binds=binds,
    )
    return speed, len(moved)


def _needed(machine: Machine, moved: list[int], held: int) -> tuple[float, float, float]:
    """Seconds that memory needs, that launches need, and both as far as they cannot overlap.

    moved: bytes of each operation. held: bytes of the images.
    """
    price = costs(machine)
    if not machine.on_gpu:
        memory = 2 * held / price.bytes_per_second
        launches = len(moved) * price.launch_seconds / torch.get_num_threads()
        return memory, launches, max(memory, launches)
    times = [count / price.bytes_per_second for count in moved]
    least = sum(max(taken, price.launch_seconds) for taken in times)
    # without an operation that can be counted, the images are still to be read and written
    floor = 2 * held / price.bytes_per_second
    return sum(times), len(moved) * price.launch_seconds, max(least, floor)


def _timed_twice(
    call: Callable[[], object], device: torch.device, repeats: int
) -> tuple[float, float]:
    """Median seconds until the device has done a call, and until the host has asked for it."""
    whole, asked = [], []
    for _ in range(repeats):
        synchronize(device)
        start = time.perf_counter()
        call()
        asked.append(time.perf_counter() - start)
        synchronize(device)
        whole.append(time.perf_counter() - start)
    return statistics.median(whole), statistics.median(asked)


def beside_parts(rate: float, parts: Mapping[Binds, float]) -> Speed:
    """A speed beside the first of its parts, which it cannot do without; the longest part binds it.

    rate: images a second of the whole. parts: images a second of each part alone. What is left of
    the time is the host's.
    """
    seconds = {name: 1 / value for name, value in parts.items()}
    first = next(iter(parts.values()))
    seconds["host"] = max(0.0, 1 / rate - sum(seconds.values()))
    binds = max(seconds, key=lambda name: seconds[name])
    return Speed(images_per_second=rate, limit=first, share=rate / first, binds=binds)
