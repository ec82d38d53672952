import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsbench.util.errors import NsbenchError
from nsbench.util.parallel import run_tasks


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_every_task_is_done_once(tmp_path: Path, workers: int) -> None:
    def work(task: int) -> Iterator[int]:
        for part in range(task):
            (tmp_path / f"{task}-{part}").touch(exist_ok=False)
            yield 1

    assert sum(run_tasks(range(5), work, workers)) == 10
    assert len(os.listdir(tmp_path)) == 10


def test_an_error_stops_the_other_workers(tmp_path: Path) -> None:
    def work(task: int) -> Iterator[int]:
        if task == 0:
            time.sleep(0.1)
            raise NsbenchError("the image is broken")
        try:
            while True:
                time.sleep(0.01)
                yield 1
        finally:
            (tmp_path / "stopped").touch()

    with pytest.raises(NsbenchError, match="^the image is broken$"):
        sum(run_tasks([0, 1], work, 2))
    assert (tmp_path / "stopped").exists()


def test_a_programming_error_keeps_its_traceback() -> None:
    def work(task: int) -> Iterator[int]:
        yield 1 // task

    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        sum(run_tasks([0, 1], work, 2))


def test_a_killed_worker_is_one_sentence() -> None:
    def work(task: int) -> Iterator[int]:
        os.kill(os.getpid(), signal.SIGKILL)
        yield 1

    with pytest.raises(NsbenchError, match="a worker was killed, .* fewer --workers"):
        sum(run_tasks([0, 1], work, 2))
