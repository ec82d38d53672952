"""What decides the answers of a user's own code: its sources, and the data that it holds."""

import ast
import hashlib
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

# What every module of torch has: hooks, and the tensors that its state dict names already.
_OF_TORCH = frozenset(vars(nn.Module())) - {"_buffers"}
_ARRAYS = (torch.Tensor, np.ndarray, np.generic)


def identity(home: ModuleType, made: nn.Module) -> bytes:
    """All that is known to decide the answers of what a user's function made, but its state dict.

    home: the module of the function, whose source comes first; then hashes of the sources of all
    modules of the user that it leads to, and of the data that code and modules hold. made: what the
    function returned. What it reads only when it answers cannot be known.
    """
    modules = _reached(home, made)
    hashes = [
        f"{name} {hashlib.sha256(_source(module)).hexdigest()}"
        for name, module in sorted(modules.items())
        if module is not home
    ]
    parts = [_source(home), *map(str.encode, hashes), _data(modules, made)]
    return b"\n".join([*parts, *_typed_in(made)])


def _typed_in(made: nn.Module) -> list[bytes]:
    """Code that lies in no file, as it is typed into a notebook; empty without such.

    That is the code of the module's classes, and of the functions and classes that it names of
    their globals, with the numbers and texts that it names there.
    """
    waiting: list[Any] = [base for part in made.modules() for base in type(part).__mro__]
    waiting += [value for part in made.modules() for value in vars(part).values()]
    seen, pieces = set(), set()
    while waiting:
        value = waiting.pop()
        for wrapped in ("__func__", "fget"):  # methods and properties
            value = getattr(value, wrapped, value)
        known = id(value) in seen or not isinstance(value, type | FunctionType)
        if known or not _is_typed(value.__module__):
            continue
        seen.add(id(value))
        if isinstance(value, type):
            waiting += [*vars(value).values(), *value.__bases__]
            continue
        pieces.add(f"{value.__qualname__} {_code(value.__code__)} {value.__defaults__!r}".encode())
        named = {name: value.__globals__.get(name) for name in _names(value.__code__)}
        waiting += named.values()
        plain = {n: v for n, v in named.items() if isinstance(v, bool | int | float | str)}
        pieces |= {f"{name} {item!r}".encode() for name, item in plain.items()}
    return sorted(pieces)


def _is_typed(name: str) -> bool:
    """Whether a module is neither of a file nor of Python's own, such as `__main__` of a shell."""
    module = sys.modules.get(name)
    return module is None or not (getattr(module, "__file__", None) or module.__spec__)


def _names(code: CodeType) -> set[str]:
    inside = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return {*code.co_names}.union(*map(_names, inside))


