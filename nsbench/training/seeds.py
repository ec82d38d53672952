"""The runs of a command: one, or those of several seeds side by side in one folder."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nsbench.recipes.identity import recipe_identity
from nsbench.recipes.recipe import Recipe
from nsbench.run_folder import (
    DIVERGED,
    SEED_FOLDER,
    SEEDS,
    divergence,
    is_run,
    is_seeds,
    read_seeds,
    seed_folder,
)
from nsbench.training.checks import holds_anything, is_begun, refuse_foreign
from nsbench.training.fit import Diverged
from nsbench.training.resolve import Resolved, resolve, run_recipe
from nsbench.training.run import Run
from nsbench.util import distributed
from nsbench.util.config import first_difference
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import counted, say
from nsbench.util.sealed import flaw, set_aside, update_record, write_record


class SeedsDiverged(NsbenchError):
    """Of several seeds some have diverged; the others are trained."""


class Plan(NamedTuple):
    """What a command trains. home: the folder of several seeds' run folders, None for one run."""

    home: Path | None
    runs: list[Resolved]

    @property
    def folder(self) -> Path:
        """What the command's user calls the run."""
        return self.home or self.runs[0].folder


def resolve_runs(
    recipe: str | Recipe | None,
    seeds: int | None = None,
    *,
    resume: str | Path | None = None,
    **options: Any,
) -> Plan:
    """The run of a recipe, or with `seeds` that many runs: of its seed and those that follow it.

    options: as for `resolve`. resume: also a folder of seeds, all of which it then stands for.
    Raises NsbenchError as `resolve` does, and for a variant that sets the seed.
    """
    if resume and is_seeds(Path(resume)):
        if seeds is not None:
            raise NsbenchError(
                f"{resume} goes on with the seeds that it has: to add some, name the recipe, "
                "--seeds and --out"
            )
        home = Path(resume)
        folders = [seed_folder(home, seed) for seed in read_seeds(home)["seeds"]]
        return Plan(home, [resolve(recipe, resume=folder, **options) for folder in folders])
    first = resolve(recipe, resume=resume, **options)
    if seeds is None:
        return Plan(None, [first])
    if resume or seeds < 1:
        problem = (
            f"{resume} is the run of one seed"
            if resume
            else f"seeds is {seeds}, but must be at least 1"
        )
        raise NsbenchError(f"{problem}: name a recipe, and how many seeds to train")
    numbers = range(first.recipe.seed, first.recipe.seed + seeds)
    return Plan(first.folder, [_of_seed(recipe, n, first.folder, options) for n in numbers])


def _of_seed(
    recipe: str | Recipe | None, seed: int, home: Path, options: dict[str, Any]
) -> Resolved:
    settings = [*(options.get("settings") or []), f"seed={seed}"]
    if isinstance(recipe, Recipe):
        recipe = recipe.model_copy(update={"seed": seed})
    out = seed_folder(home, seed)
    resolved = resolve(recipe, **{**options, "settings": settings, "out": out})
    fixed = [one.name for one in resolved.beside if one.recipe.seed != seed]
    if fixed:
        raise NsbenchError(
            f"the variant '{fixed[0]}' sets the seed, which --seeds varies: leave one of them out"
        )
    return resolved


def refuse_others(plan: Plan) -> None:
    """Raise NsbenchError if the folders of the runs are something else, or have diverged."""
    home = plan.home
    aside = home and any(home.glob(f"{SEEDS}.set-aside-*"))  # as `_earlier` leaves a damaged one
    if home and is_run(home):
        raise NsbenchError(f"{home} is the run of one seed: choose another folder by --out or out=")
    if home and not is_seeds(home) and not aside and holds_anything(home):
        raise NsbenchError(
            f"{home} exists and is not a folder of seeds: choose another by --out or out="
        )
    for one in plan.runs:
        refuse_foreign(one.folder)
        # Seeds tell it at the end. One by itself would be tried until it suits somebody.
        beside = [one.folder / other.home / other.name for other in one.beside]
        for folder in (one.folder, *beside) if home is None else ():
            if what := divergence(folder):
                raise NsbenchError(
                    f"{what}, as {folder / DIVERGED} says: move {folder} away to train it again"
                )


def record_seeds(plan: Plan) -> None:
    """Write which seeds of which recipe a folder holds; called by the main process.

    Raises NsbenchError if it holds those of another recipe.
    """
    if plan.home is None:
        return
    recipe = plan.runs[0].recipe
    own = recipe_identity(recipe, with_seed=False)
    earlier = _earlier(plan.home)
    for seed in earlier:
        changed = first_difference(_identity_of(seed_folder(plan.home, seed)) or own, own)
        if changed:
            raise NsbenchError(
                f"{plan.home} holds seeds of another recipe ({changed}): choose another folder "
                "by --out or out=, or move that one away"
            )
    seeds = sorted({*earlier, *(one.recipe.seed for one in plan.runs)})
    update_record(plan.home / SEEDS, {"name": recipe.name, "recipe": own, "seeds": seeds})


def _earlier(home: Path) -> list[int]:
    """The seeds that a folder holds."""
    path = home / SEEDS
    if path.exists() and (problem := flaw(path)):
        # Each run knows what it is of, and is compared with that.
        set_aside(path, problem)
    if path.exists():
        known: list[int] = read_seeds(home)["seeds"]
        return known
    named = [(SEED_FOLDER.fullmatch(folder.name), folder) for folder in home.iterdir()]
    return [int(match[1]) for match, folder in named if match and is_run(folder)]


def _identity_of(run: Path) -> dict[str, Any] | None:
    """The recipe of a run but for its seed; None where nothing depends on it so far.

    None too where it is damaged: then each generation is compared with what it was trained from.
    """
    if not is_begun(run) and not divergence(run):
        return None
    try:
        return recipe_identity(run_recipe(run), with_seed=False)
    except NsbenchError:
        return None


def train_seeds(
    plan: Plan, prepared: Sequence[Sequence[Run]], train: Callable[[Run], None]
) -> None:
    """Train the runs of all seeds, each with those beside it.

    Where one diverges, the others are trained all the same, as they say how a recipe does; it is
    recorded, since a seed that is left out or tried again makes a recipe look better than it is.
    Raises SeedsDiverged at the end if any has diverged, now or before.
    """
    diverged = [what for runs in prepared for what in _diverged(runs, train)]
    if diverged:
        raise SeedsDiverged(
            f"{'; '.join(diverged)}: {counted(len(diverged), 'training')} diverged, the others are "
            f"in {plan.folder}; lower lr, raise warmup or set clip_norm, and choose another folder "
            "by --out or out="
        )


def _diverged(runs: Sequence[Run], train: Callable[[Run], None]) -> list[str]:
    """Train a run and those beside it. Returns how those diverged that did."""
    found = []
    for number, run in enumerate(runs):
        # The main process's word: others may see a file later.
        what = distributed.broadcast(divergence(run.folder))
        if not what:
            try:
                train(run)
            except Diverged as error:
                what = error.what
                say(f"{error}; it is recorded, and what can be trained without it is")
                if distributed.is_main():
                    write_record(run.folder / DIVERGED, {"sentence": what})
                distributed.barrier()
        if what:
            found.append(what)
            if not number:  # what is beside a run learns from its teachers
                break
    return found
