"""The process that does the doctor's steps, and what watches over it.

A step may hang in a kernel, or end the process: an illegal address ends all that CUDA does in it.
So steps are done in a process of its own, which is killed and replaced where that happens.
"""

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from nsbench.bench.doctor_steps import Step
from nsbench.bench.doctor_steps.environment import model_of
from nsbench.bench.doctor_steps.machine import Finding, Machine, Skipped, told
from nsbench.evaluation.deterministic import prepare_matrices
from nsbench.reporting.doctor_result import Outcome, StepResult
from nsbench.util.device import resolve_device
from nsbench.util.errors import NsbenchError

START = 120.0
"""Seconds that a process has to be ready: torch from a cold disk, and CUDA, can take a minute."""

GRACE = 10.0
"""Seconds that a step has to end by itself when its limit is over, before its process is killed."""

LEAVE = 3.0
"""Seconds that a process without a step has to end by itself."""

TICK = 0.2
"""Seconds between two looks whether a process lives: others that it started may hold its pipe open,
so that the end of the pipe does not tell."""

SHARE = 0.9
"""Of its limit after which a step begins no further part: it then still has time to sum up."""


class Worker:
    """A process that does steps, replaced when one of them hangs or ends it.

    device: by name. tiny: whether sizes are small. log: a file that takes what the steps print.
    scratch: a folder for what they write.
    """

    def __init__(self, device: str, tiny: bool, log: Path, scratch: Path) -> None:
        self._arguments = (device, tiny, log, scratch)
        self._starts = 0
        self.machine = "unknown"
        self._running: tuple[BaseProcess, Connection] | None = None

    def start(self) -> None:
        """Start the process, and learn what `machine` it is on.

        Raises NsbenchError where it cannot use the device, or the log.
        """
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        pipe, their_end = context.Pipe()
        arguments = (*self._arguments, self._starts, their_end)
        process = context.Process(target=serve, args=arguments)
        process.start()
        their_end.close()
        self._starts += 1
        self._running = process, pipe
        try:
            problem, self.machine = self._reply(START)
            if problem:
                raise NsbenchError(problem)
        except NsbenchError:
            self.stop()
            raise

    def do(self, step: Step, limit: float) -> StepResult:
        """Do a step and say what came of it, whatever that is, in little more than `limit` s."""
        start = time.monotonic()
        try:
            if self._running is None:
                self.start()
                start = time.monotonic()
            assert self._running
            with suppress(OSError):  # the process has ended, as the missing reply shows
                self._running[1].send((step, limit))
            result, usable = self._reply(limit + GRACE)
        except NsbenchError as error:
            self.stop()
            seconds = time.monotonic() - start
            return StepResult(step=step.name, outcome="error", verdict=str(error), seconds=seconds)
        if not usable:
            self.stop()
        assert isinstance(result, StepResult)
        return result

    def _reply(self, seconds: float) -> Any:
        """What the process says. Raises NsbenchError where it ends first, or says nothing."""
        assert self._running
        process, pipe = self._running
        deadline = time.monotonic() + seconds
        while not pipe.poll(TICK):
            if not process.is_alive() and not pipe.poll():
                raise NsbenchError(_end(process))
            if time.monotonic() > deadline:
                raise NsbenchError(f"its process hung and was killed after {seconds:.0f} s")
        try:
            return pipe.recv()
        except (EOFError, OSError) as error:
            process.join()
            raise NsbenchError(_end(process)) from error

    def stop(self, *, gently: bool = False) -> None:
        """End the process, with all that it started. gently: let it tidy up, if it has no step."""
        if self._running is None:
            return
        process, pipe = self._running
        self._running = None
        pipe.close()
        process.join(LEAVE if gently else 0)
        assert process.pid
        with suppress(OSError):  # it may be gone, or not yet have a session of its own
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
        process.close()


def _end(process: BaseProcess) -> str:
    code = process.exitcode or 0
    if code < 0:
        return f"its process was killed by {signal.Signals(-code).name}"
    return f"its process ended with exit code {code}"


class _TimeUp(BaseException):
    """The limit of a step is over. No Exception, so that no part of a step takes it for its own."""


def serve(device: str, tiny: bool, log: Path, scratch: Path, starts: int, pipe: Connection) -> None:
    """Do the steps that come through the pipe, until it is closed: what a worker process runs.

    The first reply is None and the machine's model, or a sentence that says why no step can be
    done. starts: how many processes there were before; the first one begins the log anew.
    """
    os.setsid()  # so that it can be killed with what it starts, and Ctrl-C is its parent's alone
    prepare_matrices()  # read once, by the first step that multiplies matrices
    try:
        machine = Machine(resolve_device(device), tiny)
        _print_to(log, "ab" if starts else "wb")
    except NsbenchError as error:
        pipe.send((str(error), ""))
        return
    tempfile.tempdir = str(scratch)
    # a spawned process would spawn its own too, but steps start them as every command does
    multiprocessing.set_start_method(None, force=True)
    signal.signal(signal.SIGALRM, _give_up)
    if machine.on_gpu:
        torch.cuda.set_device(machine.device)
    pipe.send((None, model_of(machine.device)))
    with suppress(EOFError):
        while True:
            step, limit = pipe.recv()
            result = _result(step, limit, machine)
            pipe.send((result, _is_usable(machine)))


def _print_to(log: Path, mode: str) -> None:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, mode) as file:
            os.dup2(file.fileno(), sys.stdout.fileno())
            os.dup2(file.fileno(), sys.stderr.fileno())
    except OSError as error:
        raise NsbenchError(
            f"cannot write {log} ({error.strerror}): choose another folder by --out"
        ) from error


def _give_up(*_: object) -> None:
    raise _TimeUp


def _result(step: Step, limit: float, machine: Machine) -> StepResult:
    print(f"== {step.name}", flush=True)
    start = time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        finding = step.function()(replace(machine, end=time.monotonic() + SHARE * limit))
    except Skipped as reason:
        finding = Finding("skipped", str(reason), {})
    except _TimeUp:
        finding = _traced("no time", f"not done in {limit:.0f} s")
    except NsbenchError as error:
        finding = _traced("error", str(error))
    except (Exception, SystemExit) as error:
        finding = _traced("error", told(error))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return StepResult(
        step=step.name,
        outcome=finding.outcome,
        verdict=finding.verdict,
        seconds=time.perf_counter() - start,
        speeds=finding.speeds,
        goals=finding.goals,
        figures=_plain(finding.figures),
    )


def _traced(outcome: Outcome, sentence: str) -> Finding:
    """How a step broke off; the log says where, as that names folders."""
    traceback.print_exc()
    sys.stderr.flush()
    return Finding(outcome, sentence, {})


def _plain(figures: dict[str, Any]) -> dict[str, Any]:
    """What every reader of JSON can hold: for nan and infinity it has no numbers."""
    plain: dict[str, Any] = json.loads(json.dumps(figures, default=str), parse_constant=str)
    return plain


def _is_usable(machine: Machine) -> bool:
    """Whether the next step can be done in this process, in memory that this one gave back."""
    if not machine.on_gpu:
        return True
    try:
        torch.cuda.synchronize(machine.device)
        torch.cuda.empty_cache()
    except RuntimeError as error:
        print(f"the device is lost to this process: {error}", flush=True)
        return False
    return True
