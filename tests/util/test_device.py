import re
import warnings
import weakref
from types import SimpleNamespace

import pytest
import torch
from torch._dynamo.exc import TorchDynamoException

from nsbench.util.device import (
    AdaptiveBatchSize,
    autocast,
    compiling,
    environment,
    float32_products,
    free_memory,
    is_short_of_memory,
    resolve_device,
)
from nsbench.util.errors import NsbenchError


def test_short_of_memory_it_goes_on_with_half(capfd: pytest.CaptureFixture[str]) -> None:
    memory, tried = AdaptiveBatchSize(), []

    def work(some: slice) -> torch.Tensor:
        tried.append(some.stop - some.start)
        if tried[-1] > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        if tried[-1] > 3:
            raise MemoryError("NumPy says so")
        return torch.arange(some.start, some.stop)

    assert memory.in_parts(work, 10).tolist() == list(range(10))
    assert tried == [10, 5, 2, 2, 2, 2, 2]
    assert memory.in_parts(work, 2).tolist() == [0, 1]
    assert "going on with 2 images at once" in capfd.readouterr().err
    with pytest.raises(ValueError, match="another"):
        memory.in_parts(lambda _: (_ for _ in ()).throw(ValueError("another")), 3)

    def never(some: slice) -> torch.Tensor:
        raise torch.OutOfMemoryError

    with pytest.raises(NsbenchError, match="too little memory for one image"):
        memory.in_parts(never, 3)


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuFFT error: CUFFT_ALLOC_FAILED",
        "Triton Error [CUDA]: out of memory",
        "MPS backend out of memory (MPS allocated: 8.00 GB, max allowed: 9.07 GB)",
        "OpenCV(4.10.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes",
        "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes",
    ],
)
def test_every_library_says_it_in_its_own_words(text: str) -> None:
    assert is_short_of_memory(RuntimeError(text))
    assert not is_short_of_memory(RuntimeError("CUDA error: device-side assert triggered"))


def test_a_size_that_work_found_itself_is_not_raised_again() -> None:
    memory = AdaptiveBatchSize()

    class Odd(Exception):
        """As OpenCV's, which is no RuntimeError."""

    def outer(some: slice) -> int:
        tried.append(some.stop - some.start)
        if tried[-1] > 6:
            memory.in_parts(inner, 8)
            raise Odd("Insufficient memory")
        return tried[-1]

    def inner(some: slice) -> torch.Tensor:
        if some.stop - some.start > 2:
            raise torch.OutOfMemoryError
        return torch.zeros(some.stop - some.start)

    tried: list[int] = []
    assert sum(memory.parts(outer, 12)) == 12
    assert tried == [12, 2, 2, 2, 2, 2, 2]


def test_a_compiler_that_is_short_of_memory_leaves_the_way_to_smaller_batches() -> None:
    for text, kind in [("CUDA out of memory", TorchDynamoException), ("no C++", NsbenchError)]:
        with pytest.raises(kind, match=re.escape(text)), compiling():
            raise TorchDynamoException(f"backend='inductor' raised: {text}")


def test_what_the_failed_attempt_held_is_gone_before_memory_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    alive: list[bool] = []

    def work(some: slice) -> torch.Tensor:
        large = torch.zeros(some.stop - some.start)
        if len(large) > 2:
            held.append(weakref.ref(large))
            raise RuntimeError("CUDA error: out of memory")
        return large

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(held[-1]() is not None))
    assert AdaptiveBatchSize().in_parts(work, 8).tolist() == [0] * 8
    assert alive == [False, False]


def test_what_torch_holds_without_need_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (50, 80))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 20)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 8)
    assert free_memory(torch.device("cuda", 0)) == 62


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_float32_is_float32_unless_tf32_is_asked_for(precision: str) -> None:
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [backend.allow_tf32 for backend in backends]
    with float32_products(precision):
        assert [backend.allow_tf32 for backend in backends] == [precision == "tf32"] * 2
    assert [backend.allow_tf32 for backend in backends] == before
    with autocast(torch.device("cpu"), precision):
        assert torch.is_autocast_enabled("cpu") == (precision == "bfloat16")


def test_the_environment_names_what_a_result_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    found = environment(torch.device("cpu"))
    assert found["threads"] == torch.get_num_threads()
    assert found["cores"] >= 1
    assert {"python", "platform", "device", "versions", "git_commit"} < set(found)
    assert "gpu" not in found
    gpu = SimpleNamespace(name="H100", total_memory=8)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: gpu)
    on_gpu = environment(torch.device("cuda", 0))
    assert (on_gpu["gpu"], on_gpu["memory_bytes"], on_gpu["driver"]) == ("H100", 8, None)
    assert {"cuda", "cudnn"} < set(on_gpu)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gpu", "the device 'gpu' cannot be used here"),
        ("", "the device '' cannot be used here"),
        ("cuda:99", "the device 'cuda:99' cannot be used here"),
        ("hpu", "the device 'hpu' cannot be used here"),
        ("meta", "the device 'meta' computes no numbers: use --device cpu"),
    ],
)
def test_an_unusable_device_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(NsbenchError) as caught:
        resolve_device(name)
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


OLD = "The NVIDIA driver on your system is too old (found version 11040)"
ADVICE = ". Please update your GPU driver by downloading and installing a new version.\nOr not."


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (RuntimeError(OLD + ADVICE), f"'cuda' cannot be used here ({OLD}): see to that"),
        (
            RuntimeError("CUDA error: no kernel image is available for execution on the device\nC"),
            "(CUDA error: no kernel image is available for execution on the device): see to",
        ),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel"), "'cuda' has no memory left: end"),
    ],
)
def test_a_gpu_that_does_not_compute_says_why(
    error: Exception, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(torch, "ones", fails)
    with pytest.raises(NsbenchError) as caught:
        resolve_device("cuda")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_name_a_driver_that_is_too_old_is_said(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def unavailable() -> bool:
        warnings.warn(f"CUDA initialization: {OLD}{ADVICE}", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", unavailable)
    assert resolve_device(None) == torch.device("cpu")
    assert capfd.readouterr().err == f"the GPU cannot be used ({OLD}): going on with the CPU\n"


@pytest.mark.parametrize(("rank", "gpu"), [(0, 0), (3, 3), (5, 1)])
def test_processes_of_one_machine_try_a_gpu_each(
    rank: int, gpu: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    class Fake:
        def __init__(self, device: str) -> None:
            self.device = torch.device(device)

        def __add__(self, _: int) -> "Fake":
            return self

    def ones(count: int, *, device: str) -> Fake:
        tried.append(device)
        return Fake(device)

    monkeypatch.setattr(torch, "ones", ones)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_RANK", str(rank))
    assert resolve_device("cuda") == torch.device("cuda", gpu)
    assert tried == [f"cuda:{gpu}"]
