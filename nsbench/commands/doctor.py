"""`nsbench doctor`: a check of nsbench on this machine's device."""

import math
from pathlib import Path
from typing import Annotated

import typer

from nsbench.commands.options import Device
from nsbench.util.errors import ExitWith, NsbenchError

DOCTOR_EXAMPLES = (
    "Examples:\n\n`nsbench doctor --minutes 9 --json h100.json`\n\n"
    "`nsbench doctor --only environment pixels draws`\n\n"
    "`nsbench doctor --device cpu --tiny`\n\n"
    "`nsbench doctor --page reports/speed`"
)


def doctor(
    device: Device = None,
    minutes: Annotated[
        float | None, typer.Option(help="For all steps together; by default 9.")
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Also write what is found here, step by step.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Names of steps; by default all.")] = None,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="Small sizes, to prove the check itself.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="A folder for what is found and the log; by default doctor.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="Check nothing: make README.md of the JSON files in this folder."),
    ] = None,
) -> None:
    """Check nsbench on a GPU: pixels, speeds, memory, training, step by step.

    The steps with the most value come first. One that hangs or crashes costs only itself. Without
    a GPU, and without --device, the sizes are tiny.

    Exit code 0: all that was checked is right. 1: something is wrong. 3: nothing is wrong, but some
    step had too little time. 2: bad input.
    """
    if page is not None:
        if any((device, minutes, json, only, tiny, out)):
            raise NsbenchError("--page only makes a page: leave out the other options")
        from nsbench.reporting.speed_page import write_page

        print(f"{write_page(page)} is written")
        return
    if minutes is not None and not (math.isfinite(minutes) and minutes > 0):
        raise NsbenchError(f"--minutes is {minutes}: give a number above 0, such as 9 or 0.5")
    _check(device, minutes, json, only, tiny, out)


def _check(
    device: str | None,
    minutes: float | None,
    json: Path | None,
    only: list[str] | None,
    tiny: bool,
    out: Path | None,
) -> None:
    from nsbench.bench.doctor_steps import STEPS
    from nsbench.util.config import refuse_unknown

    refuse_unknown("step", only or (), [step.name for step in STEPS])  # before torch is imported

    import torch

    from nsbench.bench.doctor import MINUTES, Check, run_doctor
    from nsbench.reporting.layout import print_sentence
    from nsbench.util.progress import say

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        tiny = tiny or device == "cpu"
    folder = Path("doctor") if out is None else out
    check = Check(device, folder, tiny, minutes or MINUTES, only, json)
    result = run_doctor(check, lambda step: print_sentence(step.line))
    for step in result.steps:
        for goal in step.goals:
            print_sentence(goal.line)
    say(f"the figures are in {folder / 'doctor.json'}, what the steps print in worker.log")
    print_sentence(result.summary)
    if result.exit_code:
        raise ExitWith(result.exit_code)
