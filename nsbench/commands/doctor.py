"""`nsbench doctor`: a check of nsbench on this machine's device."""

from pathlib import Path
from typing import Annotated

import typer

from nsbench.commands.options import Device, JsonFile
from nsbench.util.errors import NsbenchError

DOCTOR_EXAMPLES = (
    "Examples:\n\n`nsbench doctor --json doctor.json`\n\n"
    "`nsbench doctor --only environment corruptions_right`\n\n"
    "`nsbench doctor --device cpu --tiny --out doctor-cpu`"
)


def doctor(
    device: Device = None,
    tiny: Annotated[
        bool, typer.Option("--tiny", help="Small sizes, to prove the check itself.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=1, help="For all steps together.")] = 520.0,
    only: Annotated[list[str] | None, typer.Option(help="Names of steps; by default all.")] = None,
    out: Annotated[Path, typer.Option(help="A folder for the figures and the log.")] = Path(
        "doctor"
    ),
    json: JsonFile = None,
) -> None:
    """Check nsbench on a GPU: pixels, speeds, memory, training, step by step.

    The steps with the most value come first. One that hangs or crashes costs only itself. Without
    a GPU, and without --device, the sizes are tiny.
    """
    import torch

    from nsbench.bench.doctor import run_doctor
    from nsbench.reporting.bench_tables import doctor_table
    from nsbench.reporting.tables import print_table

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        tiny = tiny or device == "cpu"
    result = run_doctor(device, tiny=tiny, seconds=seconds, only=only, out=out)
    print_table(doctor_table(result), json)
    steps = result["steps"]
    failed = [step["step"] for step in steps if step["outcome"].startswith("error")]
    if failed:
        raise NsbenchError(
            f"{len(failed)} of {len(steps)} steps failed ({', '.join(failed)}): the details are "
            f"in {out}"
        )
