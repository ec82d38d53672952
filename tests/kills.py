"""Kills at random moments: `python -m tests.kills 100`.

Trains, labels, evaluates and makes files, each begun again after every SIGKILL, and compares what
is there at the end with an undisturbed run, byte for byte. Commands run in forks of this process,
so that each begins at once and the kills fall into the work and not into imports.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from nsbench.pseudo_labels import store
from nsbench.released.make import make_imagenet_c
from nsbench.training.generations import train
from tests.conftest import TINY_RECIPE
from tests.evaluating import evaluate
from tests.evaluation.test_runner import ten_digits

KEPT = (".safetensors", ".arrow", ".npy", ".parquet", ".jpg", ".JPEG", ".png")
"""Endings of files whose bytes follow from the input alone; others say when and how long."""

Job = Callable[[Path], object]


def train_tiny(folder: Path) -> None:
    """Two generations, whose labels are eight shards, with a checkpoint every second step."""
    (folder / "tiny.toml").write_text(TINY_RECIPE)
    train(str(folder / "tiny.toml"), folder / "run", settings=["checkpoint_steps=2"], device="cpu")


def evaluator(run: Path) -> Job:
    """The models of a run on three suites."""
    lines = 'source = "digits"\nimages_per_class = 5\n'
    kinds = {
        "a": f'kind = "accuracy"\n{lines}',
        "c": f'kind = "corruption"\n{lines}image_size = 32\ncorruptions = ["fog", "snow"]\n',
        "f": f'kind = "attack"\n{lines}epsilons = [1.0, 4.0]\nheadline = 4.0\n',
    }

    def job(folder: Path) -> None:
        if not (folder / "run").is_dir():
            shutil.copytree(run, folder / "run")
        for name, text in kinds.items():
            (folder / f"{name}.toml").write_text(text)
        suites = [str(folder / f"{name}.toml") for name in kinds]
        evaluate([str(folder / "run")], suites, device="cpu", cache=folder / "cache")

    return job


def maker(images: Path) -> Job:
    """Files of two corruptions at five severities."""

    def job(folder: Path) -> None:
        names = ["fog", "gaussian_noise"]
        make_imagenet_c(str(images), folder / "c", corruptions=names, layout="folder", workers=1)

    return job


def content(folder: Path) -> dict[str, bytes]:
    """The files of a folder whose bytes must not depend on kills."""
    files = [path for path in folder.rglob("*") if path.suffix in KEPT]
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in files
        # Half-written files and checkpoints are for the next command, which removes them.
        if not path.name.startswith((".", "checkpoint")) and "set-aside" not in path.name
    }


def started(job: Job, folder: Path) -> int:
    """The number of a forked process that does a job, and ends with 0 if nothing failed."""
    child = os.fork()
    if child:
        return child
    os.dup2(os.open(folder / "stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    try:
        job(folder)
        os._exit(0)
    except BaseException as error:
        os.write(2, repr(error).encode())
        os._exit(1)


def run_whole(job: Job, folder: Path) -> float:
    """Do a job to its end; returns the seconds it took. Raises AssertionError where it fails."""
    folder.mkdir(exist_ok=True)
    start = time.monotonic()
    _, status = os.waitpid(started(job, folder), 0)
    assert status == 0, (folder / "stderr").read_text()[-2000:]
    return time.monotonic() - start


def killed(job: Job, folder: Path, seconds: float, kills: int) -> None:
    """Begin a job again and again, and kill it at a random moment each time."""
    folder.mkdir()
    for _ in range(kills):
        child = started(job, folder)
        time.sleep(random.random() * seconds)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        # Done before it was killed, or killed: but it must not have failed.
        assert os.WIFSIGNALED(status) or status == 0, (folder / "stderr").read_text()[-2000:]
        if status == 0 and not os.WIFSIGNALED(status):
            shutil.rmtree(folder)
            folder.mkdir()


def main() -> None:
    """Kill each job its share of times. Raises AssertionError where an end differs."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    torch.set_num_threads(1)
    vars(store)["SHARD_SIZE"] = 500  # several shards, of so few images
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        os.environ["NSBENCH_CACHE"] = str(home / "digests")
        ten_digits(home / "digits", 4)
        run_whole(train_tiny, home / "trained")
        jobs = {
            "train": train_tiny,
            "eval": evaluator(home / "trained" / "run"),
            "make": maker(home / "digits"),
        }
        for number, (what, job) in enumerate(jobs.items()):
            seconds = run_whole(job, home / f"{what}-whole")
            share = kills // len(jobs) + (number < kills % len(jobs))
            killed(job, home / f"{what}-killed", seconds, share)
            run_whole(job, home / f"{what}-killed")
            one, other = content(home / f"{what}-whole"), content(home / f"{what}-killed")
            assert one == other, {k for k in {*one, *other} if one.get(k) != other.get(k)}
            print(f"{what}: {share} kills, {len(one)} files the same", flush=True)


if __name__ == "__main__":
    main()
