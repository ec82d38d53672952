"""What metrics are given: arrays, lists and tensors alike, and a sentence for anything else."""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

from nsbench.util.errors import ArgumentError
from nsbench.util.text import a_type

P = ParamSpec("P")
R = TypeVar("R")


class Wanted(NamedTuple):
    """Values that an argument holds. kinds: NumPy's letters of their types."""

    what: str
    kinds: str
    dimensions: int


NUMBERS = Wanted("numbers, (N,)", "fiu", 1)
FLAGS = Wanted("true or false for each image, (N,)", "b", 1)
SCORES = Wanted("numbers or true and false, (N,)", "fiub", 1)
CLASSES = Wanted("whole numbers, (N, F)", "iu", 2)
RANKED = Wanted("whole numbers, (N, F, 5)", "iu", 3)
COUNT = Wanted("a whole number", "iu", 0)
FLAG = Wanted("true or false", "b", 0)


def given(**wanted: Wanted) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: the named arguments become arrays, those of no dimension Python's own values.

    The function raises ArgumentError for an argument that cannot be what is wanted.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = signature(function)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            bound = parameters.bind(*args, **kwargs)
            for name in wanted.keys() & bound.arguments.keys():
                bound.arguments[name] = _as_wanted(name, bound.arguments[name], wanted[name])
            return function(*bound.args, **bound.kwargs)

        return call

    return decorate


def _as_wanted(name: str, value: Any, wanted: Wanted) -> Any:
    try:
        array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    except Exception as error:  # ragged lists, and objects of any kind
        raise ArgumentError(f"{name} must be {wanted.what}, not {_shown(value)}") from error
    if array.ndim != wanted.dimensions or (array.size and array.dtype.kind not in wanted.kinds):
        raise ArgumentError(f"{name} must be {wanted.what}, not {_shown(value)}")
    return array if wanted.dimensions else array.item()


def _shown(value: Any) -> str:
    shape, kind = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is not None and kind is not None:
        return f"{kind} {tuple(shape)}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else a_type(value)
