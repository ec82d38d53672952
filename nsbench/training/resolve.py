"""The recipe that a command names, and the chosen variants of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nsbench.recipes.recipe import Recipe, load_controls, load_recipe, load_variants
from nsbench.recipes.variants import chosen
from nsbench.run_folder import (
    VARIANT,
    control_folders,
    is_run,
    read_variant,
    recipe_text,
    variant_folders,
)
from nsbench.util.errors import NsbenchError
from nsbench.util.sealed import update_record

ABOUT = ("set", "kind", "generation")
"""Keys of a record that say what a variant or a control is."""


class Beside(NamedTuple):
    """A variant or a control to train.

    home: `variants` or `controls`, the folder of its folder. number: its index in the recipe's
    file. about: what it is, as its record says: the settings of a variant, the kind and generation
    of a control.
    """

    home: str
    number: int
    name: str
    about: dict[str, Any]
    recipe: Recipe


class Resolved(NamedTuple):
    """What a command trains: a recipe, into a folder, and controls and variants beside it."""

    recipe: Recipe
    folder: Path
    beside: list[Beside]


def resolve(
    recipe: str | Recipe | None,
    *,
    settings: list[str] | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    variants: Sequence[str] | None = None,
    controls: Sequence[str] | None = None,
) -> Resolved:
    """What `train` trains and `estimate` estimates, from what users write.

    recipe: a TOML file, the name of a shipped recipe, or a Recipe; with resume, the recipe in that
    run folder instead. Raises NsbenchError for a recipe, setting, control or variant that is
    unknown or wrong, and for a folder that cannot be resumed.
    """
    selected: list[Beside] = []
    requested = [("controls", controls), ("variants", variants)]
    wanted = [(home, names) for home, names in requested if names is not None]
    refuse_beside_resume(resume, recipe=recipe, out=out, settings=settings)
    if resume:
        out = Path(resume)
        if not is_run(out):
            raise NsbenchError(
                f"{out} holds no recipe.toml, so there is nothing to resume: name the folder of a "
                "run, or a recipe"
            )
        selected = [one for home, names in wanted for one in _of_run(out, home, names)]
        # The copy in the run folder: the file that it came from may have changed.
        recipe = run_recipe(out)
    elif wanted:
        if not isinstance(recipe, str):
            raise NsbenchError(
                f"{wanted[0][0]} are part of a recipe's file: name that file, before the option"
            )
        selected = [
            one for home, names in wanted for one in _of_recipe(recipe, settings, home, names)
        ]
    if recipe is None:
        raise NsbenchError("name a recipe, or a run folder to continue by --resume")
    if isinstance(recipe, str):
        recipe = load_recipe(recipe, settings)
    return Resolved(recipe, Path(out) if out else Path("runs") / recipe.name, selected)


def refuse_beside_resume(resume: object, **others: object) -> None:
    """Raise NsbenchError for what a resumed run has of its own: a recipe, a folder, settings."""
    # An empty list of settings changes nothing.
    named = [name for name, value in others.items() if value]
    if resume and named:
        raise NsbenchError(
            f"resume goes on with the recipe and in the folder of {resume}: leave out {named[0]}, "
            "or leave out resume"
        )


def run_recipe(run: Path) -> Recipe:
    """The recipe of a run folder. Raises NsbenchError if the file is not as it was written."""
    recipe_text(run)
    return load_recipe(str(run / "recipe.toml"))


def _of_recipe(
    recipe: str, settings: list[str] | None, home: str, names: Sequence[str]
) -> list[Beside]:
    """The requested variants or controls of a recipe's file."""
    if home == "controls":
        known = [
            Beside(home, n, c.folder, {"kind": c.kind, "generation": c.generation}, r)
            for n, (c, r) in enumerate(load_controls(recipe, settings).values())
        ]
    else:
        known = [
            Beside(home, n, v.name, {"set": v.set}, r)
            for n, (v, r) in enumerate(load_variants(recipe, settings).values())
        ]
    return _requested(known, names, recipe, home)


def _of_run(run: Path, home: str, names: Sequence[str]) -> list[Beside]:
    """The requested ones of the variants or controls that a run was started with."""
    known = []
    for folder in control_folders(run) if home == "controls" else variant_folders(run):
        record = read_variant(folder)
        about: dict[str, Any] = {key: record[key] for key in ABOUT if key in record}
        known.append(Beside(home, record["number"], folder.name, about, run_recipe(folder)))
    return _requested(known, names, str(run), home)


def _requested(known: list[Beside], names: Sequence[str], where: str, home: str) -> list[Beside]:
    wanted = chosen(names, [one.name for one in known], where, home)
    return [one for one in known if one.name in wanted]


def shares_teacher(variant: Recipe, base: Recipe) -> bool:
    """Whether the first generation of a variant is that of its recipe."""
    # Nothing of unlabeled images is part of it: it learns from labeled ones alone.
    alone = {"unlabeled": None, "unlabeled_imbalance": None}
    of_variant, of_base = (
        (r.data.model_copy(update=alone), r.seed, r.generations[0]) for r in (variant, base)
    )
    return of_variant == of_base


def write_variant(folder: Path, one: Beside, shared: bool) -> None:
    """Record in the folder of a variant or a control what it is, to resume it and for reports."""
    from nsbench.util import distributed  # torch, without which a recipe can be resolved

    # Relative to that folder, so that a run and its variants can be moved together.
    teacher = "../../generation-0" if shared else None
    about = {"number": one.number, **one.about, "teacher": teacher}
    if distributed.is_main():
        update_record(folder / VARIANT, {"name": one.name, **about})
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
