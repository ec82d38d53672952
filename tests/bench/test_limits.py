"""The limits of a speed: bytes and operations counted, and what binds it."""

import time

import pytest
import torch

from nsbench.bench.doctor_steps import limits
from nsbench.bench.doctor_steps.limits import Costs, beside_parts, limited, operations_of
from nsbench.bench.doctor_steps.machine import Machine
from nsbench.corruptions import corrupt
from nsbench.reporting.doctor_result import Binds

CPU = Machine(torch.device("cpu"), tiny=True)
MIB = torch.zeros(2**18)


class OnGpu(Machine):
    """A machine that takes its CPU for a GPU's."""

    @property
    def on_gpu(self) -> bool:
        return True


def test_bytes_read_and_written_are_counted_and_views_are_not() -> None:
    assert operations_of(lambda: MIB + 1) == [2 * 2**20]
    assert operations_of(lambda: MIB + MIB) == [3 * 2**20]
    assert operations_of(lambda: MIB.view(2, -1)[0].t()) == []
    assert operations_of(lambda: torch.empty(9)) == operations_of(lambda: MIB.new_empty(9)) == []
    few = torch.zeros(1, 4).expand(1000, 4)  # four values in memory
    assert operations_of(lambda: torch.zeros(4)) == [16]
    held = torch.zeros(4)
    assert operations_of(lambda: held.add_(1)) == [32]
    assert operations_of(lambda: held.copy_(few[0])) == [32]
    assert operations_of(lambda: torch.add(held, 1, out=torch.empty(4))) == [32]
    assert operations_of(lambda: (MIB * 2, MIB * 2)) == [2 * 2**20] * 2
    assert operations_of(lambda: few + 1) == [16 + 16000]


def test_work_that_threads_share_is_counted_whole() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    images = torch.zeros(8, 3, 224, 224, dtype=torch.uint8)
    try:
        counted = operations_of(lambda: corrupt(images, "contrast", 3, ids=range(8)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert sum(counted) > 2 * images.numel()


GPU = OnGpu(torch.device("cpu"), tiny=True)


@pytest.mark.parametrize(
    ("price", "machine", "waits", "binds", "least"),
    [
        # two images of a MiB, read and written by a CPU once; the operation of two MiB by a GPU
        (Costs(2**21, 1e-9), CPU, 0.0, "memory", 4 * 2**20 / 2**21),
        (Costs(2**21, 1e-9), GPU, 0.0, "memory", 4 * 2**20 / 2**21),
        (Costs(1e15, 1.0), CPU, 0.0, "launches", 2.0),
        (Costs(1e15, 1.0), GPU, 0.0, "launches", 2.0),
        (Costs(1e15, 1e-9), CPU, 0.01, "compute", None),
        (Costs(1e15, 1e-9), GPU, 0.01, "host", None),
    ],
)
def test_what_binds_is_what_takes_the_time(
    price: Costs,
    machine: Machine,
    waits: float,
    binds: str,
    least: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "costs", lambda _: price)
    images = torch.zeros(2, 2**20, dtype=torch.uint8)

    def work() -> None:
        time.sleep(waits)
        MIB.add(1)
        MIB.add(1)

    speed, operations = limited(machine, work, images)
    assert (speed.binds, operations) == (binds, 2)
    assert speed.share == pytest.approx(speed.images_per_second / speed.limit)
    if least:
        assert speed.limit == pytest.approx(2 / least)


def test_a_device_that_works_on_after_the_host_is_no_host_s_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "costs", lambda _: Costs(1e15, 1e-9))
    monkeypatch.setattr(limits, "synchronize", lambda _: time.sleep(0.02))
    speed, _ = limited(GPU, lambda: MIB.add(1), MIB[:10])
    assert speed.binds == "compute"
    assert speed.images_per_second < 10 / 0.02


@pytest.mark.parametrize(
    ("whole", "parts", "binds"),
    [
        (80.0, {"model": 100.0, "noise": 1000.0}, "model"),
        (20.0, {"model": 100.0, "noise": 1000.0}, "host"),
        (20.0, {"model": 100.0, "noise": 25.0}, "noise"),
        (120.0, {"model": 100.0}, "model"),
    ],
)
def test_the_longest_part_binds(whole: float, parts: dict[Binds, float], binds: str) -> None:
    speed = beside_parts(whole, parts)
    assert (speed.binds, speed.limit, speed.share) == (binds, 100, whole / 100)


def test_the_costs_of_this_machine_are_measured_once() -> None:
    price = limits.costs(CPU)
    assert price.bytes_per_second > 1e6
    assert 0 < price.launch_seconds < 0.1
    assert limits.costs(CPU) is price
