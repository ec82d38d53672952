"""Evaluations on several processes, killed ones, and ones short of memory: the same files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from nsbench.predictions import read_cell
from tests.conftest import write_suite
from tests.evaluating import evaluate

FEW = 'source = "digits"\nimages_per_class = 3\n'
SUITES = {
    "a": f'kind = "accuracy"\n{FEW}',
    "c": f'kind = "corruption"\n{FEW}image_size = 32\ncorruptions = ["shot_noise", "fog"]\n',
    "p": f'kind = "perturbation"\n{FEW}image_size = 32\nperturbations = ["translate"]\n',
    "f": f'kind = "attack"\n{FEW}epsilons = [0.0, 8.0]\nheadline = 8.0\n',
}


def command(model: Path, folder: Path, *options: str) -> list[str]:
    suites = [write_suite(folder / f"{name}.toml", text) for name, text in SUITES.items()]
    return ["-m", "nsbench", "eval", str(model), "--suite", *suites, "--device", "cpu",
            "--batch-size", "7", *options]  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def cells(model: Path) -> dict[str, bytes]:
    found = sorted((model / "results").rglob("*.parquet"))
    return {path.relative_to(model / "results").as_posix(): path.read_bytes() for path in found}


def bare(run: Path, folder: Path) -> Path:
    folder.mkdir()
    for name in ("model.json", "model.safetensors"):
        (folder / name).symlink_to(run / "generation-1" / name)
    return folder


@pytest.fixture
def model(tiny_run: Path, tmp_path: Path) -> Path:
    """A generation without results."""
    return bare(tiny_run, tmp_path / "model")


@pytest.fixture(scope="module")
def undisturbed(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process writes that nothing stops."""
    folder = tmp_path_factory.mktemp("undisturbed")
    model = bare(tiny_run, folder / "model")
    subprocess.run([sys.executable, *command(model, folder)], env=environment(), check=True)
    whole = cells(model)
    assert len(whole) == 1 + 11 + 1 + 2
    return whole


@pytest.mark.parametrize("processes", [2, 3])
def test_any_number_of_processes_writes_the_same_files(
    model: Path, tmp_path: Path, undisturbed: dict[str, bytes], processes: int
) -> None:
    # 30 images in batches of 7: the last batch is short, and divides among none of these
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    done = subprocess.run(
        [sys.executable, *launch, *command(model, tmp_path, "--json", str(tmp_path / "t.json"))],
        env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert cells(model) == undisturbed
    assert done.stdout.count("mean error") == 1
    assert (tmp_path / "t.json").is_file()


def test_processes_without_an_image_take_part(model: Path, tmp_path: Path) -> None:
    # 30 images in one batch
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [word if word != "7" else "250" for word in command(model, tmp_path)]
    done = subprocess.run(
        [sys.executable, *launch, *arguments], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    together = cells(model)
    (model / "results").rename(tmp_path / "together")
    subprocess.run([sys.executable, *arguments], env=environment(), check=True)
    assert cells(model) == together


def test_killed_and_repeated_it_ends_with_the_same_files(
    model: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    arguments = [sys.executable, *command(model, tmp_path)]
    rng = np.random.default_rng(0)
    for moment in rng.uniform(0, 2, 3):
        process = subprocess.Popen(arguments, env=environment(), stderr=subprocess.DEVNULL)
        while process.poll() is None and not (model / "results").is_dir():
            time.sleep(0.05)  # the first cell comes
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = cells(model)
        assert found.items() <= undisturbed.items()
    assert subprocess.run(arguments, env=environment()).returncode == 0
    assert cells(model) == undisturbed


def cells_in(folder: Path) -> list[str]:
    paths = sorted(folder.rglob("*.parquet"))
    return [path.relative_to(folder).with_suffix("").as_posix() for path in paths]


def test_an_evaluation_short_of_memory_gives_the_same_predictions(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = str(tiny_run / "generation-1")
    suites = [write_suite(tmp_path / f"m{n}.toml", f"{t}seed = 41\n") for n, t in SUITES.items()]
    before = [
        {name: read_cell(folder, name).top for name in cells_in(folder)}
        for folder in evaluate([model], suites, device="cpu")
    ]
    for path in tiny_run.rglob("results/m?/*/*.parquet"):
        path.unlink()
    logits = torch.nn.Module.__call__

    def short(module: torch.nn.Module, *args: torch.Tensor) -> torch.Tensor:
        if len(args[0]) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        found: torch.Tensor = logits(module, *args)
        return found

    monkeypatch.setattr(torch.nn.Module, "__call__", short)
    after = [
        {name: read_cell(folder, name).top for name in cells_in(folder)}
        for folder in evaluate([model], suites, device="cpu")
    ]
    for one, other in zip(before, after, strict=True):
        assert one.keys() == other.keys()
        assert all((one[cell] == other[cell]).all() for cell in one)
