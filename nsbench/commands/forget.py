"""`nsbench forget`: delete the results of a suite."""

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from nsbench.commands.options import Runs
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import counted, say

FORGET_EXAMPLES = (
    "Examples:\n\n`nsbench forget runs/quickstart --suite digits-c`\n\n"
    "`nsbench forget results/timm-resnet50 --suite imagenet-1k imagenet-a --yes`"
)


def forget(
    runs: Runs,
    suite: Annotated[list[str], typer.Option(help="Names of suites, as they were evaluated.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
) -> None:
    """Delete what models answered on some suites. `nsbench eval --redo` makes it anew instead."""
    found = {name: _results(runs, name) for name in suite}
    for name, folders in found.items():
        if not folders:
            raise NsbenchError(f"{runs[0]} has no results on {name}: nothing is deleted")
    every = [folder for folders in found.values() for folder in folders]
    for folder in every:
        say(f"results in {folder}")
    if not yes:
        if not sys.stdin.isatty():
            raise NsbenchError("nobody can be asked here: add --yes to delete these results")
        if not typer.confirm(f"delete {counted(len(every), 'folder')} of results?"):
            raise NsbenchError("nothing is deleted")
    from nsbench.util.locks import only_writer_of

    with only_writer_of([folder.parent for folder in every]):
        for folder in every:
            shutil.rmtree(folder)
    say(f"{counted(len(every), 'folder')} of results deleted")


def _results(runs: list[Path], suite: str) -> list[Path]:
    """The folders of a suite's results under run folders and folders of results."""
    # A suite's folder holds one for each way in which it was evaluated, with a suite.json in it.
    manifests = {path for run in runs for path in run.glob(f"**/{suite}/*/suite.json")}
    return sorted({path.parents[1] for path in manifests})
