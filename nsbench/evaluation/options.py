"""How an evaluation runs, as opposed to what it measures."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from nsbench.evaluation.deterministic import prepare_matrices
from nsbench.models import resolve_device
from nsbench.util import distributed
from nsbench.util.config import refuse_unknown
from nsbench.util.device import PRECISIONS, AdaptiveBatchSize, autocast
from nsbench.util.errors import NsbenchError

BATCH = 250
"""Images of a forward pass by default: 50,000 and 10,000 are multiples of it."""


@dataclass(frozen=True)
class Options:
    """The settings that do not belong to a suite. Those that change numbers are fingerprinted.

    device: where models and corruptions run. batch_size: images; halved where memory is short.
    precision: of the forward pass, by autocast. channels_last: the order of values in memory.
    compile: whether models are compiled by torch.compile first. cache: a folder that keeps decoded
    images. quick: at most 5,000 images, the same everywhere. limit: at most this many. redo:
    whether cells that are finished are evaluated again.
    """

    device: torch.device
    batch_size: int = BATCH
    precision: str = "float32"
    channels_last: bool = True
    compile: bool = False
    cache: Path | None = None
    quick: bool = False
    limit: int | None = None
    redo: bool = False
    batches: AdaptiveBatchSize = field(default_factory=AdaptiveBatchSize)

    @property
    def settings(self) -> dict[str, Any]:
        """The options that may change the last digits of the outputs, for the fingerprint.

        Their keys are those of `nsbench.predictions.SETTINGS`.
        """
        # Not the batch size, which a shortage of memory changes on its own.
        on_gpu = self.device.type == "cuda"
        kinds = {
            "convolutions": torch.backends.cudnn.allow_tf32,
            "matrices": torch.backends.cuda.matmul.allow_tf32,
        }
        return {
            "precision": self.precision,
            # What torch rounds to ten bits of mantissa; by default convolutions, on GPUs alone.
            "tf32": [kind for kind, allowed in kinds.items() if allowed and on_gpu],
            "memory_format": "channels last" if self.channels_last else "channels first",
            "device": self.device.type,
            "compiled": self.compile,
        }

    def autocast(self) -> AbstractContextManager[object]:
        """The context of forward passes."""
        return autocast(self.device, self.precision)


def make_options(
    *,
    device: str | torch.device | None = None,
    precision: str = "float32",
    cache: Path | str | None = None,
    **others: Any,
) -> Options:
    """Options from what users write; under torchrun, for this process.

    Raises NsbenchError for a device or precision that cannot be used.
    """
    refuse_unknown("precision", [precision], PRECISIONS)
    for name in ("batch_size", "limit"):
        if others.get(name) is not None and others[name] < 1:
            raise NsbenchError(f"{name} is {others[name]}, but must be at least 1")
    target = distributed.start(resolve_device(device))
    if target.type == "cuda":
        prepare_matrices()
    return Options(target, precision=precision, cache=Path(cache) if cache else None, **others)
