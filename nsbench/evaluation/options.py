"""How an evaluation runs, beside what it measures."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from nsbench import distributed
from nsbench.config import nearest
from nsbench.errors import NsbenchError
from nsbench.models import resolve_device
from nsbench.progress import say

PRECISIONS: dict[str, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
BATCH = 250


class Memory:
    """How many images fit into the device's memory at once; found out by trying."""

    def __init__(self) -> None:
        self.size = sys.maxsize

    def in_parts(self, work: Callable[[slice], torch.Tensor], count: int) -> torch.Tensor:
        """`work` on slices of `count` images, joined; smaller slices where memory runs out.

        Raises NsbenchError if one image is too much.
        """
        parts: list[torch.Tensor] = []
        start = 0
        while start < count:
            stop = min(start + self.size, count)
            try:
                parts.append(work(slice(start, stop)))
                start = stop
            except RuntimeError as error:  # of which running out of memory is one
                if not _short_of_memory(error):
                    raise
                self._halve(stop - start)
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _halve(self, tried: int) -> None:
        if tried == 1:
            raise NsbenchError(
                "the device has too little memory for one image: free some, or use --device cpu"
            )
        self.size = tried // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        say(f"the device is out of memory: going on with {self.size} images at once")


def _short_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


@dataclass(frozen=True)
class Options:
    """What does not belong to a suite. Those that change numbers go into the fingerprint.

    device: where models and corruptions run. batch_size: images; halved where memory is short.
    precision: of the forward pass, by autocast. channels_last: the order of values in memory.
    compile: whether torch.compile makes the models faster first. cache: a folder that keeps decoded
    images. quick: only 5,000 images, the same everywhere. limit: only so many images.
    """

    device: torch.device
    batch_size: int = BATCH
    precision: str = "float32"
    channels_last: bool = True
    compile: bool = False
    cache: Path | None = None
    quick: bool = False
    limit: int | None = None
    memory: Memory = field(default_factory=Memory)

    @property
    def numerics(self) -> str:
        """What may change the last digits of an answer."""
        layout = "channels last" if self.channels_last else "channels first"
        return f"{self.precision}, {layout}" + (", compiled" if self.compile else "")

    def autocast(self) -> AbstractContextManager[object]:
        """The context that models answer in."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, PRECISIONS[self.precision])


def make_options(
    *,
    device: str | None = None,
    precision: str = "float32",
    cache: Path | str | None = None,
    **others: Any,
) -> Options:
    """Options from what users write; under torchrun, for this process.

    Raises NsbenchError for a device or precision that cannot be used.
    """
    if precision not in PRECISIONS:
        raise NsbenchError(
            f"there is no precision '{precision}'{nearest(precision, PRECISIONS)}; there are "
            f"{', '.join(PRECISIONS)}"
        )
    target = distributed.start(resolve_device(device))
    return Options(target, precision=precision, cache=Path(cache) if cache else None, **others)
