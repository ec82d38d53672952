"""A check of a machine in steps, each with its limit, that goes on where one hangs or crashes."""

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nsbench.bench.doctor_steps import STEPS, Step
from nsbench.bench.doctor_worker import Record, Worker
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError
from nsbench.util.files import write_json, write_text
from nsbench.util.progress import say

LEAST_TINY = 2.0
"""Seconds that a step of tiny sizes must have left, whatever it would take at full size."""


def run_doctor(
    device: str,
    *,
    tiny: bool,
    seconds: float,
    only: Sequence[str] | None,
    out: Path,
    steps: Sequence[Step] = STEPS,
) -> dict[str, Any]:
    """Do the steps one after the other, and write down what came of each as it comes.

    A step that raises, hangs past its limit or ends its process costs only itself.

    Args:
        device: by name, such as `cuda`.
        tiny: small sizes, which prove the steps on a CPU in minutes.
        seconds: for all steps together; those that have too little left are skipped.
        only: names of steps; None for all.
        out: a folder for steps.jsonl (a line a step), doctor.json (the whole) and worker.log (what
            the steps print); files of an earlier check are replaced.
        steps: what there is to do, the most valuable first.

    Returns:
        `device`, `tiny`, `seconds`, and under `steps` for each one `step`, `seconds`, `outcome`
        (`done`, `skipped: …` or `error: …`), `figures` and `traceback`.

    Raises NsbenchError for an unknown name, a device that cannot be used and a folder that cannot
    be written, before anything is done.

    """
    chosen, start = _chosen(steps, only), time.monotonic()
    # the folder outlives the worker, which may be killed and then cleans up nothing
    with tempfile.TemporaryDirectory(prefix="nsbench-", ignore_cleanup_errors=True) as scratch:
        worker = Worker(device, tiny, out / "worker.log", Path(scratch))
        try:
            worker.start()
            records = _records(worker, chosen, start + seconds, tiny, out)
            worker.stop(gently=True)
        finally:
            worker.stop()
    result = {
        "device": device,
        "tiny": tiny,
        "seconds": time.monotonic() - start,
        "steps": records,
    }
    write_json(out / "doctor.json", result)
    return result


def _chosen(steps: Sequence[Step], only: Sequence[str] | None) -> list[Step]:
    names = [step.name for step in steps]
    for name in only or ():
        if name not in names:
            raise NsbenchError(f"there is no step '{name}'{nearest(name, names)}")
    return [step for step in steps if not only or step.name in only]


def _records(
    worker: Worker, steps: Sequence[Step], end: float, tiny: bool, out: Path
) -> list[dict[str, Any]]:
    """What came of each step, written to steps.jsonl as it comes. end: by the monotonic clock."""
    (out / "doctor.json").unlink(missing_ok=True)  # an earlier one is not of these steps
    records: list[dict[str, Any]] = []
    for step in steps:
        left, least = max(0.0, end - time.monotonic()), LEAST_TINY if tiny else step.least
        if left < least:
            reason = f"{left:.0f} s are left, and it takes {least:.0f} s or more"
            record = Record(step.name, 0.0, f"skipped: {reason}")
        else:
            record = worker.do(step, min(step.limit, left))
        say(f"{step.name}: {record.outcome}, {record.seconds:.1f} s")
        records.append(asdict(record))
        lines = [json.dumps(one, ensure_ascii=False) + "\n" for one in records]
        write_text(out / "steps.jsonl", "".join(lines))
    return records
