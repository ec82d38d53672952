"""Whether tests notice small changes of the code that makes numbers: `python -m tests.mutants`.

A sample of mutants (see `tests.mutant_kinds`), drawn with a seed, is run in copies of the checkout
against the tests of its own folder. A mutant that lets them all pass is named; those that can make
no difference are listed in harmless_mutants.toml, with the reason. Ends with exit code 1 where less
than 90% of the sample are noticed or harmless.

At first each file of tests is run by itself without a change: it must pass, how long it takes is
kept, and which functions it calls, so that a mutant is run only against the files of tests that
reach it. Runs are forks of one process that has imported the large libraries, which would take
longer than most tests.
"""

import argparse
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

from tests.mutant_kinds import Mutant, mutants

ROOT = Path(__file__).parents[1]

HARMLESS = Path(__file__).parent / "harmless_mutants.toml"

MODULES = (
    "nsbench/metrics/*.py",
    "nsbench/pixels/[!_]*.py",  # Triton needs a GPU
    "nsbench/augment/*.py",
    "nsbench/corruptions/*.py",
    "nsbench/perturbations/*.py",
    "nsbench/pseudo_labels/*.py",
    "nsbench/training/batches.py",
    "nsbench/training/fine_tune.py",
    "nsbench/training/loss.py",
    "nsbench/training/row_noise.py",
    "nsbench/training/schedule.py",
    "nsbench/training/state.py",
    "nsbench/training/step.py",
    "nsbench/evaluation/fgsm.py",
    "nsbench/data/label_files.py",
    "nsbench/data/label_lists.py",
    "nsbench/models/classifier.py",
    "nsbench/models/generation.py",
    "nsbench/models/loading.py",
    "nsbench/models/state_dict.py",
    "nsbench/models/wrap.py",
    "nsbench/reporting/*tables.py",
    "nsbench/reporting/*formats.py",
    "nsbench/reporting/compare*.py",
    "nsbench/reporting/gains.py",
    "nsbench/reporting/leaderboard.py",
    "nsbench/reporting/claims.py",
    "nsbench/reporting/packed.py",
    "nsbench/reporting/seed_texts.py",
    "nsbench/reporting/seeds.py",
    "nsbench/reporting/figures/*.py",
    "nsbench/util/randomness.py",
)
"""What makes numbers, or shows them."""

NARROW = {"evaluation": "fgsm", "data": "label_", "util": "randomness"}
"""Folders of which a few modules are changed: only the files of tests that name these."""

MOST = 120
"""Mutants of one file that may be drawn, so that tables of constants do not crowd out the rest."""

GOAL = 0.9

CALLED = "called.json"
"""What a run without a change leaves in its copy."""

LIBRARIES = ("pytest", "torch", "torchvision", "timm", "scipy.stats", "matplotlib.pyplot")
"""Imported once. None of them may begin threads by that, which a fork would lose."""


class Tests(NamedTuple):
    """What a file of tests does without a change.

    called: first lines of the functions that it calls, by file of the package.
    """

    seconds: float
    called: dict[str, list[int]]


class Job(NamedTuple):
    """What one fork does: it changes a file, or none, and runs files of tests."""

    name: str
    mutant: Mutant | None
    tests: list[str]
    limit: float


class Run(NamedTuple):
    """How a job ended: pytest's exit code, or -1 at its limit of time, and what it has called."""

    job: Job
    code: int
    tests: Tests


def all_mutants(root: Path = ROOT, patterns: Sequence[str] = MODULES) -> dict[str, list[Mutant]]:
    """Mutants of each file that the patterns name."""
    paths = sorted({path for pattern in patterns for path in root.glob(pattern)})
    files = [path.relative_to(root).as_posix() for path in paths]
    return {file: mutants(root, file) for file in files}


def sample(found: dict[str, list[Mutant]], count: int, seed: int) -> list[Mutant]:
    """Some of them, the same for the same seed and code."""
    draw = random.Random(seed)
    pool = [mutant for each in found.values() for mutant in draw.sample(each, min(MOST, len(each)))]
    chosen = list(islice((mutant for mutant in draw.sample(pool, len(pool)) if mutant.runs), count))
    return sorted(chosen, key=lambda mutant: (mutant.file, mutant.line))


