"""TOML files into validated settings, with errors a person can act on."""

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import tomli_w
from pydantic import BaseModel, ConfigDict, ValidationError

# Its only name: __init__ would be called for nested tables too, whose errors belong to the whole.
from pydantic._internal._model_construction import ModelMetaclass

from nsbench.util.errors import ArgumentError, NsbenchError
from nsbench.util.files import read_utf8, why_unread
from nsbench.util.likeness import most_alike


class _OneSentence(ModelMetaclass):
    """Of settings that Python code makes: what is wrong is one sentence too."""

    def __call__(cls, *args: Any, **keys: Any) -> Any:
        try:
            return super().__call__(*args, **keys)
        except ValidationError as error:
            # ValueError too, as pydantic's own: a validator may make settings inside others.
            kind: Any = cls
            raise ArgumentError(f"{cls.__name__}: {_explain(kind, error, {})}") from error


if TYPE_CHECKING:  # for which each class is called with the keys of its own
    _Base = BaseModel
else:

    class _Base(BaseModel, metaclass=_OneSentence):
        pass


class Config(_Base):
    """Base of every settings class: unknown keys and wrong types are refused."""

    # strict: TOML has types, and "3" for 3 is a mistake that would otherwise go unseen
    # attribute docstrings: what `nsbench recipes --keys` prints of each key
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


HASH = re.compile("[0-9a-f]{64}")
"""A SHA-256 as JSON holds it."""

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""What names of suites, recipes and their parts are: they are names of folders too."""

_MADE_OF = "must be of letters, digits, '.', '_' and '-', and begin with one of the first two"

C = TypeVar("C", bound=Config)


def read_toml(path: Path) -> dict[str, Any]:
    """The table in a TOML file. Raises NsbenchError if it is missing or not TOML."""
    try:
        return parsed_toml(read_utf8(path))
    except OSError as error:
        raise NsbenchError(f"cannot read {path}: {why_unread(error, path)}") from error
    except ValueError as error:
        raise NsbenchError(f"{path} is not valid TOML: {error}") from error


def read_named(path: Path) -> dict[str, Any]:
    """The table in a TOML file, with a name: that of the file, unless it says otherwise.

    Raises NsbenchError as `read_toml`, and for a file whose name cannot be that of what it holds.
    """
    table = {"name": path.stem, **read_toml(path)}
    if table["name"] == path.stem and not re.fullmatch(NAME, path.stem):
        raise NsbenchError(
            f"{path} names what it holds, and a name {_MADE_OF}: rename the file, or give it a key "
            "'name'"
        )
    return table


def parsed_toml(text: str) -> dict[str, Any]:
    """A table in TOML. Raises ValueError for anything else."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("its brackets are too deep") from error


def parse(
    kind: type[C], data: Mapping[str, Any], where: str, elsewhere: Mapping[str, str] | None = None
) -> C:
    """Validate `data` as `kind`; `where` names the file in the error.

    elsewhere: keys that stand in another place of the file, each with its whole path, which an
    unknown key may be meant to be. Raises NsbenchError naming the first offending key, and the
    nearest valid key if it is unknown.
    """
    try:
        return kind.model_validate(dict(data))
    except ValidationError as error:
        raise NsbenchError(f"{where}: {_explain(kind, error, elsewhere or {})}") from error


def _explain(kind: type[BaseModel], error: ValidationError, elsewhere: Mapping[str, str]) -> str:
    # one sentence names one thing to mend; the next error comes with the next try
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys_at(kind, first["loc"])
        return f"unknown key '{key}'{nearest_key(str(first['loc'][-1]), known, elsewhere)}"
    if first["type"] == "missing":
        return f"the key '{key}' is missing"
    if first["type"] == "literal_error" and isinstance(first["input"], str):
        names = re.findall("'([^']*)'", first["ctx"]["expected"])
        return f"the key '{key}' is '{first['input']}'{nearest(first['input'], names)}"
    # pydantic's prefix for errors that a validator of ours raised
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if first["type"] in ("too_short", "too_long"):
        about = first["ctx"]
        bound = next(about[key] for key in ("min_length", "max_length") if key in about)
        limit = "at least" if first["type"] == "too_short" else "at most"
        message = f"must have {limit} {bound} values, and has {about['actual_length']}"
    if first.get("ctx", {}).get("pattern") == NAME:
        message = _MADE_OF
    # How pydantic puts it, for programmers.
    message = re.sub("^input should ", "must ", message).partition(", unable to parse")[0]
    if not key:
        return message
    return f"the key '{key}' is {first['input']!r}, but {message}"


