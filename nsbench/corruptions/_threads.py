"""Chunks of a batch side by side on the CPU's cores."""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch


def run_in_threads(
    work: Callable[[slice], None], chunks: Iterable[slice], device: torch.device
) -> None:
    """Do the work for every chunk: on the CPU in torch's number of threads, else one by one.

    One chunk a thread keeps a chunk in one core's cache, and lets draws and codecs, which torch
    does not run in parallel, use all cores.
    """
    todo, threads = list(chunks), torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or len(todo) < 2:
        for chunk in todo:
            work(chunk)
        return
    for _ in _pool(threads, os.getpid()).map(work, todo):
        pass


@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads whose torch operations do not start threads of their own.

    A process that was forked makes its own pool.
    """
    started = threading.Barrier(threads)

    def single() -> None:
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(threads, initializer=single)
    for ready in [pool.submit(int) for _ in range(threads)]:
        ready.result()
    torch.set_num_threads(threads)  # the workers' calls also changed what later threads inherit
    return pool
