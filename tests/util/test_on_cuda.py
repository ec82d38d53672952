"""What only a GPU shows of devices: its own name, its memory, its errors."""

import pytest
import torch

from nsbench.bench.doctor_steps.environment import model_of
from nsbench.util.device import (
    AdaptiveBatchSize,
    environment,
    free_memory,
    is_short_of_memory,
    resolve_device,
    total_memory,
)
from nsbench.util.errors import NsbenchError

pytestmark = pytest.mark.cuda


def test_a_device_is_described(device: torch.device) -> None:
    found = environment(resolve_device(str(device)))
    assert found["device"].startswith(device.type)
    assert model_of(device)
    assert 0 < free_memory(device) <= total_memory(device)
    if device.type == "cuda":
        assert found["gpu"] == model_of(device)
        assert found["driver"]


def test_a_gpu_that_is_not_there_is_one_sentence(gpu: torch.device) -> None:
    with pytest.raises(NsbenchError, match="the device 'cuda:99' cannot be used here"):
        resolve_device("cuda:99")


def test_work_goes_on_after_memory_ran_out(gpu: torch.device) -> None:
    whole = int(total_memory(gpu))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2 * whole, dtype=torch.uint8, device=gpu)
    assert is_short_of_memory(caught.value)
    batches, tried = AdaptiveBatchSize(), []

    def work(rows: slice) -> torch.Tensor:
        count = rows.stop - rows.start
        tried.append(count)
        torch.empty(count, whole // 4, dtype=torch.uint8, device=gpu)
        return torch.arange(rows.start, rows.stop, device=gpu)

    assert batches.in_parts(work, 8).tolist() == list(range(8))
    assert tried[0] == 8
    assert batches.size <= 2