def nearest_key(name: str, valid: Iterable[str], elsewhere: Mapping[str, str]) -> str:
    """As `nearest`, of the keys of a table and, told by their whole path, of those elsewhere."""
    known = list(valid)
    found = most_alike(name, [*known, *elsewhere])
    if found in known or found is None:
        return nearest(name, known)
    return f"; did you mean '{elsewhere[found]}'?"


def nearest(name: str, valid: Iterable[str]) -> str:
    """A clause that offers the name that was meant, or lists all of them where none is near.

    valid: the most usual names first, which goes where several are as near.
    """
    names = list(dict.fromkeys(valid))
    if meant := most_alike(name, names):
        return f"; did you mean '{meant}'?"
    # a list of hundreds of architectures would bury the sentence
    return f"; valid are {', '.join(sorted(names))}" if len(names) <= 30 else ""


def refuse_unknown(what: str, names: Iterable[str], valid: Collection[str]) -> None:
    """Raise NsbenchError for the first name that is not valid, with the nearest one.

    what: what the names are of, such as `corruption`.
    """
    for name in names:
        if name not in valid:
            raise NsbenchError(f"there is no {what} '{name}'{nearest(name, valid)}")


def _keys_at(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    for part in location[:-1]:
        field = kind.model_fields.get(str(part))
        inner = _model_in(field.annotation) if field else None
        kind = inner or kind
    return list(kind.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    models = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in models if model), None)


def apply_settings(data: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Apply `key=value` settings (dotted keys, list indices, TOML values) to a raw table, in place.

    Raises NsbenchError for a setting without `=` or a path that does not lead anywhere.
    """
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key:
            raise NsbenchError(f"--set {setting}: write key=value, for example --set seed=1")
        _assign(data, key.split("."), _toml_value(text), setting)
    return data


def as_settings(settings: Mapping[str, Any] | Sequence[str] | None) -> list[str]:
    """Settings as a list of `key=value`, also of a mapping of keys, dotted or nested, to values.

    Raises NsbenchError for a value that TOML has no type for.
    """
    if settings is None or not isinstance(settings, Mapping):
        return list(settings or [])
    found = []
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found += as_settings({f"{key}.{inner}": item for inner, item in value.items()})
            continue
        try:
            # NumPy's numbers are none of TOML's, and say the same.
            plain = value.item() if hasattr(value, "item") and hasattr(value, "dtype") else value
            written = tomli_w.dumps({"value": plain})
        except TypeError as error:
            raise NsbenchError(
                f"the setting {key} is {value!r}, which a recipe cannot hold: give a number, a "
                "text, true or false, a list or a mapping"
            ) from error
        found.append(f"{key}={written.removeprefix('value = ').rstrip()}")
    return found


def _toml_value(text: str) -> Any:
    try:
        # TOML's own types, so that a setting means what the same text means in the file
        return parsed_toml(f"value = {text}")["value"]
    except ValueError:
        return text


def _assign(target: Any, path: list[str], value: Any, setting: str) -> None:
    try:
        for part in path[:-1]:
            target = target[int(part)] if isinstance(target, list) else target.setdefault(part, {})
        if isinstance(target, list):
            target[int(path[-1])] = value
        else:
            target[path[-1]] = value
    except (ValueError, IndexError, TypeError, AttributeError) as error:
        raise NsbenchError(f"--set {setting}: there is no such key to set") from error


def first_difference(old: Any, new: Any, key: str = "") -> str | None:
    """Where two JSON-like values differ, as `lr is 0.5, was 0.1`; None where they are equal."""
    pairs: list[tuple[str, Any, Any]]
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = [(name, old.get(name), new.get(name)) for name in {**old, **new}]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(str(row), *pair) for row, pair in enumerate(zip(old, new, strict=True))]
    elif old == new:
        return None
    elif all(isinstance(value, str) and HASH.fullmatch(value) for value in (old, new)):
        # Hashes, which nobody can read: `other images`, `another protocol`.
        return f"{'other' if key.endswith('s') else 'another'} {key}"
    else:
        return f"{key} is {_cut(new)}, was {_cut(old)}"
    found = (first_difference(a, b, f"{key}.{name}".strip(".")) for name, a, b in pairs)
    return next(filter(None, found), None)


def _cut(value: Any) -> str:
    # Hashes and long tables only by their beginning, so that the sentence stays one.
    text = str(value)
    return f"{text[:16]}…" if len(text) > 40 else text
