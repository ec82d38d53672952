"""One update of the weights."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from nsbench.augment.pipeline import Augmentation
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.transforms import normalize
from nsbench.pseudo_labels.targets import SparseTargets, dense
from nsbench.recipes.generation import Generation
from nsbench.recipes.parts import PseudoLabels
from nsbench.training.batches import TrainingBatch
from nsbench.training.cost import steps_fit
from nsbench.training.loss import Loss, noisy_student_loss
from nsbench.training.row_noise import RowNoise
from nsbench.training.state import TrainingState
from nsbench.util import distributed
from nsbench.util.device import autocast, compiling, fixed, sent
from nsbench.util.randomness import stable_hash


@dataclass(frozen=True)
class StepSettings:
    """What an update depends on, apart from the state and the images.

    prior: by which the rest of a soft label is spread over the classes, (num_classes,); None
    spreads it evenly.
    """

    generation: Generation
    pseudo_labels: PseudoLabels
    preprocessing: Preprocessing
    num_classes: int
    seed: int
    fine_tuned: bool = False
    prior: tuple[float, ...] | None = None


class TrainStep:
    """Makes updates: augmentation, forward and backward passes, optimiser, average.

    Where several processes train together, each makes the same update from its share of the images.
    """

    def __init__(
        self, state: TrainingState, settings: StepSettings, augmentation: Augmentation
    ) -> None:
        self._state, self._settings, self._augmentation = state, settings, augmentation
        self._device = next(state.model.parameters()).device
        generation = settings.generation
        _forget_by_step(state.model, generation.accumulate)
        self._row_noise = RowNoise(state.model, generation)
        self._parallel = distributed.parallel(state.model)
        self._forward: Any = self._parallel
        # Compiled around DistributedDataParallel: torch then splits the graph at its buckets, whose
        # exchange overlaps with the backward pass.
        if generation.compile:
            self._forward = torch.compile(self._parallel)

    def __call__(self, passes: Iterator[TrainingBatch]) -> Loss:
        """Update the weights once. passes: the images of the update, in `accumulate` parts.

        Returns the loss of this process's images. Raises NsbenchError where memory runs out.
        """
        state, generation = self._state, self._settings.generation
        # Before the update: step n, counted from 0, is made with the rate of step n.
        state.scheduler.step_update(state.step)
        state.optimizer.zero_grad(set_to_none=True)
        losses: list[Loss] = []
        for part in range(generation.accumulate):
            batch = next(passes)  # before the seed, as a DataLoader draws from it when it starts
            self._seed(part)
            with self._unsynchronized(part + 1 < generation.accumulate), self._enough(batch):
                losses.append(self._backward(batch))
        with self._enough(batch):
            self._step()
            state.average.update(state.model)
        state.step += 1
        # All parts have as many images, so that the mean of their losses is that of the step.
        return Loss(*(torch.stack(values).mean() for values in zip(*losses, strict=True)))

    def _seed(self, part: int) -> None:
        # For dropout and stochastic depth: by step, so that a resumed run draws the same.
        keys = (self._settings.seed, "model noise", self._state.step, part, distributed.rank())
        torch.manual_seed(stable_hash(*keys) % 2**63)

    def _unsynchronized(self, more: bool) -> AbstractContextManager[Any]:
        # Gradients are exchanged once, with the last part of a step.
        if more and isinstance(self._parallel, DistributedDataParallel):
            return self._parallel.no_sync()
        return nullcontext()

    def _backward(self, batch: TrainingBatch) -> Loss:
        generation = self._settings.generation
        loss = self._loss(batch)
        # With checkpoint_activations the backward pass runs the layers forward once more.
        recomputes = generation.checkpoint_activations
        with _statistics_kept(self._state.model) if recomputes else nullcontext():
            # Gradients of the parts add up: divided, they are those of the whole step's mean.
            self._state.scaler.scale(loss.total / generation.accumulate).backward()
        return Loss(loss.total.detach(), loss.labeled, loss.unlabeled)

    def _enough(self, batch: TrainingBatch) -> AbstractContextManager[None]:
        """A context that turns running out of memory into an NsbenchError."""
        settings = self._settings
        what = f"{len(batch.images)} images of {settings.preprocessing.image_size} px at once"
        return steps_fit(what, settings.generation, settings.fine_tuned)

    def _loss(self, batch: TrainingBatch) -> Loss:
        generation, wanted = self._settings.generation, self._settings.pseudo_labels
        rows = self._row_noise.rows(len(batch.labels), len(batch.images))
        with autocast(self._device, generation.precision), compiling(), rows:
            # A loss in half precision would lose the small probabilities of soft targets.
            logits = self._forward(self._images(batch)).float()
        targets = logits.new_empty(0, 0)
        if batch.targets:
            # Dense only on the device: for 1,000 classes that is 4 KB an image.
            sparse = SparseTargets(*(sent(part, self._device) for part in batch.targets))
            shares = self._settings.prior
            prior = fixed(shares, self._device) if shares else None
            targets = dense(sparse, self._settings.num_classes, wanted.temperature, prior)
        return noisy_student_loss(
            logits,
            sent(batch.labels, self._device),
            targets,
            weighting=generation.loss,
            label_smoothing=generation.label_smoothing,
            hard=wanted.labels != "soft",
            # Plain distillation softens both sides (Hinton et al. 2015), the official code the
            # teacher's only.
            student_temperature=wanted.temperature if wanted.distill else 1.0,
        )

    def _images(self, batch: TrainingBatch) -> torch.Tensor:
        preprocessing = self._settings.preprocessing
        images = self._augmentation.batch(batch.images, batch.keys, len(batch.labels))
        images = normalize(images / 255, preprocessing.mean, preprocessing.std)
        if self._settings.generation.channels_last:  # as the model is
            images = images.contiguous(memory_format=torch.channels_last)
        return images

    def _step(self) -> None:
        state, clip = self._state, self._settings.generation.clip_norm
        if clip:
            state.scaler.unscale_(state.optimizer)  # the norm is that of the true gradients
            nn.utils.clip_grad_norm_(state.model.parameters(), clip)
        state.scaler.step(state.optimizer)
        state.scaler.update()


def _forget_by_step(model: nn.Module, parts: int) -> None:
    """Let batch norm's moving statistics forget as much in a step's parts as in a step at once.

    A momentum of None, which averages all batches alike, stays. No file holds a momentum, so that a
    saved model does not depend on the parts.
    """
    for norm in model.modules():
        # Each part leaves 1 - momentum of what was there.
        if isinstance(norm, _BatchNorm) and norm.momentum is not None and parts > 1:
            norm.momentum = 1 - (1 - norm.momentum) ** (1 / parts)


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """A context in which batch norm does not move its statistics, which have counted the batch.

    The batch is still normalised by its own statistics, as in the first pass.
    """
    # eval() would change the outputs; a momentum of 0 keeps just the moving statistics as they are.
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm)]
    momenta = [part.momentum for part in norms]
    for part in norms:
        part.momentum = 0.0
    try:
        yield
    finally:
        for part, momentum in zip(norms, momenta, strict=True):
            part.momentum = momentum
