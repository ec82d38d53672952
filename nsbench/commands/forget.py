"""`nsbench forget`: deletes the results of suites."""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from nsbench.commands.completion import complete_model, complete_suite
from nsbench.util.errors import ExitWith, NsbenchError
from nsbench.util.progress import say

FORGET_EXAMPLES = (
    "Examples:\n\n`nsbench forget runs/quickstart --suite digits-c`\n\n"
    "`nsbench forget resnet50 --suite imagenet-c imagenet-a --yes`"
)

Forgetful = Annotated[
    list[str],
    typer.Argument(
        help="Models: run folders, generations, folders of results, or names as for nsbench eval.",
        autocompletion=complete_model,
    ),
]


def forget(
    models: Forgetful,
    suite: Annotated[
        list[str], typer.Option(help="Suites by name.", autocompletion=complete_suite)
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, as in a script.")] = False,
) -> None:
    """Delete the results of suites, all their versions, after asking.

    To evaluate a suite again, nsbench eval --redo does both.
    """
    from nsbench.predictions import forget_results
    from nsbench.util.locks import only_writer_of

    homes = list(dict.fromkeys(home for name in models for home in _homes(name)))
    found = _found(homes, list(dict.fromkeys(suite)))
    if not yes:
        _ask(found)
    with only_writer_of([folder.parent for folder in found]):
        for folder in found:
            forget_results(folder)
            say(f"{folder} is deleted")


def _homes(name: str) -> list[Path]:
    """The folders of results of what a name stands for."""
    from nsbench.models.names import folders_of, results_of_timm, understood
    from nsbench.reporting.places import model_places
    from nsbench.run_folder import holds_models, place_in_seeds

    path = Path(name).expanduser()
    if holds_models(path) or place_in_seeds(path):
        return [folder / "results" for folder in folders_of(name)]
    known = understood(name)
    if known.kind in ("timm", "linear") and not path.is_dir():
        return [results_of_timm(known.name)]
    return [home for place in model_places([path]) for home in _homes_inside(place, path)]


def _homes_inside(place: Path, path: Path) -> list[Path]:
    # Of a folder that holds runs too, such as the working directory.
    return [place] if place == path else _homes(str(place))


def _found(homes: Sequence[Path], suites: Sequence[str]) -> list[Path]:
    """The folders of results of suites. Raises NsbenchError for a suite that none has."""
    from nsbench.util.config import nearest

    known = {folder.name for home in homes if home.is_dir() for folder in home.iterdir()}
    known = {name for name in known if not name.startswith(".")}
    for name in suites:
        if name not in known:
            held = nearest(name, sorted(known)) if known else ""
            where = ", ".join(map(str, homes))
            raise NsbenchError(f"there are no results of {name} in {where}{held}")
    return [folder for home in homes for name in suites if (folder := home / name).is_dir()]


def _ask(folders: Sequence[Path]) -> None:
    """Ask on the terminal whether to delete. Raises NsbenchError where nobody says yes."""
    if not (sys.stdin and sys.stdin.isatty()):
        raise NsbenchError(
            "forget asks before it deletes, and here is no terminal to ask on: add --yes"
        )
    width = shutil.get_terminal_size().columns
    for folder in folders:
        typer.echo(f"  {folder}" if len(str(folder)) < width - 2 else str(folder), err=True)
    try:
        agreed = typer.confirm("Delete these results?", err=True)
    except typer.Abort:
        # Ctrl-C, whose exit code is this; nothing was begun that could be continued.
        say("\nnsbench: nothing was deleted")
        raise ExitWith(130) from None
    if not agreed:
        raise NsbenchError("nothing was deleted")
