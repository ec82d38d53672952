"""Variants of a recipe: what an ablation changes, as data."""

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from pydantic import Field

from nsbench.util.config import NAME, Config, apply_settings, nearest, parse
from nsbench.util.errors import NsbenchError

ALL = "all"
"""The name that stands for every variant."""


class Variant(Config):
    """A change of a recipe that is trained beside it."""

    name: str = Field(pattern=NAME)
    """The name of its folder, RUN/variants/NAME."""
    set: list[str] = Field(min_length=1)
    """`key=value` settings as `--set` takes them, applied to the recipe's file before [defaults]
    reach the generations, and after those of the command."""
    generations: int | None = Field(default=None, ge=1)
    """How many of the recipe's generations it has, by default all; 2 is a teacher and one student,
    without iteration, as in table 6 of the paper."""


class _Variants(Config):
    variants: list[Variant] = Field(default_factory=list)


def take_variants(table: dict[str, Any], where: str) -> list[Variant]:
    """Take the variants out of the raw table of a recipe.

    Raises NsbenchError if one is malformed, or two have the same name.
    """
    listed = {"variants": table.pop("variants")} if "variants" in table else {}
    variants = parse(_Variants, listed, where).variants
    # The names are folders, and some file systems hold `A` and `a` for one.
    repeated = [n for n, count in Counter(v.name.lower() for v in variants).items() if count > 1]
    if repeated:
        raise NsbenchError(f"{where}: two variants are named '{repeated[0]}': rename one of them")
    return variants


def varied(table: dict[str, Any], variant: Variant, where: str) -> dict[str, Any]:
    """The raw table of a variant of a recipe. Raises NsbenchError for a wrong setting."""
    changed = deepcopy(table)  # which other variants start from as well
    try:
        apply_settings(changed, variant.set)
    except NsbenchError as error:
        raise NsbenchError(f"{where}: {error}") from error
    # Loggers group runs by the recipe's name.
    changed["name"] = f"{table['name']}-{variant.name}"
    generations = changed.get("generations")
    if variant.generations and isinstance(generations, list):
        changed["generations"] = generations[: variant.generations]
    return changed


def chosen(
    names: Sequence[str], known: Sequence[str], where: str, kind: str = "variants"
) -> list[str]:
    """The requested ones, in the order of `known`; `all` requests every one.

    kind: `variants` or `controls`. Raises NsbenchError if there are none, or none of a requested
    name.
    """
    if not known:
        raise NsbenchError(
            f"{where} has no {kind}: add a table [[{kind}]], or leave out the option"
        )
    unknown = [name for name in names if name not in (ALL, *known)]
    if unknown:
        near = nearest(unknown[0], known)
        raise NsbenchError(f"{where} has no {kind.removesuffix('s')} '{unknown[0]}'{near}")
    return [name for name in known if ALL in names or name in names]
