"""`nsbench train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

import nsbench
from nsbench.commands.completion import complete_recipe
from nsbench.commands.options import Data, Device, DryRun, JsonFile, Seeds
from nsbench.util.progress import say

TRAIN_EXAMPLES = (
    "Examples:\n\n`nsbench train quickstart`\n\n"
    "`nsbench train my.toml --set seed=1 generations.1.epochs=50 --out runs/seed-1`\n\n"
    "`nsbench train imagenet-b0 --data /data --dry-run --devices 8`\n\n"
    "`nsbench train quickstart --controls`\n\n"
    "`nsbench train quickstart --seeds 3 --controls labeled-only --out runs/quickstart-seeds`\n\n"
    "`nsbench train quickstart --variants no-noise hard-labels`"
)


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="A TOML file, or the name of a shipped recipe.", autocompletion=complete_recipe
        ),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key=value settings, dotted keys.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder, by default runs/NAME.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="A run folder to continue, by the recipe in it.")
    ] = None,
    dry_run: DryRun = False,
    devices: Annotated[int, typer.Option(min=1, help="Devices that --dry-run counts on.")] = 1,
    variants: Annotated[
        list[str] | None,
        typer.Option(help="Also train these variants of the recipe; without a name, all of them."),
    ] = None,
    controls: Annotated[
        list[str] | None,
        typer.Option(help="Also train these controls of the recipe; without a name, all of them."),
    ] = None,
    seeds: Seeds = None,
    data: Data = None,
    device: Device = None,
    json: JsonFile = None,
) -> None:
    """Train the generations of a recipe.

    Repeat the command after an interruption: finished generations are kept, and one that was
    interrupted goes on from its last checkpoint. Several GPUs:
    `torchrun --nproc-per-node N -m nsbench train …`.
    """
    from nsbench.commands.checks import check_training
    from nsbench.data.catalog import set_roots

    set_roots(data)
    # Before torch is imported, which takes seconds.
    beside = {"variants": variants or None, "controls": controls or None}
    check_training(recipe, set_ or [], out=out, resume=resume, **beside)

    wanted: dict[str, Any] = {"device": device, "resume": resume, "seeds": seeds, **beside}
    if dry_run:
        _estimate(recipe, set_ or [], devices, wanted, json)
    else:
        _train(recipe, out, set_ or [], wanted, json)


def _estimate(
    recipe: str | None, settings: list[str], devices: int, wanted: dict[str, Any], json: Path | None
) -> None:
    from nsbench.reporting.run_tables import training_estimate_table
    from nsbench.reporting.tables import print_table
    from nsbench.training.estimate import estimate

    rows = estimate(recipe, settings, devices=devices, **wanted)
    print_table(training_estimate_table(rows, devices), json)


def _train(
    recipe: str | None,
    out: Path | None,
    settings: list[str],
    wanted: dict[str, Any],
    json: Path | None,
) -> None:
    from nsbench.reporting.run_tables import training_table
    from nsbench.reporting.tables import print_table
    from nsbench.util import distributed

    folder = nsbench.train(recipe, out, settings=settings, **wanted)
    # Asked before the group of processes is dissolved, after which every process would be alone.
    main_process = distributed.is_main()
    distributed.stop()
    if main_process:
        print_table(training_table(folder), json)
    say(f"the run is in {folder}")
