"""The recipe that a command names, and the chosen variants of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nsbench.recipes.recipe import Recipe, load_recipe, load_variants
from nsbench.recipes.variants import chosen
from nsbench.run_folder import VARIANT, is_run, read_variant, recipe_text, variant_folders
from nsbench.util import distributed
from nsbench.util.errors import NsbenchError
from nsbench.util.sealed import update_record


class ChosenVariant(NamedTuple):
    """A variant to train: its index in the recipe's file, its name, its settings, its recipe."""

    number: int
    name: str
    set: list[str]
    recipe: Recipe


class Resolved(NamedTuple):
    """What a command trains: a recipe, into a folder, and variants beside it."""

    recipe: Recipe
    folder: Path
    variants: list[ChosenVariant]


def resolve(
    recipe: str | Recipe | None,
    *,
    settings: list[str] | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    variants: Sequence[str] | None = None,
) -> Resolved:
    """What `train` trains and `estimate` estimates, from what users write.

    recipe: a TOML file, the name of a shipped recipe, or a Recipe; with resume, the recipe in that
    run folder instead. Raises NsbenchError for a recipe, setting or variant that is unknown or
    wrong, and for a folder that cannot be resumed.
    """
    selected: list[ChosenVariant] = []
    if resume:
        out = Path(resume)
        if not is_run(out):
            raise NsbenchError(
                f"{out} holds no recipe.toml, so there is nothing to resume: name the folder of a "
                "run, or a recipe"
            )
        if variants is not None:
            selected = _of_run(out, variants)
        # The copy in the run folder: the file that it came from may have changed.
        recipe = run_recipe(out)
    elif variants is not None:
        if not isinstance(recipe, str):
            raise NsbenchError(
                "variants are part of a recipe's file: name that file, before the option"
            )
        selected = _of_recipe(recipe, settings, variants)
    if recipe is None:
        raise NsbenchError("name a recipe, or a run folder to continue by --resume")
    if isinstance(recipe, str):
        recipe = load_recipe(recipe, settings)
    return Resolved(recipe, Path(out) if out else Path("runs") / recipe.name, selected)


def run_recipe(run: Path) -> Recipe:
    """The recipe of a run folder. Raises NsbenchError if the file is not as it was written."""
    recipe_text(run)
    return load_recipe(str(run / "recipe.toml"))


def _of_recipe(
    recipe: str, settings: list[str] | None, names: Sequence[str]
) -> list[ChosenVariant]:
    """The requested variants of a recipe's file."""
    listed = load_variants(recipe, settings).values()
    known = [ChosenVariant(number, v.name, v.set, r) for number, (v, r) in enumerate(listed)]
    return _requested(known, names, recipe)


def _of_run(run: Path, names: Sequence[str]) -> list[ChosenVariant]:
    """The requested ones of the variants that a run was started with."""
    known = []
    for folder in variant_folders(run):
        about, recipe = read_variant(folder), run_recipe(folder)
        known.append(ChosenVariant(about["number"], folder.name, about["set"], recipe))
    return _requested(known, names, str(run))


def _requested(known: list[ChosenVariant], names: Sequence[str], where: str) -> list[ChosenVariant]:
    wanted = chosen(names, [variant.name for variant in known], where)
    return [variant for variant in known if variant.name in wanted]


def shares_teacher(variant: Recipe, base: Recipe) -> bool:
    """Whether the first generation of a variant is that of its recipe."""
    # Pseudo-labels are no part of it: the first generation learns from labeled images alone.
    of_variant, of_base = ((r.data, r.seed, r.generations[0]) for r in (variant, base))
    return of_variant == of_base


def write_variant(folder: Path, variant: ChosenVariant, shared: bool) -> None:
    """Record in the variant's folder what it is, for resuming it and for reports."""
    # Relative to that folder, so that a run and its variants can be moved together.
    teacher = "../../generation-0" if shared else None
    about = {"number": variant.number, "set": variant.set, "teacher": teacher}
    if distributed.is_main():
        update_record(folder / VARIANT, {"name": variant.name, **about})
    distributed.barrier()


def base_of(folder: Path) -> Path | None:
    """The run whose teacher a run folder shares, None for a run with its own.

    Raises NsbenchError if that run does not exist, or has no teacher yet.
    """
    path = folder / VARIANT
    teacher = read_variant(folder)["teacher"] if path.is_file() else None
    if teacher is None:
        return None
    first: Path = (folder.resolve() / teacher).resolve()
    if not (first / "model.json").is_file():
        raise NsbenchError(
            f"{folder} shares the teacher {first}, which is not there: train that run first, or "
            "move them together"
        )
    return first.parent
