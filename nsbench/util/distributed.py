"""Several processes started by torchrun: who this one is, and what they tell each other.

Python objects and figures travel over gloo, so that CPU and GPU processes do the same; gradients of
models on GPUs over NCCL.
"""

import os
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from nsbench.util.launched import check_complete, local_rank, process_count

T = TypeVar("T")
PATIENCE = timedelta(days=1)
"""How long processes wait for one that validates or writes; torchrun ends them where one dies."""


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if _started() else 0


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _started() else 1


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def start(device: torch.device) -> torch.device:
    """Join the other processes if torchrun started this one; returns this process's device.

    Several processes have a GPU of their machine each, whatever number `device` has.
    """
    if process_count() > 1 and not _started():
        _join()
    if size() > 1 and device.type == "cuda":
        # modulo, so that a test can start more processes than there are GPUs
        device = torch.device("cuda", local_rank() % torch.cuda.device_count())
        # NCCL and the allocator take the current device, not the one of their tensors
        torch.cuda.set_device(device)
    return device


def _join() -> None:
    check_complete()
    store, number, count = next(rendezvous("env://", timeout=PATIENCE))
    if os.environ.get("GROUP_WORLD_SIZE") == "1":
        # processes that torchrun starts again must not find the addresses of the old ones; agents
        # of several machines count restarts differently
        store = PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store)
    dist.init_process_group("gloo", store=store, rank=number, world_size=count, timeout=PATIENCE)


def gather(value: T) -> list[T]:
    """Every process's value by rank, for the main process; the others get an empty list."""
    if not _started():
        return [value]
    gathered: list[Any] = [None] * size()
    dist.gather_object(value, gathered if is_main() else None)
    return gathered if is_main() else []


def gather_for_all(value: T) -> list[T]:
    """Every process's value by rank, for all of them."""
    if not _started():
        return [value]
    gathered: list[Any] = [None] * size()
    dist.all_gather_object(gathered, value)
    return gathered


def broadcast(value: T) -> T:
    """The main process's value, for all."""
    if not _started():
        return value
    held = [value]
    dist.broadcast_object_list(held)
    return held[0]


def mean(values: list[float]) -> list[float]:
    """The means over all processes."""
    if not _started():
        return values
    # float64, so that the mean of equal numbers is that number
    together = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(together)
    return (together / size()).tolist()


def everyone(holds: bool) -> bool:
    """Whether something holds for every process."""
    return mean([float(holds)]) == [1.0]


def parallel(module: nn.Module) -> nn.Module:
    """The module, its gradients averaged over all processes if there are several."""
    if not _started():
        return module
    # gloo cannot average gradients on GPUs fast, and NCCL has no CPU tensors: a group for each
    on_gpu = next(module.parameters()).device.type == "cuda"
    return DistributedDataParallel(module, process_group=gpu_group() if on_gpu else None)


@cache
def gpu_group() -> dist.ProcessGroup:
    """The processes as a group whose tensors are on GPUs."""
    # made once: every further group costs memory on each GPU
    group = dist.new_group(backend="nccl", timeout=PATIENCE)
    assert isinstance(group, dist.ProcessGroup)  # every process is in it
    return group


def barrier() -> None:
    """Wait until every process is here."""
    if _started():
        dist.barrier()


def stop() -> None:
    """Take leave of the other processes, if there are any."""
    if _started():
        dist.destroy_process_group()


def _started() -> bool:
    return dist.is_available() and dist.is_initialized()
