"""Tasks shared out to worker processes: their progress comes back, and so does the first error."""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch

from nsbench.util.errors import NsbenchError

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds that a worker has to finish its unit of work before it is killed."""

_Team = dict[Connection, BaseProcess]


def run_tasks(
    tasks: Sequence[T], work: Callable[[T], Iterator[int]], workers: int
) -> Generator[int, None, None]:
    """Do all tasks, in forked processes if `workers` is 2 or more, and pass on their progress.

    The processes start before this returns, so call it before starting threads.

    Args:
        tasks: taken in order, each by the next free worker.
        work: does a task and yields the number of units done since its last yield; the places
            where it yields are those where it can be stopped.
        workers: processes, each with one torch thread; 0 or 1 is this process.

    Returns:
        An iterator over the yielded numbers. It raises the first error of any worker, and then, or
        when it is closed, the other workers stop at their next yield.

    """
    if workers <= 1 or len(tasks) <= 1:
        return (count for task in tasks for count in work(task))
    # forked, so that tasks and images need not be sent, and nothing is imported again
    context = multiprocessing.get_context("fork")
    # a shared counter hands out tasks: they take different times, so no fixed share is fair
    turn, stop = context.Value("q", 0), context.Event()
    team: _Team = {}
    for _ in range(min(workers, len(tasks))):
        reader, writer = context.Pipe(duplex=False)
        arguments = (tasks, work, turn, stop, os.getpid(), writer)
        process = context.Process(target=_serve, args=arguments, daemon=True)
        process.start()
        writer.close()  # the worker has the only other end: its death is then the end of the pipe
        team[reader] = process
    return _collect(team, stop)


def _serve(
    tasks: Sequence[T],
    work: Callable[[T], Iterator[int]],
    turn: Any,
    stop: Any,
    parent: int,
    writer: Connection,
) -> None:
    """What a worker does: tasks until there are none, or until it should stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    # the workers are as many as the cores; threads of threads would only wait for each other
    torch.set_num_threads(1)
    try:
        while (number := _next(turn)) < len(tasks):
            for count in work(tasks[number]):
                # an orphan must stop too: a killed parent sets no event
                if stop.is_set() or os.getppid() != parent:
                    return
                writer.send(count)
        writer.send(None)
    except NsbenchError as error:
        # without its cause, which may not be picklable
        writer.send(NsbenchError(str(error)))
    except Exception:
        # the traceback as text, since a traceback object cannot leave its process
        writer.send(RuntimeError(f"a worker failed:\n{traceback.format_exc()}"))


def _next(turn: Any) -> int:
    with turn.get_lock():
        number = int(turn.value)
        turn.value += 1
    return number


def _collect(team: _Team, stop: Any) -> Generator[int, None, None]:
    processes = list(team.values())
    try:
        while team:
            # whichever worker has news, so that a slow one holds nobody up
            for reader in wait(list(team)):
                assert isinstance(reader, Connection)
                count = _receive(reader)
                if count is None:
                    team.pop(reader)
                else:
                    yield count
    finally:
        stop.set()
        for process in processes:
            process.join(PATIENCE)
            process.kill()


def _receive(reader: Connection) -> int | None:
    """A worker's progress, or None if it is done."""
    try:
        message: int | Exception | None = reader.recv()
    except EOFError as error:
        raise NsbenchError(
            "a worker was killed, perhaps for want of memory: what is finished is kept; repeat the "
            "command with fewer --workers"
        ) from error
    if isinstance(message, Exception):
        raise message
    return message