def _code(code: CodeType) -> str:
    """A text of what the code does, without where it stands."""
    constants = [_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {constants}"


def _reached(home: ModuleType, made: nn.Module) -> dict[str, ModuleType]:
    """The user's modules that the home and the classes of what it made lead to, by name."""
    found = {home.__name__: home}
    bases = {base for part in made.modules() for base in type(part).__mro__}
    waiting = [home, *_own(base.__module__ for base in bases)]
    while waiting:
        module = waiting.pop()
        found[module.__name__] = module
        # What has no import statement shows in the globals: a plugin, a class from a registry.
        named = _imported_names(module) | set(map(_origin, list(vars(module).values())))
        waiting += [other for other in _own(named) if other.__name__ not in found]
    return found


def _own(names: Iterable[str]) -> list[ModuleType]:
    """Those of the modules that are the user's: neither Python's, nor installed, nor nsbench's."""
    found = []
    for module in map(sys.modules.get, set(names)):
        file = getattr(module, "__file__", None)
        if module is not None and isinstance(file, str):
            path = Path(file).resolve()
            if not any(path.is_relative_to(folder) for folder in _installed()):
                found.append(module)
    return found


@cache
def _installed() -> tuple[Path, ...]:
    # A package that is installed as a link to its checkout lies elsewhere, and is the user's own.
    paths = [sysconfig.get_path(key) for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [*site.getsitepackages(), site.getusersitepackages(), str(Path(__file__).parents[1])]
    return tuple(Path(path).resolve() for path in paths)


@cache
def _imported_names(module: ModuleType) -> frozenset[str]:
    """Names in the import statements of a module, also inside functions, and in its texts."""
    try:
        tree = ast.parse(_source(module))
    except (SyntaxError, ValueError):  # an extension in machine code
        return frozenset()
    names = {module.__name__, ""}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = _absolute("." * node.level + (node.module or ""), module)
            names |= {start, *(f"{start}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words = node.value.split(".")  # import_module("package.helper")
            names |= {node.value} if all(map(str.isidentifier, words)) else set()
    # Packages are imported before what is inside, and may change it.
    return frozenset(
        name.rsplit(".", count)[0] for name in names for count in range(name.count(".") + 1)
    )


def _absolute(name: str, module: ModuleType) -> str:
    try:
        return resolve_name(name, module.__package__)
    except ImportError:  # in a branch that never ran
        return ""


def _origin(value: Any) -> str:
    """The name of the module that a value is, or was defined in."""
    if isinstance(value, ModuleType):
        return value.__name__
    defined = value if isinstance(value, type | FunctionType) else type(value)
    return str(defined.__module__)


@cache  # a file that is changed later is not the code that was imported
def _source(module: ModuleType) -> bytes:
    file = getattr(module, "__file__", None)
    if not file:
        return b""
    # By its loader where the file is inside an archive.
    loader = getattr(module, "__loader__", None)
    content: bytes = Path(file).read_bytes() if Path(file).is_file() else loader.get_data(file)  # type: ignore[union-attr]
    return content


def _data(modules: Mapping[str, ModuleType], made: nn.Module) -> bytes:
    """A hash of what torch modules hold beside a state dict, and of arrays in the user's globals.

    The first are buffers that are not stored, and tensors, arrays, numbers and texts in attributes.
    """
    digest, seen = hashlib.sha256(), {id(part) for part in made.modules()}
    for name, part in made.named_modules():
        for piece in _pieces([name, _held(part)], seen):
            digest.update(piece)
    for name in sorted(modules):
        # Of other globals, such as times and counters, many decide nothing.
        arrays = {key: v for key, v in vars(modules[name]).items() if _is_weights(v)}
        for piece in _pieces(arrays, seen):
            digest.update(piece)
    return digest.digest()


def _held(module: nn.Module) -> dict[str, Any]:
    own = {key: value for key, value in vars(module).items() if key not in _OF_TORCH}
    # The text of the graph: torch.fx's and TorchScript's modules have no source in a file.
    try:
        code, constants = module.code_with_constants  # type: ignore[misc]
        return {**own, "code": code, "constants": constants.const_mapping}
    except (AttributeError, RuntimeError):  # not of TorchScript, or a part of it without code
        return {**own, "code": getattr(module, "code", None)}


def _is_weights(value: Any) -> bool:
    items = value.values() if isinstance(value, Mapping) else value
    inside = isinstance(value, Mapping | list | tuple) and any(
        isinstance(item, _ARRAYS) for item in items
    )
    return inside or isinstance(value, (*_ARRAYS, nn.Module))


def _pieces(value: Any, seen: set[int]) -> Iterator[bytes]:
    """The bytes of a value and of all in it, of an unknown kind its name; `seen` is left out."""
    yield type(value).__name__.encode()
    if isinstance(value, torch.Tensor):
        if value.layout == torch.strided and not value.is_meta and not value.is_quantized:
            plain = value.detach().cpu().contiguous().reshape(-1)
            yield f"{value.dtype} {tuple(value.shape)}".encode()
            yield plain.view(torch.uint8).numpy().tobytes() if plain.numel() else b""
    elif isinstance(value, np.ndarray | np.generic):
        yield f"{value.dtype} {value.shape}".encode()
        yield b"" if value.dtype == object else value.tobytes()  # objects are only addresses
    elif isinstance(value, bool | int | float | complex | str | bytes):
        yield repr(value).encode()
    elif isinstance(value, Mapping | list | tuple | nn.Module) and id(value) not in seen:
        seen.add(id(value))
        items: Any = value
        if isinstance(value, nn.Module):  # in a plain list, where its owner's state dict lacks it
            items = {**value.state_dict(), **_held(value), **dict(value.named_children())}
        for key, item in items.items() if isinstance(items, Mapping) else enumerate(items):
            yield repr(key).encode()
            yield from _pieces(item, seen)
        # Only while inside, for those that hold themselves: ids are given again.
        seen.discard(id(value))
