"""Steps for the doctor that work, fail, hang and crash."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from nsbench.bench.doctor_steps.machine import Finding, Machine, Skipped
from nsbench.reporting.doctor_result import Goal, Speed


def works(machine: Machine) -> Finding:
    figures = {"process": os.getpid(), "sum": torch.ones(3).sum(), "size": machine.pick(9, 8, 2)}
    return Finding("right", "3 of 3 works", figures)


def measures(machine: Machine) -> Finding:
    speed = Speed(images_per_second=5.0, limit=10.0, share=0.5, binds="memory")
    goal = Goal(name="speed", figure=0.5, wanted=0.75, unit="of bare forwards")
    figures = {"none": float("nan"), "home": f"{Path.home()}/x/file.py"}
    return Finding("measured", "half as fast", figures, {"work": speed}, [goal])


def raises(machine: Machine) -> Finding:
    raise ValueError(f"no such luck in {Path.home()}/secret/file.py\nand more")


def leaves_out(machine: Machine) -> Finding:
    raise Skipped("the moon is wrong")


def finds_wrong(machine: Machine) -> Finding:
    return Finding("wrong", "1 of 2: fog", {"fog": 3})


def runs_out(machine: Machine) -> Finding:
    done = machine.each({str(number): lambda: time.sleep(0.2) or {} for number in range(100)})  # type: ignore[func-returns-value]
    return Finding("no time", f"{len(done)} of 100 parts", {"done": len(done)})


def sleeps(machine: Machine) -> Finding:
    try:
        time.sleep(60)
    except Exception:  # which must not take the end of the limit for its own
        return works(machine)
    return works(machine)


def hangs(machine: Machine) -> Finding:
    """As a kernel does: no signal interrupts it; and a process that it started lives on."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(os.environ["DOCTOR_CHILD"]).write_text(str(child.pid))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(60)
    return works(machine)


def dies(machine: Machine) -> Finding:
    os._exit(7)


def needs_a_package(machine: Machine) -> Finding:
    import no_such_package  # type: ignore[import-not-found]

    return Finding("right", no_such_package.__name__, {})
