"""All that changes while a model trains, as one object and as one file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from timm.scheduler.scheduler import Scheduler
from torch import nn

from nsbench.recipes.generation import Generation
from nsbench.training.schedule import WeightAverage, optimizer_for, schedule_for, steps_of
from nsbench.util.config import first_difference
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.sealed import BLANK, written_sealed

COUNTERS = {"step", "lookahead_step"}
"""Counters that some of timm's optimisers (LAMB, Adan, Lookahead) keep once for a whole group."""


class TrainingState:
    """Model, averaged weights, optimiser and schedule of a generation, after `step` updates.

    seconds: training time so far. The schedule is a function of the step alone.
    """

    def __init__(self, model: nn.Module, generation: Generation, labeled_images: int) -> None:
        self.model = model
        self.steps = steps_of(generation, labeled_images)
        self.optimizer = optimizer_for(model, generation)
        self.scheduler: Scheduler = schedule_for(
            self.optimizer, generation, self.steps, labeled_images
        )
        self.average = WeightAverage(model, generation.ema_decay)
        # Only gradients in float16 need scaling: bfloat16 has the range of float32.
        self.scaler = torch.amp.GradScaler(
            next(model.parameters()).device.type, enabled=generation.precision == "float16"
        )
        self.step = 0
        self.seconds = 0.0

    @property
    def lr(self) -> float:
        """The present learning rate."""
        return float(self.optimizer.param_groups[0]["lr"])

    def save(self, path: Path, identity: dict[str, Any]) -> None:
        """Write a checkpoint, whole or not at all, with its digest.

        identity: JSON-like, of what is trained, and from what.
        """
        # Some optimisers count steps in a tensor, some in a number, which goes into the JSON.
        tensors: dict[str, torch.Tensor] = {}
        numbers: dict[str, Any] = {}
        for name, value in self._values():
            if isinstance(value, torch.Tensor):
                # safetensors takes dense tensors that share no memory.
                tensors[name] = value.detach().cpu().contiguous().clone()
            elif isinstance(value, int | float):
                numbers[name] = value
            else:
                raise NsbenchError(
                    f"the optimizer keeps {name} as {type(value).__name__}, which a checkpoint "
                    "cannot hold: choose another optimizer"
                )
        about = {
            "identity": identity,
            "step": self.step,
            "seconds": self.seconds,
            "updates": self.average.updates,
            "scaler": self.scaler.state_dict(),
            "optimizer": numbers,
            "digest": BLANK,
        }
        with written_sealed(path) as file:
            # JSON beside the tensors: a checkpoint is one file, without pickles.
            file.write(safetensors.torch.save(tensors, {"nsbench": json.dumps(about)}))

    def _values(self) -> Iterator[tuple[str, Any]]:
        for name, value in self.model.state_dict().items():
            yield f"model.{name}", value
        for name, value in self.average.model.state_dict().items():
            yield f"average.{name}", value
        for index, entry in self.optimizer.state_dict()["state"].items():
            for name, value in entry.items():
                yield f"optimizer.{index}.{name}", value
        for number, group in enumerate(self.optimizer.state_dict()["param_groups"]):
            for name in COUNTERS & group.keys():
                yield f"counter.{number}.{name}", group[name]

    def load(self, path: Path, identity: dict[str, Any]) -> None:
        """Continue from a checkpoint, whose digest has been checked.

        Raises NsbenchError if it is broken, or of another model, data or settings, and says which.
        """
        about, tensors = _read(path)
        if changed := first_difference(about.get("identity"), json.loads(json.dumps(identity))):
            raise NsbenchError(
                f"{path} was written while training with other settings or data ({changed}): "
                "restore those, or move it away to begin this generation again"
            )
        _fill(self.model, tensors, "model.")
        _fill(self.average.model, tensors, "average.")
        self._fill_optimizer({**tensors, **about["optimizer"]})
        self.average.updates = about["updates"]
        self.scaler.load_state_dict(about["scaler"])
        self.step, self.seconds = about["step"], about["seconds"]

    def _fill_optimizer(self, values: dict[str, Any]) -> None:
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        state: dict[int, dict[str, Any]] = {}
        for name, value in values.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".", 2)
                state.setdefault(int(index), {})[key] = _laid_out(value, weights[int(index)])
        # The groups of this optimiser, not stored ones: the schedule sets their rate at each step.
        groups = self.optimizer.state_dict()["param_groups"]
        for name, value in values.items():
            if name.startswith("counter."):
                _, number, key = name.split(".", 2)
                groups[int(number)][key] = value
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})


def _laid_out(value: Any, weight: torch.Tensor) -> Any:
    """A value in the memory layout of its weight, which fused optimisers rely on."""
    if not isinstance(value, torch.Tensor) or value.shape != weight.shape:
        return value
    return torch.empty_like(weight, dtype=value.dtype).copy_(value)


def _fill(module: nn.Module, tensors: dict[str, torch.Tensor], prefix: str) -> None:
    values = {
        name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)
    }
    module.load_state_dict(values)


def checkpoint_identity(path: Path) -> dict[str, Any]:
    """The identity that a checkpoint was saved with. Raises NsbenchError if it is broken."""
    identity: dict[str, Any] = _read(path, tensors=False)[0]["identity"]
    return identity


def _read(path: Path, *, tensors: bool = True) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["nsbench"])
            # keys() because the file itself cannot be iterated over.
            names = file.keys() if tensors else []
            return about, {name: file.get_tensor(name) for name in names}
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        raise NsbenchError(
            f"{path} is broken ({first_line(error)}): move it away to begin this generation again"
        ) from error
