"""Time and memory of a report at the size of ImageNet, from predictions drawn at random."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nsbench.predictions import TOP, Predictions, Store
from nsbench.suites.base import Suite
from nsbench.suites.load import load_suite
from nsbench.suites.reference import reference_of
from nsbench.util.files import sha256
from nsbench.util.progress import stage
from nsbench.util.provenance import environment
from nsbench.util.sealed import write_record

SUITES = ("imagenet-1k", "imagenet-a", "imagenet-c", "imagenet-p", "imagenet-fgsm")

CLASSES = 1000

# In a process of its own, whose greatest memory is that of the report alone.
_REPORT = """
import resource, sys, time
start = time.perf_counter()
from nsbench.reporting.report import write_report
write_report(sys.argv[2:], sys.argv[1])
seconds = time.perf_counter() - start
print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def bench_report(
    *, models: int = 3, images: int = 50_000, suites: tuple[str, ...] = SUITES
) -> dict[str, Any]:
    """Write a report of generations with random predictions on shipped suites, and time it.

    images: of each suite; of sequences, as many clips. Returns its seconds, its greatest memory in
    gigabytes, and the megabytes of the page and of the predictions.
    Raises NsbenchError for a suite that there is none of.
    """
    chosen = [load_suite(name) for name in suites]
    with tempfile.TemporaryDirectory() as folder:
        homes = [Path(folder) / f"generation-{number}" for number in range(models)]
        total = models * sum(len(suite.cells()) for suite in chosen)
        with stage("predictions", total, "cells") as advance:
            for number, home in enumerate(homes):
                write_model(home, number)
                for suite in chosen:
                    for _ in _write_predictions(home, number, suite, images):
                        advance()
        page = Path(folder) / "report.html"
        done = subprocess.run(
            [sys.executable, "-c", _REPORT, str(page), *map(str, homes)],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        seconds, kilobytes = done.stdout.split()
        files = [path for home in homes for path in home.rglob("*.parquet")]
        return {
            "seconds": float(seconds),
            "memory_gb": int(kilobytes) * 1024 / 1e9,
            "page_mb": page.stat().st_size / 1e6,
            "predictions_mb": sum(path.stat().st_size for path in files) / 1e6,
            "models": models,
            "images": images,
            "suites": list(suites),
            "environment": environment("cpu"),
        }


def write_model(home: Path, number: int) -> None:
    """The model.json of a generation without weights."""
    about = {"generation": number, "arch": "random", "parameters": 1, "seconds": 1.0}
    write_record(home / "model.json", {**about, "weights": _weights(number)})


def _weights(number: int) -> str:
    return sha256(f"generation {number}".encode())


def _write_predictions(home: Path, number: int, suite: Suite, count: int) -> Iterator[str]:
    """Write the cells of a suite one by one, right on ever more images from model to model."""
    identity = {
        "protocol": suite.protocol(places=False),
        "weights": _weights(number),
        "images": f"{count} images",
        "generator": suite.generator_identity(),
    }
    store = Store(home / "results", suite.name, identity)
    ids = [f"n{n % CLASSES:08d}/ILSVRC2012_val_{n:08d}.JPEG" for n in range(count)]
    labels = np.arange(count, dtype=np.int32) % CLASSES
    for place, cell in enumerate(suite.cells()):
        frames = suite.frame_count(cell)
        rng = np.random.default_rng([number, place])
        top = rng.integers(CLASSES, size=(count * frames, TOP), dtype=np.int32)
        right = rng.random(count * frames) < 0.5 + 0.1 * number
        top[right, 0] = np.repeat(labels, frames)[right]
        confidence = rng.random(count * frames, dtype=np.float32)
        store.write(cell, Predictions(ids, labels, top, confidence), frames)
        yield cell
    store.finish(
        {
            "suite": suite.model_dump(exclude={"reference"}),
            "model": {"name": home.name, "arch": "random"},
            "images": count,
            "unreadable": {},
            "chosen": None,
            "resized": None,
            "processes": 1,
            "environment": environment("cpu"),
            "seconds": 1.0,
            "reference": reference_of(suite),
            "evaluated": "2026-01-01T00:00:00+00:00",
        }
    )
