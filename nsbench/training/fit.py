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
from nsbench.training.batches import BatchPlan, training_batches
from nsbench.training.cost import memory_of
from nsbench.training.fine_tune import freeze
from nsbench.training.logs import TrainingLog
from nsbench.training.loss import Loss
from nsbench.training.state import TrainingState
from nsbench.training.step import StepSettings, TrainStep
from nsbench.util import distributed
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import say, stage
from nsbench.util.sealed import is_usable

LOG_EVERY = 100
"""Steps between two rows of the log, at most; a hundredth of all steps where that is less. Not at
every step, since each row waits for the device."""

VALIDATIONS = 10
"""How often a generation is validated: often enough to see the curve, without costing much."""

DIVERGED = 100.0
"""A loss of this many times the first one (which counts as 1 at least) has diverged. Cross-entropy
starts near the logarithm of the number of classes, 7 for 1,000."""


class Diverged(NsbenchError):
    """The loss of a training has diverged, or a weight is not finite.

    what: which, at what step, as the beginning of a sentence.
    """

    def __init__(self, what: str, way_out: str) -> None:
        super().__init__(f"{what} {way_out}")
        self.what = what


Validate = Callable[[nn.Module], float]


@dataclass(frozen=True)
class TrainingJob:
    """What to train and how to keep it.

    name: for people. identity: all that the weights will depend on, JSON-like; a checkpoint of
    another identity is refused. checkpoint: the file of the training state. recipe: for the keys
    that do not change the result. validate: gives the accuracy of the averaged weights; None
    without validation images, and in all processes but the main one.
    """

    name: str
    identity: dict[str, Any]
    checkpoint: Path
    settings: StepSettings
    plan: BatchPlan
    recipe: Recipe
    frozen_blocks: int = 0
    validate: Validate | None = None


