"""Which recipe, and which variants of it, a command is about."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nsbench.recipes.recipe import Recipe, load_recipe, load_variants
from nsbench.recipes.variants import chosen
from nsbench.run_folder import VARIANT, is_run, variant_folders
from nsbench.util import distributed
from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_json, write_json


class Chosen(NamedTuple):
    """A variant to train: its place in the recipe's file, its name, its settings, its recipe."""

    number: int
    name: str
    set: list[str]
    recipe: Recipe


def variants_of(
    recipe: str | Recipe | None,
    settings: list[str] | None,
    resume: str | Path | None,
    names: Sequence[str],
) -> list[Chosen]:
    """The variants that `train` would train. Raises NsbenchError as it does."""
    if resume:
        return of_run(Path(resume), names)
    if isinstance(recipe, str):
        return of_recipe(recipe, settings, names)
    raise NsbenchError("variants stand in the file of a recipe: name that file, before the option")


def recipe_of(folder: Path) -> str:
    """The recipe in a run folder. Raises NsbenchError if it is none."""
    if not is_run(folder):
        raise NsbenchError(
            f"{folder} holds no recipe.toml, so there is nothing to resume: name the folder of a "
            "run, or a recipe"
        )
    return str(folder / "recipe.toml")


def of_recipe(recipe: str, settings: list[str] | None, names: Sequence[str]) -> list[Chosen]:
    """The variants of a recipe's file that were asked for. Raises NsbenchError for unknown ones."""
    found = load_variants(recipe, settings).values()
    known = [Chosen(number, v.name, v.set, changed) for number, (v, changed) in enumerate(found)]
    return _asked(known, names, recipe)


def of_run(run: Path, names: Sequence[str]) -> list[Chosen]:
    """The same of those that a run was begun with. Raises NsbenchError for unknown ones."""
    known = []
    for folder in variant_folders(run):
        about, recipe = read_json(folder / VARIANT), load_recipe(str(folder / "recipe.toml"))
        known.append(Chosen(about["number"], folder.name, about["set"], recipe))
    return _asked(known, names, str(run))


def _asked(known: list[Chosen], names: Sequence[str], where: str) -> list[Chosen]:
    wanted = chosen(names, [variant.name for variant in known], where)
    return [variant for variant in known if variant.name in wanted]


def shares_teacher(variant: Recipe, base: Recipe) -> bool:
    """Whether the first generation of a variant is that of its recipe."""
    first, other = ((recipe.data, recipe.seed, recipe.generations[0]) for recipe in (variant, base))
    return first == other


def describe_variant(folder: Path, variant: Chosen, shared: bool) -> None:
    """Tell in the variant's folder what it is. The teacher's place counts from that folder."""
    teacher = "../../generation-0" if shared else None
    about = {"number": variant.number, "set": variant.set, "teacher": teacher}
    if distributed.is_main():
        write_json(folder / VARIANT, {"name": variant.name, **about})
    distributed.barrier()


def base_of(folder: Path) -> Path | None:
    """The run whose teacher a run folder shares, None for a run with its own.

    Raises NsbenchError if that run is not there, or has no teacher yet.
    """
    path = folder / VARIANT
    teacher = read_json(path)["teacher"] if path.is_file() else None
    if teacher is None:
        return None
    first: Path = (folder.resolve() / teacher).resolve()
    if not (first / "model.json").is_file():
        raise NsbenchError(
            f"{folder} shares the teacher {first}, which is not there: train that run first, or "
            "move them together"
        )
    return first.parent
