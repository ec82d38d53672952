"""Chunks of a batch side by side on the CPU's cores."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch


def slices(count: int, limit: int, device: torch.device) -> list[slice]:
    """Slices of `count` rows, at most `limit` each, of which all threads get equally many."""
    # As few rounds of one slice a thread as the limit allows, in slices of equal size: with full
    # ones, threads would be idle in the last round.
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    rounds = -(-count // (max(1, limit) * threads))
    size = -(-count // max(1, rounds * threads))
    return [slice(start, start + size) for start in range(0, count, max(1, size))]


def run_in_threads(
    work: Callable[[slice], None], chunks: list[slice], device: torch.device
) -> None:
    """Do the work for every slice: on the CPU in torch's number of threads, else in this one.

    A slice a thread keeps it in one core's cache, and lets draws and codecs, which torch does not
    run in parallel, use all cores.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        for rows in chunks:
            work(rows)
        return
    pool = _pool(threads, os.getpid())
    torch.set_num_threads(1)  # for MKL, whose number of threads is the whole process's
    try:
        for _ in pool.map(work, chunks):
            pass  # going through the results raises what a thread raised
    finally:
        torch.set_num_threads(threads)


# One, since torch's number of threads hardly ever changes. `process` is for the cache only: threads
# do not survive a fork, so that the pool of the parent would wait for ever.
@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Threads whose torch operations do not start threads of their own.

    So a chunk is computed by one thread however many there are, and sums in one order. A process
    that was forked makes its own pool.
    """
    # The barrier holds each new thread until all are there: without it the first ones could do the
    # waiting tasks below, and the others start, and set their number, in the middle of real work.
    started = threading.Barrier(threads)

    def single() -> None:
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(threads, initializer=single)
    for ready in [pool.submit(int) for _ in range(threads)]:
        ready.result()
    return pool
