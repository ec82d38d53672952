"""Dropout and stochastic depth with other rates for pseudo-labeled images than for labeled ones.

Both kinds go through the model in one pass, as batch norm sees them together: what drops treats the
labeled rows of a batch by one rate, and the others by another.
"""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from timm.layers import DropPath
from torch import nn
from torch.nn.functional import dropout
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode

from nsbench.models import build
from nsbench.recipes.generation import Generation
from nsbench.util.errors import NsbenchError

Drop = Callable[[torch.Tensor], torch.Tensor]

WAY_OUT = "leave dropout and drop_path out of unlabeled_noise, or choose another arch"


def build_student(generation: Generation, num_classes: int) -> nn.Module:
    """A generation's model, untrained, as `build` makes it where all images have the same rates.

    Where they differ, its layers of dropout and stochastic depth become `DropByRow`; the weights
    and their names are the same. Raises NsbenchError as `build` does, and where an architecture
    keeps a rate in a way that is not known here.
    """
    rates = [(of.dropout, of.drop_path) for of in (generation, generation.for_unlabeled)]

    def built(dropout: float, drop_path: float) -> nn.Module:
        return build(generation.arch, num_classes, generation.model_args, dropout, drop_path)

    if rates[0] == rates[1]:
        return built(*rates[0])
    # What timm makes of each rate, layer by layer, such as the slope of stochastic depth. The
    # draws of the weights that follow are those of any other student.
    with torch.random.fork_rng([]), torch.device("meta"):
        made = [_rates(built(*pair)) for pair in rates]
    # With the larger rates, as timm makes no layer for a rate of 0.
    model = built(_marked(generation), max(drop_path for _, drop_path in rates))
    for name, layer in list(model.named_modules(remove_duplicate=False)):
        for key in _rate_keys(layer):
            pair = made[0].get((name, key), 0.0), made[1].get((name, key), 0.0)
            if pair[0] != pair[1]:
                _replace(model, name, key, pair, generation)
    return model


def _rate_keys(part: nn.Module) -> list[str]:
    """The names under which a module keeps fractions."""
    return [key for key, value in vars(part).items() if isinstance(value, float)]


def _rates(model: nn.Module) -> dict[tuple[str, str], float]:
    parts = model.named_modules(remove_duplicate=False)
    return {(name, key): getattr(part, key) for name, part in parts for key in _rate_keys(part)}


def _marked(generation: Generation) -> float:
    """The rate of dropout that a student is built with."""
    one, other = generation.dropout, generation.for_unlabeled.dropout
    # The next float, which no other rate equals: `_DropCalls` knows the calls with it by that.
    return one if one == other else math.nextafter(max(one, other), 1)


def _replace(
    model: nn.Module, name: str, key: str, rates: tuple[float, float], generation: Generation
) -> None:
    layer = model.get_submodule(name)
    if isinstance(layer, DropPath | _DropoutNd):
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, DropByRow(layer, key, rates))
    # timm's models keep this one for the call of a function in front of the classifier.
    elif key != "drop_rate":
        raise NsbenchError(
            f"'{generation.arch}' keeps a rate as {name}.{key}, which cannot be another one for "
            f"pseudo-labeled images: {WAY_OUT}"
        )


class DropByRow(nn.Module):
    """A layer that drops, with a rate for labeled rows and one for the others.

    rows: the labeled rows of the present batch, and all of them.
    """

    def __init__(self, layer: nn.Module, key: str, rates: tuple[float, float]) -> None:
        super().__init__()
        self.rows = 0, 0
        self.labeled, self.unlabeled = copy.deepcopy(layer), copy.deepcopy(layer)
        for part, rate in zip((self.labeled, self.unlabeled), rates, strict=True):
            setattr(part, key, rate)
            if isinstance(part, _DropoutNd):
                part.inplace = False  # it has a part of what others hold

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """The batch (B, …), with some of it dropped in training."""
        return _by_row(batch, self.rows, self.labeled, self.unlabeled) if self.training else batch


def _by_row(batch: torch.Tensor, rows: tuple[int, int], labeled: Drop, other: Drop) -> torch.Tensor:
    # Windows or tokens in place of images could be in any order.
    if len(batch) != rows[1]:
        raise NsbenchError(
            f"what drops has {len(batch)} rows for {rows[1]} images, of which labeled and "
            f"pseudo-labeled ones cannot be told apart: {WAY_OUT}"
        )
    return torch.cat([labeled(batch[: rows[0]]), other(batch[rows[0] :])])


class RowNoise:
    """Tells a student's model from `build_student` which rows of a batch are labeled."""

    def __init__(self, model: nn.Module, generation: Generation) -> None:
        self._layers = [part for part in model.modules() if isinstance(part, DropByRow)]
        self._rates = generation.dropout, generation.for_unlabeled.dropout
        self._marked = _marked(generation)

    @contextmanager
    def rows(self, labeled: int, count: int) -> Iterator[None]:
        """A context for the forward pass of `count` images, of which the first are labeled."""
        for layer in self._layers:
            # Not taken back: with checkpoint_activations the backward pass comes here again.
            layer.rows = labeled, count
        differ = self._rates[0] != self._rates[1]
        with _DropCalls(self._marked, self._rates, (labeled, count)) if differ else nullcontext():
            yield


class _DropCalls(TorchFunctionMode):
    """Dropout by row where a model calls the function with the rate that it was built with."""

    def __init__(self, marked: float, rates: tuple[float, float], rows: tuple[int, int]) -> None:
        super().__init__()
        self._marked, self._rates, self._rows = marked, rates, rows

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not dropout:
            return func(*args, **kwargs)
        return self._dropped(*args, **kwargs)

    def _dropped(
        self, batch: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        if p != self._marked or not training:
            return dropout(batch, p, training, inplace)
        drops: list[Drop] = [partial(dropout, p=rate) for rate in self._rates]
        return _by_row(batch, self._rows, *drops)
