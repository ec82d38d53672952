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

    More would only pass the interpreter around: reading from a disk that is far away is for
    processes to hide.
    """
    with ThreadPoolExecutor(_cores()) as pool:
        todo = iter(items)
        started = deque(pool.submit(work, item) for item in islice(todo, ahead))
        try:
            while started:
                done = started.popleft().result()
                started.extend(pool.submit(work, item) for item in islice(todo, 1))
                yield done
        finally:
            for task in started:
                task.cancel()


def _cores() -> int:
    # not every system tells which of the machine's cores are this process's
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
