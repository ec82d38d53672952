"""The keys of recipes and suites, from the docstrings of their fields."""

import inspect
import re
from typing import Any

from pydantic.fields import FieldInfo

from nsbench.data.spec import SourceSpec
from nsbench.recipes.controls import Control
from nsbench.recipes.generation import Generation
from nsbench.recipes.parts import Data, FineTune, PseudoLabels, UnlabeledNoise
from nsbench.recipes.recipe import Recipe
from nsbench.recipes.variants import Variant
from nsbench.reporting.tables import Table
from nsbench.suites.base import SizedSuite, Suite
from nsbench.suites.load import kinds
from nsbench.util.config import Config

RECIPE: dict[str, type[Config]] = {
    "a recipe": Recipe,
    "[data]": Data,
    "[pseudo_labels]": PseudoLabels,
    "[[generations]], and [defaults] for all of them": Generation,
    "[generations.unlabeled_noise]": UnlabeledNoise,
    "[generations.fine_tune]": FineTune,
    "[[controls]]": Control,
    "[[variants]]": Variant,
    "a source, as in data.labeled": SourceSpec,
}
"""The tables of a recipe, each with the class that holds its keys."""


def recipe_key_tables() -> list[Table]:
    """A table of the keys of each table of a recipe."""
    return [_table(title, kind, []) for title, kind in RECIPE.items()]


def suite_key_tables() -> list[Table]:
    """The keys of all suites, of those that change pixels, and of each kind; and of sources."""
    tables = [
        _table("every suite", Suite, []),
        _table("suites that change pixels", SizedSuite, list(Suite.model_fields)),
    ]
    for name, kind in kinds().items():
        above = SizedSuite if issubclass(kind, SizedSuite) else Suite
        # What a kind narrows is told again, as the sizes of sequences.
        same = [key for key in above.model_fields if _same(kind, above, key)]
        tables.append(_table(f"kind = {name}", kind, same))
    return [*tables, _table("a source", SourceSpec, [])]


def _same(kind: type[Config], above: type[Config], key: str) -> bool:
    return kind.model_fields[key].annotation == above.model_fields[key].annotation


def _table(title: str, kind: type[Config], without: list[str]) -> Table:
    fields = {key: field for key, field in kind.model_fields.items() if key not in without}
    rows = [[key, _default(field), _about(field)] for key, field in fields.items()]
    data = [
        {"key": key, "default": default, "range": _range(fields[key]), "about": about}
        for key, default, about in rows
    ]
    return Table(f"keys of {title}", ["key", "default", "what it is"], rows, data, prose=True)


def _about(field: FieldInfo) -> str:
    limits = _range(field)
    text = inspect.cleandoc(field.description or "").replace("\n", " ")
    return f"{text} {limits}.".strip() if limits else text


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value: Any = field.get_default(call_default_factory=True)
    if value is None or value in ({}, []) or isinstance(value, Config):
        return ""
    if isinstance(value, list) and len(value) > 5:
        return f"{len(value)} names"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text or '""'


SIGNS = {"ge": "from {}", "gt": "above {}", "le": "to {}", "lt": "below {}"}
"""How limits of numbers read."""


def _range(field: FieldInfo) -> str:
    """The limits of a number, as `From 0 below 1`; empty without any."""
    pairs = ((sign, item) for item in field.metadata for sign in SIGNS if hasattr(item, sign))
    limits = {sign: getattr(item, sign) for sign, item in pairs}
    words = " ".join(SIGNS[sign].format(f"{limits[sign]:g}") for sign in SIGNS if sign in limits)
    return re.sub("^.", lambda first: first[0].upper(), words)
