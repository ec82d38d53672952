"""`nsbench ls`: what there is to use, and what is here."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nsbench.commands.options import Data, JsonFile
from nsbench.util.errors import NsbenchError

if TYPE_CHECKING:
    from nsbench.reporting.tables import Table

LS_EXAMPLES = (
    "Examples:\n\n`nsbench ls`\n\n`nsbench ls models 'resnet*'`\n\n"
    "`nsbench ls suites imagenet`\n\n`nsbench ls runs`"
)
KINDS = ("suites", "recipes", "data", "runs", "models")


# What else they are called.
OTHER_KINDS = {"datasets": "data", "timm": "models", "results": "runs"}


def complete_kind(incomplete: str) -> list[str]:
    """What can be listed."""
    return [kind for kind in KINDS if kind.startswith(incomplete)]


def ls(
    what: Annotated[
        str | None,
        typer.Argument(
            help="suites, recipes, data, runs (and results here) or models (of timm); by default "
            "all but models.",
            autocompletion=complete_kind,
        ),
    ] = None,
    pattern: Annotated[
        str | None, typer.Argument(help="Part of a name, or a pattern with * and ?.")
    ] = None,
    data: Data = None,
    json: JsonFile = None,
) -> None:
    """List suites, recipes, data sets, models of timm, and the runs and results here."""
    from nsbench.data.catalog import set_roots
    from nsbench.reporting.tables import print_tables
    from nsbench.util.config import nearest
    from nsbench.util.likeness import most_alike

    meant = OTHER_KINDS.get(what or "", what)
    shown = [kind for kind in KINDS if meant in (kind, kind.removesuffix("s"))]
    if what is not None and not shown:
        raise NsbenchError(f"there is nothing called '{what}' to list{nearest(what, KINDS)}")
    set_roots(data)
    tables = [_table(kind, pattern) for kind in shown or KINDS[:-1]]
    if pattern is not None and not any(table.rows for table in tables):
        names = [name for kind in shown or KINDS[:-1] for name in _names(kind)]
        # The name itself, and not hundreds of them.
        meant = most_alike(pattern, sorted(names, key=len))
        near = f"; did you mean '{meant}'?" if meant else ""
        raise NsbenchError(f"there is nothing like '{pattern}' to list{near}")
    print_tables(tables, json)


def _table(kind: str, pattern: str | None) -> "Table":
    from nsbench.reporting.tables import Table

    names = {name: about for name, about in _names(kind).items() if _fits(name, pattern)}
    columns = ["name", "what it is"] if any(names.values()) else ["name"]
    rows = [[name, about] if len(columns) == 2 else [name] for name, about in names.items()]
    data = [{"kind": kind, "name": name} for name in names]
    return Table(f"{kind}: {len(names):,}", columns, rows, data, prose=True)


def _names(kind: str) -> dict[str, str]:
    if kind == "suites":
        from nsbench.suites.load import load_suite, shipped

        return {name: load_suite(name).metric_name for name in shipped()}
    if kind == "recipes":
        from nsbench.recipes import files

        heads = {name: path.read_text(encoding="utf-8") for name, path in files.shipped().items()}
        return {n: head.split("\n")[0].strip("# .") for n, head in heads.items()}
    if kind == "data":
        from nsbench.data.catalog import data_sets, find

        return {name: str(find(name) or "not found") for name in data_sets()}
    if kind == "models":
        from nsbench.models.timm_index import timm_index

        return dict.fromkeys(timm_index().pretrained, "")
    return _here()


def _here() -> dict[str, str]:
    """Runs and results below the working directory, where the commands put them by default."""
    from nsbench.run_folder import RESULTS, generation_folders, is_run, is_seeds, seed_runs
    from nsbench.util.progress import counted

    found = {}
    for path in sorted([*Path("runs").glob("*"), *Path().glob("*")]):
        if is_seeds(path):
            found[str(path)] = counted(len(seed_runs(path)), "seed")
        elif is_run(path):
            found[str(path)] = counted(len(generation_folders(path)), "generation")
    for path in sorted(RESULTS.glob("*")):
        suites = {file.parents[1].name for file in path.glob("*/*/suite.json")}
        if suites:
            found[str(path)] = f"results on {', '.join(sorted(suites))}"
    return found


def _fits(name: str, pattern: str | None) -> bool:
    from fnmatch import fnmatch

    if pattern is None:
        return True
    return fnmatch(name, pattern) if set(pattern) & set("*?[") else pattern.lower() in name.lower()
