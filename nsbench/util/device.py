"""Devices: their memory, precision and compilation, and what to do where they fall short."""

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import nn

from nsbench.util import provenance
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.launched import local_rank, process_count
from nsbench.util.progress import say

T = TypeVar("T")


class AdaptiveBatchSize:
    """How many images fit into the device's memory at once; found out by trying."""

    def __init__(self) -> None:
        # no limit until the device has shown one; it stays for later batches, as trying costs time
        self.size = sys.maxsize

    def in_parts(self, work: Callable[[slice], torch.Tensor], count: int) -> torch.Tensor:
        """`work` on slices of `count` images, joined; smaller slices where memory runs out.

        Raises NsbenchError if one image is too much.
        """
        parts = self.parts(work, count)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def parts(self, work: Callable[[slice], T], count: int) -> list[T]:
        """The same, not joined. Work that fails is done again, so that it must leave no traces."""
        parts: list[T] = []
        start = done = 0
        while start < count:
            stop = min(start + self.size, count)
            try:
                parts.append(work(slice(start, stop)))
            except Exception as error:  # libraries have classes of their own
                if not is_short_of_memory(error):
                    raise
            # Not inside `except`, where the error still holds the frames of the failed attempt, and
            # with them its tensors: none of their memory could be given back.
            if len(parts) == done:
                self._halve(stop - start)
            else:
                start, done = stop, len(parts)
        return parts

    def _halve(self, tried: int) -> None:
        if tried == 1:
            raise NsbenchError(
                "the device has too little memory for one image: free some, or use --device cpu"
            )
        # Work inside of work may have found a smaller size already.
        self.size = min(self.size, tried // 2)
        # what the allocator keeps of the failed attempt may be all that is missing
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        say(f"the device is out of memory: going on with {self.size} images at once")


SHORT_OF_MEMORY = (
    "out of memory",  # drivers and kernels, beside torch's own allocators
    "can't allocate memory",  # the CPU's allocator
    "not enough memory",  # the same on Windows
    "Insufficient memory",  # OpenCV
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUFFT_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUSPARSE_STATUS_ALLOC_FAILED",
)
"""What plain errors of too little memory say: libraries have statuses of their own."""


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device, or the machine, has no memory left."""
    if isinstance(error, NsbenchError):  # which says already what is to be done
        return False
    known = any(text in str(error) for text in SHORT_OF_MEMORY)
    return known or isinstance(error, torch.OutOfMemoryError | MemoryError)


@contextmanager
def enough_memory(what: str, way_out: str) -> Iterator[None]:
    """Around what cannot be done in smaller parts. Raises NsbenchError where memory runs out."""
    try:
        yield
    except Exception as error:  # libraries have classes of their own
        if not is_short_of_memory(error):
            raise
        raise NsbenchError(f"there is too little memory for {what}: {way_out}") from error


def free_memory(device: torch.device) -> float:
    """Bytes that are free for this process; processes of one machine share the machine's."""
    if device.type == "cuda":
        # What torch holds of earlier tensors is not free for the driver, but for this process.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return _pages("SC_AVPHYS_PAGES")


def total_memory(device: torch.device) -> float:
    """Bytes of a device, or this process's share of the machine's."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    return _pages("SC_PHYS_PAGES")


def _pages(name: str) -> float:
    # torchrun says how many processes of this machine share its memory
    here = process_count("LOCAL_WORLD_SIZE")
    return os.sysconf(name) * os.sysconf("SC_PAGE_SIZE") / here


def environment(device: torch.device) -> dict[str, Any]:
    """What a reader needs to repeat a result: that of `provenance.environment`, and the device's.

    threads, cores: of torch on the CPU, and those that this process may use. Of a GPU its name,
    memory in bytes, driver, and the versions of CUDA and cuDNN that torch was built with.
    """
    has_affinity = hasattr(os, "sched_getaffinity")  # not every system can keep a process to some
    found = {
        **provenance.environment(str(device)),
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count(),
    }
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        found |= {
            "gpu": gpu.name,
            "memory_bytes": gpu.total_memory,
            "driver": _driver(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


def _driver() -> str | None:
    """The version of NVIDIA's driver, None where its tool is missing."""
    # torch knows only the newest version of CUDA that the driver serves.
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.split("\n")[0].strip() or None


def resolve_device(device: str | torch.device | None) -> torch.device:
    """The named device, or the GPU if there is one.

    Raises NsbenchError for a device that is not there or does not compute.
    """
    name = _usual_device() if device is None else str(device)
    if name == "cuda" and process_count() > 1:
        # Its own, as `distributed.start` has it: all would take memory of the first one otherwise.
        count = max(1, torch.cuda.device_count())
        name = f"cuda:{local_rank() % count}"
    try:
        # To write a number is the only test that covers a missing driver, one that is too old, a
        # wrong number, a wrong word, and a GPU that torch was not built for.
        found = torch.ones(1, device=name).device
    except Exception as error:  # torch has several classes for it
        if is_short_of_memory(error):
            raise NsbenchError(
                f"the device '{name}' has no memory left: end what else uses it, or use another one"
            ) from error
        raise NsbenchError(
            f"the device '{name}' cannot be used here ({_first_sentence(error)}): see to that, or "
            "use --device cpu"
        ) from error
    if found.type == "meta":
        raise NsbenchError(f"the device '{name}' computes no numbers: use --device cpu")
    return found


def _usual_device() -> str:
    """The GPU if there is one that can be used; where that fails, why is said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = torch.cuda.is_available()
    for warning in [] if found else caught[:1]:
        say(f"the GPU cannot be used ({_first_sentence(warning.message)}): going on with the CPU")
    return "cuda" if found else "cpu"


def _first_sentence(error: BaseException | str) -> str:
    # What follows is advice of torch's, which may run over several lines.
    text = str(error).removeprefix("CUDA initialization: ")
    return first_line(ValueError(text)).split(". ")[0].rstrip(".")


def to_device(module: nn.Module, device: torch.device) -> nn.Module:
    """Move a module to a device, its convolutions in channels-last order, which is faster."""
    module = module.to(device)
    return module.to(memory_format=torch.channels_last)


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Values of the host on a device, which the host does not wait for."""
    # Without pinned memory the copy would wait for all work that the device has before it.
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


@lru_cache(maxsize=1024)  # some numbers each, for every device, type, and model
def fixed(
    values: tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Numbers that never change, copied to a device once. Not to be written to."""
    # Made in inference mode, they could take no part in gradients later.
    with torch.inference_mode(False):
        return sent(torch.tensor(values, dtype=dtype), device)


PRECISIONS: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "tf32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
"""Of forward passes by autocast; weights, losses and optimisers stay in float32."""


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """The context of forward passes in a precision of `PRECISIONS`."""
    if PRECISIONS[precision] == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, PRECISIONS[precision])


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """Multiply float32 numbers as they are, or for the precision `tf32` rounded to 10 bits.

    By default torch rounds in convolutions on GPUs: "float32" would be another precision there than
    on a CPU. What was set before is set again.
    """
    backends: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = precision == "tf32"
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            backend.allow_tf32 = allowed


@contextmanager
def compiling() -> Iterator[None]:
    """Around a call that may compile a model. Raises NsbenchError where torch.compile fails."""
    try:
        yield
    except RuntimeError as error:
        from torch._dynamo.exc import TorchDynamoException  # slow to import

        # A shortage of memory passes as it is, since smaller batches may help.
        if not isinstance(error, TorchDynamoException) or is_short_of_memory(error):
            raise
        raise NsbenchError(
            f"torch.compile fails here ({first_line(error)}): leave out --compile, or install what "
            "it needs, which on the CPU is a C++ compiler"
        ) from error
