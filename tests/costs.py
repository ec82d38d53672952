"""What a batch of everything would launch, move and wait for on a GPU, without one.

Arithmetic is not counted, which takes less time than memory in all of it but the models.

`python -m tests.costs --remake` remakes costs.csv, the upper bounds that test_costs.py holds all
to; without `--remake` a half of it is printed.
"""

import csv
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
import torch

from nsbench import perturbations
from nsbench.augment.keys import image_keys
from nsbench.augment.randaugment import parse_randaugment
from nsbench.bench.models import untrained
from nsbench.bench.student import new_state, student_generation
from nsbench.corruptions import EXTRA_NAMES, NAMES, corrupt, jpeg
from nsbench.evaluation.fgsm import fgsm_logits
from nsbench.evaluation.forward import logits_of
from nsbench.evaluation.model_run import ModelRun
from nsbench.evaluation.options import Options
from nsbench.names import SEVERITIES
from nsbench.predictions import Store
from nsbench.pseudo_labels.targets import SparseTargets
from nsbench.recipes.parts import PseudoLabels
from nsbench.training.batches import TrainingBatch
from nsbench.training.step import StepSettings, TrainStep
from tests import fake_cuda, pretended_cuda
from tests.fake_cuda import GPU, Costs

TABLE = Path(__file__).parent / "costs.csv"
SIZE, BATCH, CLIPS, FEW = 224, 256, 64, 4
"""Pixels of a side; images of a batch, of a batch of clips, and where gradients are taken."""

GOAL = 10_000
"""Images a second that each cell of ImageNet-C should reach on an H100."""

REASONS = {
    "spatter": "not of the 75: its water is made by OpenCV, on the host",
    "sequence spatter": "its water is made by OpenCV, on the host",
    "fgsm": "the passes of the model, which is a tiny one",
    "training step": "the passes of the model, which is a tiny one in small batches",
}
"""Why something waits, or is slower than the goal; by the beginning of its name."""


class Row(NamedTuple):
    """A batch of one kind of work. images_per_second: by memory and launches, on an H100."""

    work: str
    launches: int
    megabytes: int
    copied_bytes: int
    waits: int
    images_per_second: int
    reason: str


def rows() -> Iterator[Row]:
    """All of the table. Only in a process of its own, as constants are fake afterwards."""
    model = untrained("test_resnet", SIZE, torch.device("cpu"))
    with fake_cuda.faked() as costs:
        images = torch.empty(BATCH, 3, SIZE, SIZE, dtype=torch.uint8, device=GPU)
        yield from _pixels(costs, images)
        yield from _sequences(costs)
        keys = image_keys(0, "labeled", np.arange(BATCH))
        noise = parse_randaugment("paper-m9-n2", SIZE)
        yield _row(costs, "randaugment", lambda: noise(images, keys), BATCH)
        fake_cuda.moved(model.module)
        for precision in ("float32", "bfloat16"):
            options = Options(GPU, BATCH, precision)
            run = ModelRun(model, Store(Path(), "costs", {}), np.arange(1000), None, [])

            def forward(run: ModelRun = run, options: Options = options) -> None:
                run.add("clean", logits_of(run, images, options))

            yield _row(costs, f"forward {precision}", forward, BATCH)


def rows_with_gradients() -> Iterator[Row]:
    """Those that fake tensors cannot do. In a process of its own too, not that of `rows`."""
    model = untrained("test_resnet", SIZE, torch.device("cpu"))
    generation = student_generation(
        "costs", arch="test_resnet", image_size=SIZE, batch_size=FEW, unlabeled_ratio=3, steps=9
    )
    state = new_state(generation, FEW, torch.device("cpu"))
    with pretended_cuda.pretended() as costs:
        pretended_cuda.moved(model.module)
        images = torch.full((FEW, 3, SIZE, SIZE), 0.5).to(GPU)
        labels = torch.zeros(FEW, dtype=torch.int64).to(GPU)
        epsilons = [0, 1 / 255, 2 / 255, 4 / 255]
        curve = lambda: list(fgsm_logits(model.logits, images, labels, epsilons))  # noqa: E731
        yield _row(costs, "fgsm", curve, FEW)
        for module in (state.model, state.average.model):
            pretended_cuda.moved(module)
        state = type(state)(state.model, generation, FEW)
        yield _row(costs, "training step", _step(state, generation), 4 * FEW)


