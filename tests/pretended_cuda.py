"""Tensors that say they are on a GPU, and compute on the CPU with real values.

For work that fake tensors cannot do, such as backward passes, and to see that the code for devices
makes what the code for CPUs makes. Where torch would refuse to mix devices, so do these. What an
operation would cost is counted as for fake tensors.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from nsbench.pixels import splitmix
from tests.fake_cuda import GPU, Costs, is_late, replacing, tensors_of

MIXING = {"copy_", "_to_copy", "index", "index_put_", "_index_put_impl_"}
"""Operations that may take tensors of both devices."""


class Pretended(torch.Tensor):
    """A tensor on the pretended GPU. `held` are its values."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, real: torch.Tensor) -> "Pretended":
        """Wrap values as torch wants it: with their type, shape and strides."""
        made: Pretended = torch.Tensor._make_wrapper_subclass(
            cls,
            real.size(),
            strides=real.stride(),
            storage_offset=real.storage_offset(),
            dtype=real.dtype,
            layout=real.layout,
            device=real.device,
            requires_grad=False,
        )
        made.held = real.detach()
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The pretended one."""
        return GPU

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        """Yes."""
        return True

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Outside the mode, where only representations are made."""
        return func(*tree_map(values_of, args), **tree_map(values_of, kwargs or {}))


def values_of(part: Any) -> Any:
    """The values of a pretended tensor; anything else as it is."""
    return part.held if isinstance(part, Pretended) else part


class _Pretending(TorchDispatchMode):
    def __init__(self, costs: Costs) -> None:
        super().__init__()
        self._costs = costs

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = func._schema.name.split("::")[-1]
        given = tensors_of((args, kwargs))
        there = [part for part in given if isinstance(part, Pretended)]
        here = [part for part in given if not isinstance(part, Pretended) and part.ndim]
        if there and here and name not in MIXING:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device")
        self._costs.asked(name, given, args)
        asked = kwargs.get("device")
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        made = func(*tree_map(values_of, args), **tree_map(values_of, kwargs))
        result: Any = None
        if "out" in kwargs:
            result = kwargs["out"]
        elif made is None:  # as of operations on lists in place
            pass
        elif name.endswith("_") and not name.endswith("__"):
            result = args[0]
        elif (asked.type == "cuda") if asked is not None else there:
            result = _wrapped(made, there)
        else:
            result = made
        self._costs.done(name, given, tensors_of(result), is_late(name, args, kwargs))
        return result


def _wrapped(made: Any, there: list[Pretended]) -> Any:
    known = {id(part.held): part for part in there}

    def wrap(part: Any) -> Any:
        if not isinstance(part, torch.Tensor) or isinstance(part, Pretended):
            return part
        found = known.get(id(part))
        # A wrapper does not tell torch that its values are kept conjugated.
        return Pretended(part.resolve_conj()) if found is None else found

    return tree_map(wrap, made)


@contextmanager
def pretended() -> Iterator[Costs]:
    """A context in which the device `cuda` is pretended, and what is done on it is counted.

    Constants that are kept by device are pretended afterwards: for processes of their own only.
    """
    costs = Costs()
    numpy, tolist, cpu = torch.Tensor.numpy, torch.Tensor.tolist, torch.Tensor.cpu

    def words(streams: torch.Tensor, first: int, count: int) -> torch.Tensor:
        made = splitmix.words_in_steps(streams.held, first, count)  # type: ignore[attr-defined]
        costs.kernel(1, made.numel() * 8)
        return Pretended(made)

    def as_numpy(values: torch.Tensor, **options: Any) -> Any:
        if isinstance(values, Pretended):
            raise TypeError("NumPy cannot have a tensor of a GPU")
        return numpy(values, **options)

    def as_list(values: torch.Tensor) -> Any:
        if isinstance(values, Pretended):
            costs.waits["a value is read"] += 1
        return tolist(values_of(values))

    def on_host(values: torch.Tensor) -> torch.Tensor:
        if isinstance(values, Pretended):
            costs.waits["a copy to the host"] += 1
        return cpu(values_of(values))

    replaced: list[tuple[Any, str, Any]] = [
        (splitmix, "triton_kernel", lambda device: words),
        (torch.cuda, "_lazy_init", lambda: None),
        # Views of tensors that are made in inference mode cannot be wrapped outside of it.
        (torch, "inference_mode", lambda mode=True: torch.no_grad() if mode else nullcontext()),
        (torch.Tensor, "pin_memory", lambda values: values),
        (torch.Tensor, "cpu", on_host),
        (torch.Tensor, "numpy", as_numpy),
        (torch.Tensor, "tolist", as_list),
    ]
    with replacing(replaced), _Pretending(costs):
        yield costs


def moved(module: nn.Module) -> nn.Module:
    """A module with its parameters and buffers on the pretended GPU."""
    for part in module.modules():
        for name, weight in list(part._parameters.items()):
            if weight is not None:
                there = Pretended(weight.detach())
                part._parameters[name] = nn.Parameter(there, weight.requires_grad)
        for name, buffer in list(part._buffers.items()):
            if buffer is not None:
                part._buffers[name] = Pretended(buffer)
    return module
