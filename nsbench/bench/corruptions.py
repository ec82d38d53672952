"""Speed of the corruptions beside the package `imagecorruptions`: same images, cores and run."""

import multiprocessing
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.bench.photographs import photographs
from nsbench.corruptions import corrupt, package
from nsbench.models import resolve_device
from nsbench.names import CORRUPTIONS, EXTRA_CORRUPTIONS, SEVERITIES
from nsbench.util.config import refuse_unknown
from nsbench.util.progress import stage
from nsbench.util.provenance import environment
from nsbench.util.timing import synchronize, timed

Side = Callable[[str, int], None]
COPY_BYTES = 2**28
"""256 MiB, more than any cache holds, so that the copy measures memory."""


def bench_corruptions(
    names: Sequence[str] = CORRUPTIONS,
    *,
    image_size: int = 224,
    batch_size: int = 64,
    rounds: int = 3,
    device: str | None = None,
) -> dict[str, Any]:
    """Time every corruption and severity by nsbench and by imagecorruptions, taking turns.

    The images are the 20 photographs that foolbox carries, repeated to a batch. The package, which
    takes one image at a time on one core, works in as many processes as torch has threads; they
    share memory, so that no time goes into moving images. nsbench runs on `device`.

    Returns images a second of both sides per cell (the median round), the ratio per cell and per
    corruption, and the ratio of the total times as `speedup`; and how close nsbench comes to the
    device's memory bandwidth if an image was only read and written once (`bandwidth_share`).
    Raises NsbenchError where the package cannot be imported.
    """
    refuse_unknown("corruption", names, CORRUPTIONS + EXTRA_CORRUPTIONS)
    target = resolve_device(device)
    images = photographs(image_size, batch_size)
    cells = [(name, severity) for name in names for severity in SEVERITIES]
    with _package_side(images) as package_side:
        sides = {"nsbench": _own_side(images.to(target)), "imagecorruptions": package_side}
        seconds = _measure(sides, cells, rounds, target)
    figures = [_cell(cell, seconds, batch_size) for cell in cells]
    bandwidth = _copy_bandwidth(target)
    return {
        "speedup": _ratio(figures),
        "images_per_second": batch_size * len(cells) / sum(_taken(figures, "nsbench")),
        "slowest_ratio": min(_by_name(figures).values()),
        "bandwidth_gigabytes_per_second": bandwidth / 1e9,
        "bandwidth_share": 2  # a byte read and a byte written
        * images.numel()
        * len(cells)
        / (sum(_taken(figures, "nsbench")) * bandwidth),
        "ratios": _by_name(figures),
        "cells": figures,
        "image_size": image_size,
        "batch_size": batch_size,
        "rounds": rounds,
        "cores": torch.get_num_threads(),
        "memory_copies": _memory_copies(images.to(target), cells),
        "environment": environment(str(target)),
    }


def _own_side(images: torch.Tensor) -> Side:
    ids = list(range(len(images)))

    def run(name: str, severity: int) -> None:
        corrupt(images, name, severity, ids=ids)

    return run


@contextmanager
def _package_side(images: torch.Tensor) -> Iterator[Side]:
    package.load()
    shared, workers = images.clone().share_memory_(), torch.get_num_threads()
    parts = [slice(first, None, workers) for first in range(workers)]
    # fork, so that workers have the package imported already and share the images.
    context = multiprocessing.get_context("fork")
    with context.Pool(workers, _receive, (shared.numpy(),)) as pool:

        def run(name: str, severity: int) -> None:
            pool.starmap(_corrupt_part, [(name, severity, part) for part in parts], chunksize=1)

        yield run


_shared: NDArray[np.uint8]


def _receive(images: NDArray[np.uint8]) -> None:
    """Keep the images in a worker process."""
    global _shared
    _shared = images
    torch.set_num_threads(1)


def _corrupt_part(name: str, severity: int, part: slice) -> None:
    for image in _shared[part]:
        package.corrupt(image, name, severity, "bench")


def _measure(
    sides: dict[str, Side], cells: list[tuple[str, int]], rounds: int, device: torch.device
) -> dict[tuple[str, str, int], list[float]]:
    seconds: dict[tuple[str, str, int], list[float]] = {}
    with stage("bench corruptions", len(cells) * (rounds + 1), "cells") as advance:
        for index in range(rounds + 1):
            for name, severity in cells:
                for side, run in sides.items():
                    taken = timed(lambda run=run: run(name, severity), device)  # type: ignore[misc]  # noqa: B023
                    if index:  # the first round warms up
                        seconds.setdefault((side, name, severity), []).append(taken)
                advance()
    return seconds


def _cell(
    cell: tuple[str, int], seconds: dict[tuple[str, str, int], list[float]], images: int
) -> dict[str, Any]:
    ours = statistics.median(seconds["nsbench", *cell])
    theirs = statistics.median(seconds["imagecorruptions", *cell])
    return {
        "corruption": cell[0],
        "severity": cell[1],
        "nsbench_images_per_second": images / ours,
        "imagecorruptions_images_per_second": images / theirs,
        "ratio": theirs / ours,
        "nsbench_seconds": ours,
        "imagecorruptions_seconds": theirs,
    }


def _taken(figures: list[dict[str, Any]], side: str) -> list[float]:
    return [figure[f"{side}_seconds"] for figure in figures]


def _ratio(figures: list[dict[str, Any]]) -> float:
    return sum(_taken(figures, "imagecorruptions")) / sum(_taken(figures, "nsbench"))


def _by_name(figures: list[dict[str, Any]]) -> dict[str, float]:
    names = dict.fromkeys(figure["corruption"] for figure in figures)
    return {name: _ratio([f for f in figures if f["corruption"] == name]) for name in names}


def _copy_bandwidth(device: torch.device) -> float:
    """Bytes a second that a copy in the device's memory reads and writes."""
    source = torch.ones(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    # The fastest of five is the nearest to the limit; the first finds cold pages.
    times = [timed(lambda: target.copy_(source), device) for _ in range(5)]
    # Each byte is read and written.
    return 2 * COPY_BYTES / min(times)


def _memory_copies(images: torch.Tensor, cells: list[tuple[str, int]]) -> float | None:
    """The largest extra memory of a corruption on a GPU, in float32 copies of the batch."""
    if images.device.type != "cuda":
        return None
    largest = 0
    for name, severity in cells:
        before = torch.cuda.memory_allocated(images.device)
        torch.cuda.reset_peak_memory_stats(images.device)
        corrupt(images, name, severity, ids=list(range(len(images))))
        synchronize(images.device)
        largest = max(largest, torch.cuda.max_memory_allocated(images.device) - before)
    # A float32 has 4 bytes.
    return largest / (4 * images.numel())
