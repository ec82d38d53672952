"""Images in order, read ahead by several threads."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from nsbench.data.open import Source
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.transforms import center_crop

T = TypeVar("T")
R = TypeVar("R")


def clean_crops(
    source: Source, indices: NDArray[np.int64], preprocessing: Preprocessing
) -> Iterator[NDArray[np.uint8]]:
    """The centre crop of each image, in order; several threads read ahead."""

    def crop(index: int) -> NDArray[np.uint8]:
        return center_crop(source.image(index), preprocessing)

    return prefetch_map(crop, indices.tolist())


def prefetch_map(work: Callable[[T], R], items: Iterable[T], ahead: int = 256) -> Iterator[R]:
    """The results of `work` in the order of the items; a thread a core works ahead.

    More threads would only pass the interpreter around: hiding the latency of a distant disk is for
    processes to do. ahead: items begun and not yet taken, a batch or two, for memory; the results
    do not depend on it.
    """
    with ThreadPoolExecutor(_cores()) as pool:
        remaining = iter(items)
        started = deque(pool.submit(work, item) for item in islice(remaining, ahead))
        try:
            while started:
                done = started.popleft().result()
                # One in for one out: the queue stays as long, and items may come from a generator.
                started.extend(pool.submit(work, item) for item in islice(remaining, 1))
                yield done
        finally:
            # Where the caller stops early, what has not begun is dropped, and the pool ends soon.
            for task in started:
                task.cancel()


def _cores() -> int:
    # not every system tells which of the machine's cores are this process's
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