def harmless(path: Path = HARMLESS) -> dict[tuple[str, str, str], str]:
    """The reasons of the listed mutants, by name."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    return {(e["file"], e["before"], e["after"]): e["reason"] for e in entries}


def folder_of(file: str, root: Path = ROOT) -> Path:
    """The folder of tests of a file of the package: the nearest one that mirrors its own."""
    folder = root / "tests" / Path(file).parent.relative_to("nsbench")
    while not folder.is_dir():
        folder = folder.parent
    return folder


def tests_of(folder: Path) -> list[str]:
    """The files of tests of a folder, but for those of GPUs, by their paths below the checkout."""
    paths = [p for p in sorted(folder.glob("test_*.py")) if p.name != "test_on_cuda.py"]
    if word := NARROW.get(folder.name):
        paths = [path for path in paths if word in path.read_text(encoding="utf-8")]
    root = next(parent for parent in (folder, *folder.parents) if parent.name == "tests").parent
    return [path.relative_to(root).as_posix() for path in paths]


def job_of(mutant: Mutant, known: dict[str, Tests], root: Path = ROOT) -> Job:
    """The tests that reach a mutant, those that bear the name of its file first, then by time."""
    found = tests_of(folder_of(mutant.file, root))
    reached = [test for test in found if mutant.function in known[test].called.get(mutant.file, [])]
    # What runs as a file is imported, or in another process only, is seen by no trace.
    chosen = reached if mutant.function and reached else found
    stem = Path(mutant.file).stem.strip("_")
    chosen.sort(key=lambda test: (stem not in Path(test).stem, known[test].seconds))
    usual = sum(known[test].seconds for test in chosen)
    return Job(f"{mutant.file}:{mutant.line}", mutant, chosen, 60 + 3 * usual)


def run(jobs: Sequence[Job], count: int) -> Iterator[Run]:
    """Run jobs, some at a time, each in a fork and in a copy of the checkout of its own."""
    waiting, running = list(reversed(jobs)), dict[int, tuple[Job, Path, float]]()
    with tempfile.TemporaryDirectory() as folder:
        free = [_copy(Path(folder) / str(number)) for number in range(min(count, len(jobs)))]
        while waiting or running:
            while waiting and free:
                job, copy = waiting.pop(), free.pop()
                running[_begin(job, copy)] = job, copy, time.monotonic()
            time.sleep(0.05)
            for child, (job, copy, start) in list(running.items()):
                seconds = time.monotonic() - start
                done, status = os.waitpid(child, os.WNOHANG)
                if not done and seconds < job.limit:
                    continue
                if not done:
                    _kill(child)
                    os.waitpid(child, 0)
                _restore(job, copy)
                called = json.loads((copy / CALLED).read_text()) if (copy / CALLED).exists() else {}
                free.append(copy)
                del running[child]
                code = os.waitstatus_to_exitcode(status) if done else -1
                yield Run(job, code, Tests(seconds, called))


def _copy(folder: Path) -> Path:
    left_out = shutil.ignore_patterns(".*", "__pycache__", "runs", "build", "shared")
    shutil.copytree(ROOT, folder, ignore=left_out, symlinks=True)
    return folder


def _restore(job: Job, copy: Path) -> None:
    """Undo a change, and what Python has compiled of it."""
    if job.mutant:
        shutil.copyfile(ROOT / job.mutant.file, copy / job.mutant.file)
        _forget(copy / job.mutant.file)


def _forget(path: Path) -> None:
    # It is told by size and time of the source, which a mutant may share with its file.
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


def _kill(child: int) -> None:
    # With all that it has started; it is the leader of its group.
    os.killpg(child, signal.SIGKILL)


def _begin(job: Job, copy: Path) -> int:
    """Start a job in a fork; returns its process id."""
    if job.mutant:
        _forget(copy / job.mutant.file)
        (copy / job.mutant.file).write_text(job.mutant.text, encoding="utf-8")
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        code = _in_fork(job, copy)
    finally:
        os._exit(code)


def _in_fork(job: Job, copy: Path) -> int:
    os.setsid()
    os.chdir(copy)
    os.environ["PYTHONPATH"] = str(copy)
    os.environ.setdefault("NSBENCH_SHARED", str(ROOT.parent / "shared"))
    sys.path[:] = [str(copy), *(path for path in sys.path if path not in ("", str(ROOT)))]
    for name in [name for name in sys.modules if name.split(".")[0] in ("nsbench", "tests")]:
        del sys.modules[name]
    with open(os.devnull, "r+b") as null, open(copy / "output.txt", "wb") as output:
        for number, file in enumerate((null, output, output)):
            os.dup2(file.fileno(), number)
    import pytest

    options = ["-x", "-q", "-p", "no:cacheprovider", f"--basetemp={copy}-tmp"]
    command = partial(pytest.main, [*options, *job.tests])
    if job.mutant:
        return int(command())
    code, called = _traced(command, copy)
    (copy / CALLED).write_text(json.dumps(called))
    return code


def _traced(command: Callable[[], Any], root: Path) -> tuple[int, dict[str, list[int]]]:
    """Run a command; returns its code and the functions below `root` that it has called."""
    seen: dict[int, CodeType] = {}

    def trace(frame: FrameType, event: str, argument: Any) -> None:
        # By identity: hashing code takes as long as what is in it. None: no line of it is traced.
        seen.setdefault(id(frame.f_code), frame.f_code)

    threading.settrace(trace)
    sys.settrace(trace)
    code = int(command())
    sys.settrace(None)
    called: dict[str, list[int]] = {}
    for found in seen.values():
        path = Path(found.co_filename)
        if path.is_relative_to(root / "nsbench"):
            called.setdefault(path.relative_to(root).as_posix(), []).append(found.co_firstlineno)
    return code, called


def known_tests(files: Sequence[str], count: int, kept: Path | None) -> dict[str, Tests]:
    """What each file of tests takes and calls. Those that a file of an earlier run has are kept."""
    known: dict[str, Tests] = {}
    if kept and kept.exists():
        known = {test: Tests(*found) for test, found in json.loads(kept.read_text()).items()}
    jobs = [Job(test, None, [test], 1800) for test in files if test not in known]
    for done in run(jobs, count):
        # 5: all of its tests are for a GPU, or were skipped as a module.
        if done.code not in (0, 5):
            raise SystemExit(f"{done.job.name} fails without a change: mend it first")
        known[done.job.name] = done.tests
        print(f"{done.job.name}: {done.tests.seconds:.0f} s", flush=True)
        if kept:
            kept.write_text(json.dumps(known))
    return known


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a sample; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=200, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument(
        "--only", action="append", help="pattern of files, such as nsbench/metrics/*.py"
    )
    parser.add_argument("--known", type=Path, help="file that keeps what tests take and call")
    wanted = parser.parse_args(arguments)
    listed = harmless()
    chosen = sample(all_mutants(patterns=wanted.only or MODULES), wanted.sample, wanted.seed)
    for library in LIBRARIES:
        importlib.import_module(library)
    tried = [mutant for mutant in chosen if mutant.name not in listed]
    folders = sorted({folder_of(mutant.file) for mutant in tried})
    files = [test for folder in folders for test in tests_of(folder)]
    known = known_tests(files, wanted.jobs, wanted.known)
    survived = []
    for done in run([job_of(mutant, known) for mutant in tried], wanted.jobs):
        assert done.job.mutant
        word = {0: "SURVIVED", -1: "stopped at its limit of time"}.get(done.code, "noticed")
        if not done.code:
            survived.append(done.job.mutant)
        change = f"{done.job.mutant.before}  ->  {done.job.mutant.after}"
        print(f"{word}: {done.job.name} ({done.tests.seconds:.0f} s)  {change}", flush=True)
    share = 1 - len(survived) / max(1, len(chosen))
    print(
        f"{len(chosen)} mutants: {len(tried) - len(survived)} noticed, {len(chosen) - len(tried)} "
        f"listed as harmless, {len(survived)} survived ({share:.1%} noticed or harmless)"
    )
    return int(share < GOAL)


if __name__ == "__main__":
    sys.exit(main())
