"""Evaluations on a GPU: FGSM as foolbox's, predictions as the CPU's, also of several processes."""

import os
import subprocess
import sys
from pathlib import Path

import foolbox
import numpy as np
import pytest
import torch

from nsbench.bench.doctor_steps.out_of_memory import run_of
from nsbench.bench.models import untrained
from nsbench.bench.photographs import photographs
from nsbench.data.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from nsbench.data.transforms import normalize
from nsbench.evaluation.deterministic import deterministic
from nsbench.evaluation.fgsm import fgsm_images, fgsm_logits, pgd_logits
from nsbench.evaluation.forward import logits_of
from nsbench.evaluation.options import Options
from nsbench.models import build
from nsbench.predictions import read_cell
from nsbench.util.device import float32_products
from tests.conftest import write_suite
from tests.evaluating import evaluate
from tests.evaluation.test_processes import SUITES, bare, cells

pytestmark = pytest.mark.cuda

EPSILONS = [0.0, 1 / 255, 4 / 255, 16 / 255]


class Normalized(torch.nn.Module):
    """A model of timm's as a function of images in [0, 1]."""

    def __init__(self, arch: str) -> None:
        super().__init__()
        self.model = build(arch, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(normalize(images, IMAGENET_MEAN, IMAGENET_STD))
        return logits


@pytest.fixture(params=["resnet10t", "test_vit"])
def attacked(
    request: pytest.FixtureRequest, device: torch.device
) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    size = 64 if request.param == "resnet10t" else 160
    model = Normalized(request.param).to(device).eval()
    images = photographs(size, 16).to(device) / 255
    return model, images, torch.arange(16, device=device) % 10


def test_fgsm_equals_foolbox(
    attacked: tuple[torch.nn.Module, torch.Tensor, torch.Tensor], device: torch.device
) -> None:
    model, images, labels = attacked
    reference = foolbox.PyTorchModel(model, bounds=(0, 1), device=device)
    with deterministic(), float32_products("float32"):
        _, clipped, success = foolbox.attacks.LinfFastGradientAttack()(
            reference, images, labels, epsilons=EPSILONS
        )
        ours = list(fgsm_images(model, images, labels, EPSILONS))
        answers = list(fgsm_logits(model, images, labels, EPSILONS))
    for number in range(len(EPSILONS)):
        assert torch.equal(ours[number], clipped[number])
        assert torch.equal(answers[number].argmax(1) != labels, success[number])


def test_two_attacks_are_equal(
    attacked: tuple[torch.nn.Module, torch.Tensor, torch.Tensor],
) -> None:
    model, images, labels = attacked
    with deterministic(), float32_products("float32"):
        for attack in (
            lambda: fgsm_logits(model, images, labels, EPSILONS),
            lambda: pgd_logits(model, images, labels, EPSILONS[:2], 3, 0.25),
        ):
            # whole lists: in each other's turns they would not leave their modes in order
            for first, second in zip(list(attack()), list(attack()), strict=True):
                assert torch.equal(first, second)


@pytest.fixture
def model(tiny_run: Path, tmp_path: Path) -> Path:
    """A generation without results."""
    return bare(tiny_run, tmp_path / "model")


def test_predictions_are_the_cpu_s(
    model: Path, tiny_run: Path, tmp_path: Path, device: torch.device
) -> None:
    suites = [write_suite(tmp_path / f"{name}.toml", text) for name, text in SUITES.items()]
    other = bare(tiny_run, tmp_path / "other")
    here = evaluate([str(model)], suites, device="cpu", batch_size=7)
    there = evaluate([str(other)], suites, device=str(device), batch_size=7)
    names = sorted(path.relative_to(model) for path in model.rglob("*.parquet"))
    assert names == sorted(path.relative_to(other) for path in other.rglob("*.parquet"))
    for one, two in zip(here, there, strict=True):
        for path in one.rglob("*.parquet"):
            cell = path.relative_to(one).with_suffix("").as_posix()
            expected, found = read_cell(one, cell), read_cell(two, cell)
            # a level of a pixel, and sums in another order, move a prediction by little
            assert (found.top[:, 0] == expected.top[:, 0]).mean() >= 0.9
            assert np.abs(found.confidence - expected.confidence).mean() <= 1e-2


@pytest.mark.parametrize("processes", [1, 2])  # of which two share a GPU, if there is one
def test_processes_of_torchrun_write_what_one_writes(
    model: Path, tiny_run: Path, tmp_path: Path, device: torch.device, processes: int
) -> None:
    suites = [write_suite(tmp_path / f"{name}.toml", text) for name, text in SUITES.items()]
    other = bare(tiny_run, tmp_path / "other")
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    # both in processes of their own, which choose kernels alike
    for start, path in (([], model), (launch, other)):
        command = [*start, "-m", "nsbench", "eval", str(path), "--suite", *suites]
        done = subprocess.run(
            [sys.executable, *command, "--device", str(device), "--batch-size", "7"],
            env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    alone, together = cells(model), cells(other)
    assert list(alone) == list(together)
    assert alone == together


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16", "float16"])
def test_precisions_are_near_each_other(precision: str, device: torch.device) -> None:
    run = run_of(untrained("test_resnet", 64, device))
    images = photographs(64, 8).to(device)
    with float32_products("float32"):
        expected = logits_of(run, images, Options(device, 8))
    with float32_products(precision):
        found = logits_of(run, images, Options(device, 8, precision))
    apart = float((found.float() - expected).abs().max() / expected.abs().max())
    assert apart <= {"float32": 1e-5, "tf32": 1e-2, "bfloat16": 0.1, "float16": 2e-2}[precision]


def test_a_batch_too_large_is_halved(gpu: torch.device) -> None:
    from nsbench.bench.doctor_steps.machine import Machine
    from nsbench.bench.doctor_steps.out_of_memory import out_of_memory

    found = out_of_memory(Machine(gpu, tiny=False))
    assert found.outcome == "right", found.verdict