def fit(job: TrainingJob, state: TrainingState, log: TrainingLog) -> nn.Module:
    """Train from the state, or from the checkpoint if there is one; returns the averaged weights.

    The log gets rows of step, parts of the loss, learning rate and images a second.
    Raises Diverged if the loss diverges, in all processes; and NsbenchError if memory runs out or
    an image cannot be read.
    """
    augmentation = Augmentation(job.settings.generation, job.settings.preprocessing)
    # After train(), which would set frozen batch norm back to training.
    freeze(state.model.train(), job.frozen_blocks)
    if _is_usable(job.checkpoint):
        state.load(job.checkpoint, job.identity)
        say(f"{job.name}: going on after step {state.step:,} of {state.steps:,}")
    log.begin(state.step)
    train_step = TrainStep(state, job.settings, augmentation)
    steps = range(state.step, state.steps)
    device = next(state.model.parameters()).device
    needed = _step_bytes(job) if augmentation.fixed else 0
    batches = training_batches(job.plan, augmentation, steps, job.recipe.workers, device, needed)
    guard, clock = DivergenceGuard(job, state), Clock(job, state)
    checkpointer = Checkpointer(job, state, guard, clock)
    log_every = max(1, min(LOG_EVERY, state.steps // 100))
    validate_every = max(1, state.steps // VALIDATIONS)
    with (
        stage(job.name, state.steps, unit="steps", done=state.step) as advance,
        _stops() as stopped,
    ):
        for _ in steps:
            loss = train_step(batches)
            guard.watch(loss)
            is_last, row = state.step == state.steps, dict[str, Any]()
            if is_last or state.step % log_every == 0:
                # Together with the row, which has to wait for the device anyway.
                guard.check()
                row |= _row(loss, state, clock)
            if job.validate and (is_last or state.step % validate_every == 0):
                # The averaged weights are those that are kept and teach.
                accuracy = job.validate(state.average.model)
                row |= {"step": state.step, "validation_accuracy": accuracy}
            if row:
                log.add(row)
            # After the row: a resumed run keeps the rows up to its checkpoint, and makes no others.
            checkpointer.write_if_due()
            advance(1, _note(row))
            if stopped:
                checkpointer.write()
                raise KeyboardInterrupt  # now the command may end as Ctrl-C ends any
    guard.check_weights()
    state.seconds = clock.seconds()
    return state.average.model


def _is_usable(checkpoint: Path) -> bool:
    """Whether there is a checkpoint that is as it was written; a damaged one is moved aside."""
    # The main process's word, so that all begin at one step.
    return distributed.broadcast(distributed.is_main() and is_usable(checkpoint))


def _step_bytes(job: TrainingJob) -> int:
    """Bytes of the device's memory that a step takes, by an estimate."""
    # With the weights and their average, which are there already: kernels need room beside them.
    settings = job.settings
    return memory_of(settings.generation, settings.num_classes, job.plan.images_at_once)


def _row(loss: Loss, state: TrainingState, clock: "Clock") -> dict[str, Any]:
    # Every process is here: the mean waits for all, whichever of them writes the log.
    total, labeled, unlabeled = distributed.mean([part.item() for part in loss])
    return {
        "step": state.step,
        "loss": round(total, 6),
        "labeled_loss": round(labeled, 6),
        # JSON has no nan, which stands for a loss without unlabeled images.
        "unlabeled_loss": None if math.isnan(unlabeled) else round(unlabeled, 6),
        "lr": state.lr,
        "images_per_second": round(clock.images_per_second(), 1),
    }


def _note(row: dict[str, Any]) -> str:
    """What the progress display shows of a row of the log, if the row has a loss."""
    if "loss" not in row:
        return ""
    parts = f"loss {row['loss']:.3f}"
    if row["unlabeled_loss"] is not None:
        parts += f" (labeled {row['labeled_loss']:.3f}, unlabeled {row['unlabeled_loss']:.3f})"
    return f"{parts}, {row['images_per_second']:,.0f} images/s"


class Clock:
    """Training time, including the time before a resume."""

    def __init__(self, job: TrainingJob, state: TrainingState) -> None:
        self._state, self._before, self._first = state, state.seconds, state.step
        self._images = sum(sampler.batch_size for sampler in job.plan.samplers)
        self._start = time.monotonic()  # not the wall clock, which may be set meanwhile

    def seconds(self) -> float:
        """Seconds of all steps so far."""
        return self._before + time.monotonic() - self._start

    def images_per_second(self) -> float:
        """Images of all processes together, since this one began."""
        # Without the steps before a resume, which may have run on another machine.
        steps = self._state.step - self._first
        return self._images * steps / (time.monotonic() - self._start)


class DivergenceGuard:
    """Stops training once the loss has diverged or a weight is not finite.

    Losses are collected on the device and read together, as each read waits for the device.
    """

    def __init__(self, job: TrainingJob, state: TrainingState) -> None:
        self._job, self._state = job, state
        self._limit = math.inf
        self._unseen: list[torch.Tensor] = []
        self._found: tuple[int, float] | None = None

    def watch(self, loss: Loss) -> None:
        """Keep a step's loss for the next check."""
        self._unseen.append(loss.total)

    def check(self) -> None:
        """Raise Diverged at the first step so far whose loss diverges, in this process or another.

        All processes come here together: one that stopped alone would leave the others waiting.
        """
        self._look()
        found = [first for first in distributed.gather_for_all(self._found) if first]
        if found:
            raise self._diverged(*min(found, key=lambda first: first[0]))

    def check_weights(self) -> None:
        """Raise Diverged if a weight is not finite, which is the same in all processes.

        The update that follows the last good loss may have made it so.
        """
        if not self._has_finite_weights():
            raise self._diverged(self._state.step, math.nan)

    def is_good(self) -> bool:
        """Whether nothing has diverged so far, as this process sees it."""
        self._look()
        return self._found is None and self._has_finite_weights()

    def _look(self) -> None:
        """Read the losses since the last look, and keep the first that diverges."""
        losses = torch.stack(self._unseen).tolist() if self._unseen else []
        self._unseen = []
        for step, loss in enumerate(losses, start=self._state.step - len(losses) + 1):
            if not math.isfinite(loss) or loss > self._limit:
                self._found = self._found or (step, loss)
            # The first loss sets the limit: how large a loss is depends on the classes.
            if math.isinf(self._limit):
                self._limit = DIVERGED * max(loss, 1.0)

    def _has_finite_weights(self) -> bool:
        return all(weight.isfinite().all() for weight in self._state.model.parameters())

    def _diverged(self, step: int, loss: float) -> Diverged:
        job, state = self._job, self._state
        # So that the sentence names the learning rate that step had.
        state.scheduler.step_update(step - 1)
        kept = "no earlier state was kept"
        if job.checkpoint.exists():
            kept = f"the last good state is in {job.checkpoint}"
        return Diverged(
            f"the loss of {job.name} is {loss:.4g} at step {step} with learning rate "
            f"{state.lr:.4g}",
            f"({kept}): lower lr, raise warmup, or set clip_norm",
        )


class Checkpointer:
    """Writes the training state at intervals of minutes or steps, as the recipe says."""

    def __init__(
        self, job: TrainingJob, state: TrainingState, guard: DivergenceGuard, clock: Clock
    ) -> None:
        self._job, self._state, self._guard, self._clock = job, state, guard, clock
        self._last = time.monotonic()

    def write_if_due(self) -> None:
        """Write the state if it is due, but not at the end, where the model itself is written."""
        recipe, state = self._job.recipe, self._state
        minutes = (time.monotonic() - self._last) / 60
        due = minutes >= recipe.checkpoint_minutes or (
            recipe.checkpoint_steps is not None and state.step % recipe.checkpoint_steps == 0
        )
        if due and state.step < state.steps:
            self.write()

    def write(self) -> None:
        """Write the state if it is a good one. Raises Diverged if it is not."""
        self._last = time.monotonic()
        # A diverged state must not replace the last good one, which could then not be resumed.
        if distributed.size() == 1:
            self._guard.check()
            self._guard.check_weights()
        # By the clock of each process, so that not all are here: they stop at their next check.
        elif not distributed.is_main() or not self._guard.is_good():
            return
        self._state.seconds = self._clock.seconds()
        self._state.save(self._job.checkpoint, self._job.identity)
        self._last = time.monotonic()


@contextmanager
def _stops() -> Iterator[list[int]]:
    """Catch Ctrl-C and SIGTERM once, so that the step can be finished and its state kept.

    The list is no longer empty once a signal came; a second signal stops at once. Where several
    processes train, signals are not caught, as the processes would not all stop at the same step.
    """
    caught: list[int] = []
    before: dict[signal.Signals, Any] = {}

    def catch(number: int, _: object) -> None:
        caught.append(number)
        signal.signal(number, before[signal.Signals(number)])  # the second one stops at once

    try:
        for number in (signal.SIGINT, signal.SIGTERM) if distributed.size() == 1 else ():
            before[number] = signal.signal(number, catch)
    except ValueError:  # not the main thread, the only one that may handle signals
        pass
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
