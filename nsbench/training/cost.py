"""What a model costs in operations and memory, by the meta device, which computes nothing."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nsbench.models import build
from nsbench.recipes.generation import Generation
from nsbench.training.schedule import optimizer_for
from nsbench.util import distributed
from nsbench.util.device import PRECISIONS, enough_memory, total_memory
from nsbench.util.errors import NsbenchError

REFUSED_FROM = 1.2
"""Estimates of more than this many times the device's memory are refused. Below that the estimate
may be wrong, as kernels share memory in ways that cannot be foreseen, and the step is tried."""


def meta_model(generation: Generation, classes: int) -> Any:
    """The model on the meta device, which has shapes but no values: free for any size."""
    with torch.device("meta"):
        model: Any = build(generation.arch, classes, generation.model_args)
    if generation.checkpoint_activations:
        model.set_grad_checkpointing(True)
    return model


def flops_of(module: nn.Module, image_size: int) -> int:
    """Floating-point operations of one image's forward pass; a multiply-add is two."""
    module = module.eval()  # one image may be too few for batch norm in training mode
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(1, 3, image_size, image_size))
    return int(counter.get_total_flops())


def bytes_of(module: nn.Module) -> int:
    """Bytes of a module's weights and statistics."""
    return sum(value.numel() * value.element_size() for value in module.state_dict().values())


def memory_of(generation: Generation, classes: int, at_once: int) -> int:
    """Bytes that training takes on a device which computes `at_once` images at a time.

    Weights, their average, gradients, the optimiser's state, and what the forward pass keeps for
    the backward pass; what kernels need meanwhile comes on top.
    """
    module = meta_model(generation, classes)
    state = _state_copies(generation) + 3  # weights, gradients, average
    return bytes_of(module) * state + at_once * _activations(module, generation)


def _state_copies(generation: Generation) -> int:
    """How many values the optimiser keeps for each weight."""
    # Counted on a small layer, rather than listed by the names of timm's dozens of optimisers.
    weight = nn.Linear(8, 8, bias=False)
    optimizer = optimizer_for(weight, generation)
    weight(torch.ones(1, 8)).sum().backward()
    optimizer.step()
    # Only what has a value for each of the 64 weights; counters are a number each.
    kept = optimizer.state_dict()["state"].get(0, {}).values()
    return sum(isinstance(value, torch.Tensor) and value.numel() == 64 for value in kept)


def _activations(module: nn.Module, generation: Generation) -> int:
    """Bytes that one image's forward pass keeps for the backward pass."""
    # Weights are kept for the backward pass too, but count as weights. Storages are told apart by
    # their addresses, as the data pointers of meta tensors are all 0.
    weights = {value.untyped_storage()._cdata for value in module.state_dict().values()}
    with _kept() as kept, torch.device("meta"):
        side = generation.image_size
        module.train()(torch.empty(2, 3, side, side)).sum()
    sizes = [size for storage, size in kept.items() if storage not in weights]
    # Of two images, since batch norm refuses one in training; autocast in 16 bits keeps half.
    half = PRECISIONS[generation.precision] != torch.float32
    return sum(sizes) // (4 if half else 2)


@contextmanager
def _kept() -> Iterator[dict[int, int]]:
    """Sizes in bytes of what autograd keeps, by storage."""
    sizes: dict[int, int] = {}
    held: list[torch.Tensor] = []  # a storage that is freed could come again as another one

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        held.append(tensor)
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield sizes


def steps_fit(what: str, generation: Generation, fine_tuned: bool) -> AbstractContextManager[None]:
    """A context for what a step needs memory for. Raises NsbenchError where memory runs out."""
    return enough_memory(what, _less_memory(generation, fine_tuned))


def _less_memory(generation: Generation, fine_tuned: bool) -> str:
    """The keys of a recipe by which a step takes less memory."""
    # A step is not halved by itself: the statistics of batch norm would be those of other batches.
    if fine_tuned:  # which has labeled images only, and a batch size of its own
        lower = f"fine_tune.batch_size (now {generation.batch_size})"
    else:
        ratio = f"unlabeled_ratio (now {generation.unlabeled_ratio:g})"
        lower = f"batch_size (now {generation.batch_size}) or {ratio}"
    return (
        f"raise accumulate (now {generation.accumulate}), lower {lower}, or set "
        "checkpoint_activations = true"
    )


def check_memory(
    generation: Generation,
    classes: int,
    step_images: int,
    device: torch.device,
    *,
    fine_tuned: bool = False,
) -> None:
    """Raise NsbenchError where a step's images cannot fit into the device's memory.

    Without this check a machine that runs out of memory kills processes of its own choice.
    step_images: of all processes together. What is only a little too much fails in the step.
    """
    shares = distributed.size() * generation.accumulate
    at_once = -(-step_images // shares)  # rounded up: the process with the most images decides
    needed, available = memory_of(generation, classes, at_once), total_memory(device)
    if needed > REFUSED_FROM * available:
        raise NsbenchError(
            f"{at_once:,} images of {generation.image_size} px at once take {generation.arch} "
            f"about {needed / 1e9:,.0f} GB, and the device has {available / 1e9:,.0f}: "
            + _less_memory(generation, fine_tuned)
        )
