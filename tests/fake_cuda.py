"""CUDA tensors without CUDA: what work would launch, move and wait for on a GPU.

torch's FakeTensorMode makes tensors that have a device and a shape, but no values. A mode beside it
counts what every operation on them would cost.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from nsbench.pixels import splitmix

GPU = torch.device("cuda", 0)
BANDWIDTH = 3.35e12
"""Bytes a second of an H100's memory (SXM5, NVIDIA's data sheet)."""

LAUNCH = 5e-6
"""Seconds that the host takes to launch a kernel."""

# Operations that make no kernel run: they see the same memory differently, or only ask for some.
FREE = {
    *("view", "_unsafe_view", "expand", "permute", "transpose", "slice", "select", "unsqueeze"),
    *("squeeze", "alias", "detach", "as_strided", "t", "unbind", "split", "split_with_sizes"),
    *("narrow", "unfold", "diagonal", "_reshape_alias", "lift_fresh", "view_as_real", "chunk"),
    *("view_as_complex", "empty", "empty_strided", "empty_like", "new_empty", "is_pinned"),
    *("new_empty_strided", "sym_size", "sym_numel", "sym_stride", "resize_", "device"),
    "_has_compatible_shallow_copy_type",
}
VALUES = {"_local_scalar_dense", "item", "is_nonzero"}
"""Operations that read a value."""

WAITING = {"nonzero", "_unique2", "unique_dim", "unique_consecutive", "masked_select", "equal"}
"""Operations whose result, or its size, the host needs before it can go on."""

TRANSFORMS = {"_fft_r2c", "_fft_c2r", "_fft_c2c"}
"""Of two dimensions: a kernel each, with the values in memory between them."""


class Costs:
    """Counts launches, bytes and waits.

    launches, bytes: of kernels. seconds: the sum over operations of what binds each, memory or
    launches. waits: operations that the host waits for, by name. copied: bytes from host to device.
    """

    def __init__(self) -> None:
        self.launches = self.copied = 0
        self.bytes = self.seconds = 0.0
        self.waits: Counter[str] = Counter()

    def clear(self) -> None:
        """Begin anew."""
        self.__init__()  # type: ignore[misc]

    def kernel(self, launches: int, size: float) -> None:
        """Count an operation of so many launches, whose kernels read and write so many bytes."""
        self.launches += launches
        self.bytes += size
        self.seconds += max(size / BANDWIDTH, launches * LAUNCH)

    def asked(self, name: str, given: list[torch.Tensor], args: Any) -> None:
        """Count what the host waits for in an operation, apart from copies."""
        if not any(part.device.type == "cuda" for part in given):
            return
        if name in VALUES:
            self.waits["a value is read"] += 1
        if name in WAITING:
            self.waits[name] += 1
        if name.removesuffix("_") in ("index", "index_put", "_index_put_impl"):
            for index in args[1]:
                if index is not None and index.dtype == torch.bool:
                    self.waits["an index of truth values"] += 1
                if index is not None and index.device.type == "cpu":
                    self.waits["an index on the host"] += 1

    def done(
        self,
        name: str,
        given: list[torch.Tensor],
        made: list[torch.Tensor],
        late: bool,
    ) -> None:
        """Count an operation and its copies. late: whether the host does not wait for a copy."""
        if name in ("_to_copy", "copy_"):
            source, target = given[name == "copy_"], made[0]
            if source.device.type != target.device.type:
                self._copy(source, target, late)
                return
        if name in FREE or not any(part.device.type == "cuda" for part in given + made):
            return
        if name in ("index_select", "gather"):  # what is picked, not all that it is picked from
            size = 2 * size_of(made[0]) + size_of(given[1])
        elif name == "grid_sampler_2d":  # four values a point
            size = 5 * size_of(made[0]) + size_of(given[1])
        elif name == "fill_" or not given:
            size = sum(map(size_of, made))
        else:
            size = sum(map(size_of, given)) + sum(map(size_of, made))
        self.kernel(2 if name in TRANSFORMS else 1, size * (2 if name in TRANSFORMS else 1))

    def _copy(self, source: torch.Tensor, target: torch.Tensor, late: bool) -> None:
        if target.device.type == "cpu":
            self.waits["a copy to the host"] += 1
        else:
            self.copied += size_of(source)
            if not late:
                self.waits["a copy from the host"] += 1


class _Counted(TorchDispatchMode):
    """Counts the operations on fake tensors, and answers for them where a value is asked."""

    def __init__(self, costs: Costs) -> None:
        super().__init__()
        self._costs = costs

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.split("::")[-1]
        given = tensors_of((args, kwargs))
        self._costs.asked(name, given, args)
        there = any(part.device.type == "cuda" for part in given)
        if name in VALUES and there:
            kind = given[0].dtype
            return True if kind == torch.bool else 1.0 if kind.is_floating_point else 1
        if name == "equal" and there:
            return True
        made = func(*args, **kwargs)
        for part in tensors_of(made):
            if isinstance(part, FakeTensor):
                part.constant = None  # or a value that torch still knows would need no wait
        self._costs.done(name, given, tensors_of(made), is_late(name, args, kwargs))
        return made


def is_late(name: str, args: Any, kwargs: dict[str, Any]) -> bool:
    """Whether the host goes on before a copy is done."""
    return bool(kwargs.get("non_blocking") or (name == "copy_" and len(args) > 2 and args[2]))


def tensors_of(tree: Any) -> list[torch.Tensor]:
    """All tensors of nested tuples, lists and dictionaries."""
    return [part for part in tree_flatten(tree)[0] if isinstance(part, torch.Tensor)]


def size_of(part: torch.Tensor) -> int:
    """Bytes of memory; expanded dimensions lie there once."""
    sides = zip(part.shape, part.stride(), strict=True)
    return prod(side for side, stride in sides if stride) * part.element_size()


@contextmanager
def faked() -> Iterator[Costs]:
    """A context in which the device `cuda` is fake, and what is done on it is counted.

    Constants that are kept by device are fake afterwards: for processes of their own only.
    """
    costs = Costs()

    class Mode(FakeTensorMode):
        avoid_device_init = True  # there is none

    def words(streams: torch.Tensor, first: int, count: int) -> torch.Tensor:
        made = torch.empty(len(streams), count, dtype=torch.int64, device=GPU)
        costs.kernel(1, size_of(made))
        return made

    def on_host(values: torch.Tensor) -> Any:
        if not isinstance(values, FakeTensor):
            return numpy(values)
        if values.device.type == "cuda":
            raise TypeError("NumPy cannot have a tensor of a GPU")
        return np.zeros(tuple(values.shape), str(values.dtype).removeprefix("torch."))

    numpy = torch.Tensor.numpy
    replaced: list[tuple[Any, str, Any]] = [
        (splitmix, "triton_kernel", lambda device: words),
        (torch.Tensor, "pin_memory", lambda values: values),
        (torch.Tensor, "numpy", on_host),
    ]
    with replacing(replaced), Mode(allow_non_fake_inputs=True), _Counted(costs):
        yield costs


@contextmanager
def replacing(attributes: list[tuple[Any, str, Any]]) -> Iterator[None]:
    """A context in which attributes are others, and nothing is warned of.

    attributes: owner, name and value of each.
    """
    before = [getattr(owner, name) for owner, name, _ in attributes]
    try:
        for owner, name, new in attributes:
            setattr(owner, name, new)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for (owner, name, _), old in zip(attributes, before, strict=True):
            setattr(owner, name, old)


def moved(module: nn.Module) -> nn.Module:
    """A module whose parameters and buffers are fake ones on the GPU, in channels-last order."""
    for part in module.modules():
        for name, weight in list(part._parameters.items()):
            if weight is not None:
                part._parameters[name] = nn.Parameter(_there(weight), weight.requires_grad)
        for name, buffer in list(part._buffers.items()):
            if buffer is not None:
                part._buffers[name] = _there(buffer)
    return module


def _there(values: torch.Tensor) -> torch.Tensor:
    made = torch.empty(values.shape, dtype=values.dtype, device=GPU)
    return made.contiguous(memory_format=torch.channels_last) if made.ndim == 4 else made
