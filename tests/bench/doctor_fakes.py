"""Steps for the doctor that work, fail, hang and crash."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from nsbench.bench.doctor_steps.machine import Failed, Machine, Skipped


def works(machine: Machine) -> dict[str, Any]:
    return {"process": os.getpid(), "sum": torch.ones(3).sum(), "size": machine.pick(9, 2)}


def raises(machine: Machine) -> dict[str, Any]:
    raise ValueError("no such luck\nand more")


def leaves_out(machine: Machine) -> dict[str, Any]:
    raise Skipped("the moon is wrong")


def finds_wrong(machine: Machine) -> dict[str, Any]:
    raise Failed("1 of 2 are not right: fog", {"fog": 3})


def sleeps(machine: Machine) -> dict[str, Any]:
    try:
        time.sleep(60)
    except Exception:  # which must not take the end of the limit for its own
        return {}
    return {}


def hangs(machine: Machine) -> dict[str, Any]:
    """As a kernel does: no signal interrupts it; and a process that it started lives on."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    Path(os.environ["DOCTOR_CHILD"]).write_text(str(child.pid))
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(60)
    return {}


def dies(machine: Machine) -> dict[str, Any]:
    os._exit(7)


def needs_a_package(machine: Machine) -> dict[str, Any]:
    import no_such_package  # type: ignore[import-not-found]

    return {"package": no_such_package.__name__}
