"""`nsbench leaderboard`."""

from pathlib import Path
from typing import Annotated

import typer

import nsbench
from nsbench.commands.options import Across, JsonFile, Runs, SortBy
from nsbench.commands.report import print_report
from nsbench.util.progress import say

LEADERBOARD_EXAMPLES = (
    "Examples:\n\n`nsbench leaderboard results --out leaderboard.html`\n\n"
    "`nsbench leaderboard runs/quickstart results/timm-resnet50.a1_in1k --sort imagenet-c`"
)


def leaderboard(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("leaderboard.html"),
    sort: SortBy = None,
    title: Annotated[str | None, typer.Option(help="Of the page.")] = None,
    across: Across = None,
    json: JsonFile = None,
) -> None:
    """Write one sortable page of many models, ranked on every suite where they can be told apart.

    Models share a rank unless one is significantly better on the same images. Published results
    stand in a group of their own, without ranks. Reads stored predictions, as nsbench report does.
    """
    tables = nsbench.write_leaderboard(runs, out, sort=sort, title=title, across=across or ())
    print_report(tables, json)
    say(f"the leaderboard is {out}")
