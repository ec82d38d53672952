"""A check of a machine in steps, each with its limit, that goes on where one hangs or crashes."""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nsbench.bench.doctor_steps import STEPS, Step
from nsbench.bench.doctor_worker import Worker
from nsbench.reporting.doctor_result import MADE_BY, VERSION, DoctorResult, StepResult
from nsbench.util.anonymous import anonymous
from nsbench.util.config import refuse_unknown
from nsbench.util.files import write_json

MINUTES = 9.0
"""For all steps by default; more time gives each step more, by as many times."""

LEAST_TINY = 2.0
"""Seconds that a step of tiny sizes must have left, whatever it would take at full size."""


@dataclass(frozen=True)
class Check:
    """What is to be checked, and where it is written.

    device: by name, such as `cuda`. tiny: small sizes, which prove the steps on a CPU in minutes.
    minutes: for all steps together; those that have too little left are not begun. only: names of
    steps, None for all. out: a folder for doctor.json (what is found) and worker.log (what the
    steps print); files of an earlier check are replaced. json: another file for what is found. Both
    are written anew after each step. steps: what there is to do, the most valuable first.
    """

    device: str
    out: Path
    tiny: bool = False
    minutes: float = MINUTES
    only: Sequence[str] | None = None
    json: Path | None = None
    steps: Sequence[Step] = STEPS

    def chosen(self) -> list[Step]:
        """The steps to do. Raises NsbenchError for an unknown name."""
        refuse_unknown("step", self.only or (), [step.name for step in self.steps])
        return [step for step in self.steps if not self.only or step.name in self.only]


def run_doctor(check: Check, tell: Callable[[StepResult], None]) -> DoctorResult:
    """Do the steps one after the other, and write down what came of each as it comes.

    A step that raises, hangs past its limit or ends its process costs only itself. tell: is given
    the result of each step at once.

    Raises NsbenchError for an unknown name, a device that cannot be used, and places that cannot be
    written, before anything is done.
    """
    steps, start = check.chosen(), time.monotonic()
    # the folder outlives the worker, which may be killed and then cleans up nothing
    with tempfile.TemporaryDirectory(prefix="nsbench-", ignore_cleanup_errors=True) as scratch:
        worker = Worker(check.device, check.tiny, check.out / "worker.log", Path(scratch))
        try:
            worker.start()
            result = _results(check, worker, steps, start, tell)
            worker.stop(gently=True)
        finally:
            worker.stop()
    return result


def _results(
    check: Check,
    worker: Worker,
    steps: Sequence[Step],
    start: float,
    tell: Callable[[StepResult], None],
) -> DoctorResult:
    done: list[StepResult] = []
    # before the first step, so that a file that cannot be written is known at once
    written = _write(check, worker, done, start, finished=not steps)
    for number, step in enumerate(steps, 1):
        left = start + 60 * check.minutes - time.monotonic()
        done.append(_done(check, worker, step, max(0.0, left)))
        written = _write(check, worker, done, start, finished=number == len(steps))
        tell(written.steps[-1])
    return written


def _done(check: Check, worker: Worker, step: Step, left: float) -> StepResult:
    """What comes of a step. left: seconds for it and all that follow."""
    least = LEAST_TINY if check.tiny else step.least
    if left < least:
        told = f"{left:.0f} s are left, and it takes {least:.0f} s or more"
        return StepResult(step=step.name, outcome="no time", verdict=told, seconds=0.0)
    return worker.do(step, min(step.limit * max(1.0, check.minutes / MINUTES), left))


def _write(
    check: Check, worker: Worker, done: list[StepResult], start: float, *, finished: bool
) -> DoctorResult:
    sizes = "tiny" if check.tiny else "gpu" if check.device.startswith("cuda") else "cpu"
    found = {
        "made_by": MADE_BY,
        "version": VERSION,
        "machine": worker.machine,
        "device": check.device,
        "sizes": sizes,
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": time.monotonic() - start,
        "finished": finished,
        # the files are to be shown to others
        "steps": [anonymous(step.model_dump()) for step in done],
    }
    for path in filter(None, [check.out / "doctor.json", check.json]):
        write_json(path, found)
    return DoctorResult.model_validate(found)
