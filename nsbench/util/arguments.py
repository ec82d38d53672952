"""Arguments of the Python API: a wrong type is told by the name of the argument, at once."""

import inspect
import numbers
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache, wraps
from typing import Any, ParamSpec, TypeVar, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from nsbench.util.text import a_type

P = ParamSpec("P")
R = TypeVar("R")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose arguments are checked against their annotations when it is called.

    They are handed over as they are, but whole numbers of NumPy as Python's. A TypeError names the
    argument that is of another type.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = inspect.signature(function).bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{function.__name__}: {error}") from None
        for name, value in bound.arguments.items():
            if name in _adapters(function):
                bound.arguments[name] = value = plain_integer(value)
                several = bound.signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
                for one in value if several else [value]:
                    _check(function, name, one)
        return function(*bound.args, **bound.kwargs)

    return call


def plain_integer(value: Any) -> Any:
    """A whole number of NumPy or another library as Python's; anything else as it is."""
    # Booleans of Python are whole numbers too, and stay what they are.
    is_other = isinstance(value, numbers.Integral) and not isinstance(value, int)
    return int(value) if is_other else value


def check_fields(made: Any) -> None:
    """Raise TypeError for a field of a dataclass that is of another type than its annotation."""
    kind: Any = type(made)
    for name in _adapters(kind):
        value = plain_integer(getattr(made, name))
        _check(kind, name, value)
        object.__setattr__(made, name, value)  # also of a frozen one, which is only being made


def _check(function: Callable[..., Any], name: str, value: Any) -> None:
    adapter, wanted = _adapters(function)[name]
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        shown = repr(value) if len(repr(value)) <= 60 else a_type(value)
        raise TypeError(
            f"{function.__name__}: the argument {name} is {shown}, but must be {wanted}"
        ) from error


@cache
def _adapters(function: Callable[..., Any]) -> dict[str, tuple[TypeAdapter[Any], str]]:
    """What checks each argument, and how its type reads; without those that may be anything."""
    found = {}
    # strict: True is no number, and "3" is none either.
    config = ConfigDict(strict=True, arbitrary_types_allowed=True)
    hints = get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        if hints.get(name, Any) is not Any and parameter.kind is not parameter.VAR_KEYWORD:
            # `str | Path`, and not the modules that these are from.
            plain = re.sub(r"\b(\w+\.)+(?=\w)", "", inspect.formatannotation(hints[name]))
            # What pydantic has no check for, such as a model or a recipe, its function checks.
            with suppress(PydanticUserError):
                adapter = TypeAdapter(hints[name], config=config)
                found[name] = adapter, plain.replace(" | ", " or ")
    return found
