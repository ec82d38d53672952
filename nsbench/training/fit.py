"""The inner loop: one generation's steps."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nsbench.augment.pipeline import Augmentation
from nsbench.recipes.recipe import Recipe
from nsbench.training.batches import Plan, training_batches
from nsbench.training.fine_tune import freeze
from nsbench.training.logs import TrainingLog
from nsbench.training.loss import Loss
from nsbench.training.state import TrainingState
from nsbench.training.step import Settings, Update
from nsbench.util import distributed
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import say, stage

LOG_EVERY = 100
"""Steps between two rows of the log, at most; a hundredth of all steps where those are fewer."""

DIVERGED = 100.0
"""A loss of so many times the first one will not come back."""

Validate = Callable[[nn.Module], float]


@dataclass(frozen=True)
class Job:
    """What to train and how to keep it.

    name: for people. identity: hash of all that the weights will depend on; a checkpoint of another
    identity is refused. checkpoint: the file of the training state. recipe: for the keys that do
    not change the result. validate: the accuracy of the averaged weights, asked ten times; of
    several processes the main one has it.
    """

    name: str
    identity: str
    checkpoint: Path
    settings: Settings
    plan: Plan
    recipe: Recipe
    frozen_blocks: int = 0
    validate: Validate | None = None


def fit(job: Job, state: TrainingState, log: TrainingLog) -> nn.Module:
    """Train from the state, or from the checkpoint if there is one; returns the averaged weights.

    log receives rows of step, loss parts, learning rate and images a second.
    Raises NsbenchError if the loss diverges, memory runs out, or an image cannot be read.
    """
    augmentation = Augmentation(job.settings.generation, job.settings.size)
    freeze(state.model.train(), job.frozen_blocks)
    if job.checkpoint.exists():
        state.load(job.checkpoint, job.identity)
        say(f"{job.name}: going on after step {state.step:,} of {state.steps:,}")
    log.begin(state.step)
    update = Update(state, job.settings, augmentation)
    steps = range(state.step, state.steps)
    device = next(state.model.parameters()).device
    batches = training_batches(job.plan, augmentation, steps, job.recipe.workers, device)
    keeper = _Keeper(job, state)
    recorder = _Recorder(job, state, log)
    with (
        stage(job.name, state.steps, unit="steps", done=state.step) as advance,
        _stops() as stopped,
    ):
        for _ in steps:
            loss = update(batches)
            note = recorder.add(loss)
            keeper.keep(recorder)
            advance(1, note)
            if stopped:
                keeper.write(recorder)
                raise KeyboardInterrupt
    recorder.check_weights()
    state.seconds = recorder.seconds()
    log.close()
    return state.average.model


class _Recorder:
    """Turns losses into rows of the log, and stops a training that diverges."""

    def __init__(self, job: Job, state: TrainingState, log: TrainingLog) -> None:
        self._job, self._state, self._log = job, state, log
        self._every = max(1, min(LOG_EVERY, state.steps // 100))
        self._images = sum(stream.batch_size for stream in job.plan.streams)
        self._start, self._first = time.monotonic(), state.step
        self._before = state.seconds
        self._limit = math.inf
        self._seen: list[torch.Tensor] = []

    def add(self, loss: Loss) -> str:
        """Take note of a step's loss; returns what the progress shows of it, if anything."""
        state = self._state
        self._seen.append(loss.total)
        last = state.step == state.steps
        row: dict[str, Any] = {}
        if state.step % self._every == 0 or last:
            self.check()
            row = self._row(loss)
        if self._job.validate and (state.step % max(1, state.steps // 10) == 0 or last):
            accuracy = self._job.validate(state.average.model)
            row |= {"step": state.step, "validation_accuracy": accuracy}
        if row:
            self._log.add(row)
        return _note(row)

    def check(self) -> None:
        """Raises NsbenchError at the first step since the last look whose loss diverges."""
        seen = torch.stack(self._seen).tolist() if self._seen else []
        first = self._state.step - len(seen) + 1
        self._seen = []
        for step, loss in enumerate(seen, start=first):
            if not math.isfinite(loss) or loss > self._limit:
                raise NsbenchError(self._diverged(step, loss))
            if math.isinf(self._limit):
                self._limit = DIVERGED * max(loss, 1.0)

    def check_weights(self) -> None:
        """Raises NsbenchError if the weights are no numbers, as after a good loss they may be."""
        state = self._state
        if not all(weight.isfinite().all() for weight in state.model.parameters()):
            raise NsbenchError(self._diverged(state.step, math.nan))

    def _diverged(self, step: int, loss: float) -> str:
        job, state = self._job, self._state
        state.scheduler.step_update(step - 1)
        kept = (
            f"the last good state is in {job.checkpoint}"
            if job.checkpoint.exists()
            else ("no earlier state was kept")
        )
        return (
            f"the loss of {job.name} is {loss:.4g} at step {step} with learning rate "
            f"{state.lr:.4g} ({kept}): lower lr, raise warmup, or set clip_norm"
        )

    def seconds(self) -> float:
        """Training time so far, with that before a resume."""
        return self._before + time.monotonic() - self._start

    def _row(self, loss: Loss) -> dict[str, Any]:
        total, labeled, unlabeled = distributed.mean([part.item() for part in loss])
        rate = self._images * (self._state.step - self._first) / (time.monotonic() - self._start)
        return {
            "step": self._state.step,
            "loss": round(total, 6),
            "labeled_loss": round(labeled, 6),
            "unlabeled_loss": None if math.isnan(unlabeled) else round(unlabeled, 6),
            "lr": self._state.lr,
            "images_per_second": round(rate, 1),
        }


def _note(row: dict[str, Any]) -> str:
    if "loss" not in row:
        return ""
    parts = f"loss {row['loss']:.3f}"
    if row["unlabeled_loss"] is not None:
        parts += f" (labeled {row['labeled_loss']:.3f}, unlabeled {row['unlabeled_loss']:.3f})"
    return f"{parts}, {row['images_per_second']:,.0f} images/s"


class _Keeper:
    """Writes the training state every so many minutes or steps."""

    def __init__(self, job: Job, state: TrainingState) -> None:
        self._job, self._state = job, state
        self._last = time.monotonic()

    def keep(self, recorder: _Recorder) -> None:
        """Write the state if it is time, and not at the end, where the model itself is written."""
        every, state = self._job.recipe.checkpoint_steps, self._state
        minutes = (time.monotonic() - self._last) / 60
        due = minutes >= self._job.recipe.checkpoint_minutes
        if (due or (every and state.step % every == 0)) and state.step < state.steps:
            self.write(recorder)

    def write(self, recorder: _Recorder) -> None:
        """Write the state, which must be a good one."""
        recorder.check()
        recorder.check_weights()
        self._state.seconds = recorder.seconds()
        if distributed.is_main():
            self._state.save(self._job.checkpoint, self._job.identity)
        self._last = time.monotonic()


@contextmanager
def _stops() -> Iterator[list[int]]:
    """Catch Ctrl-C and SIGTERM once, so that a step can be finished and its state be kept.

    The list fills when one comes; a second one stops at once. Several processes would not all stop
    at the same step, so they stop as they are told to.
    """
    caught: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def catch(number: int, _: object) -> None:
        caught.append(number)
        signal.signal(number, before[signal.Signals(number)])

    try:
        for number in (signal.SIGINT, signal.SIGTERM) if distributed.size() == 1 else ():
            before[number] = signal.signal(number, catch)
    except ValueError:  # not the main thread, which alone is told of signals
        pass
    try:
        yield caught
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