def _pixels(costs: Costs, images: torch.Tensor) -> Iterator[Row]:
    ids = [f"image {index}" for index in range(len(images))]
    for name in NAMES + EXTRA_NAMES:
        for severity in SEVERITIES:

            def cell(name: str = name, severity: int = severity) -> torch.Tensor:
                return corrupt(images, name, severity, ids=ids)

            yield _row(costs, f"{name}/{severity}", cell, BATCH)
    yield _row(costs, "jpeg/85", lambda: jpeg(images, 85), BATCH)


def _sequences(costs: Costs) -> Iterator[Row]:
    wholes = torch.empty(CLIPS, 3, 256, 341, dtype=torch.uint8, device=GPU)
    for name in perturbations.NAMES + perturbations.EXTRA_NAMES:
        count = perturbations.frame_count(name, SIZE)

        def clips(name: str = name) -> None:
            for _ in perturbations.frames(wholes, name, ids=range(CLIPS), size=SIZE):
                pass

        yield _row(costs, f"sequence {name}", clips, CLIPS * count)


def _step(state: Any, generation: Any) -> Callable[[], object]:
    from nsbench.augment.pipeline import Augmentation

    preprocessing = untrained("test_resnet", SIZE, torch.device("cpu")).preprocessing
    settings = StepSettings(generation, PseudoLabels(), preprocessing, 1000, seed=0)
    step = TrainStep(state, settings, Augmentation(generation, preprocessing))
    unlabeled = generation.unlabeled_batch
    batch = TrainingBatch(
        torch.zeros(FEW + unlabeled, 3, SIZE, SIZE, dtype=torch.uint8).to(GPU),
        image_keys(0, "labeled", np.arange(FEW + unlabeled)),
        torch.zeros(FEW, dtype=torch.int64),
        SparseTargets(
            torch.zeros(unlabeled, 5, dtype=torch.int32),
            torch.full((unlabeled, 5), 0.1),
            torch.full((unlabeled,), 0.5),
        ),
    )
    return lambda: step(iter([batch]))


def _row(costs: Costs, work: str, batch: Callable[[], object], images: int) -> Row:
    batch()  # constants that later batches find on the device
    costs.clear()
    batch()
    reason = next((why for name, why in REASONS.items() if work.startswith(name)), "")
    return Row(
        work,
        costs.launches,
        round(costs.bytes / 1e6),
        costs.copied,
        sum(costs.waits.values()),
        round(images / costs.seconds),
        reason,
    )


def write(found: Iterator[Row], file: TextIO) -> None:
    """Write rows as CSV."""
    table = csv.writer(file, lineterminator="\n")
    table.writerow(Row._fields)
    table.writerows(found)


def remake() -> None:
    """Write the table anew, by two processes: constants are fake after each half."""
    halves = [
        subprocess.run(
            [sys.executable, "-m", "tests.costs", *part], capture_output=True, text=True, check=True
        ).stdout
        for part in ([], ["--gradients"])
    ]
    version = ".".join(torch.__version__.split(".")[:2])
    rest = halves[1].split("\n", 1)[1]  # without the names of the columns
    TABLE.write_text(f"# torch {version}\n{halves[0]}{rest}")


if __name__ == "__main__":
    if "--remake" in sys.argv:
        remake()
    else:
        write(rows_with_gradients() if "--gradients" in sys.argv else rows(), sys.stdout)
