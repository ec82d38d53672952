"""The machine that a step looks at, and how a step ends that is not simply done."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.timing import timed

T = TypeVar("T")


class Skipped(Exception):
    """A step that has nothing to do here. The message is the reason, as a sentence's end."""


class Failed(Exception):
    """A step that found something wrong: what, and all the figures it has nevertheless."""

    def __init__(self, sentence: str, figures: dict[str, Any]) -> None:
        super().__init__(sentence)
        self.figures = figures


@dataclass(frozen=True)
class Machine:
    """A device to look at. tiny: with small sizes, to prove the steps where it is slow."""

    device: torch.device
    tiny: bool

    @property
    def on_gpu(self) -> bool:
        """Whether the device is one of CUDA, with what only those have."""
        return self.device.type == "cuda"

    def pick(self, full: T, tiny: T) -> T:
        """The value for full sizes, or that for tiny ones."""
        return tiny if self.tiny else full

    def seconds(self, call: Callable[[], object], repeats: int = 3) -> float:
        """Seconds that a call takes: the median of some, after one that warms up."""
        call()
        return statistics.median(timed(call, self.device) for _ in range(repeats))


def attempt(part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The figures of one part of a step; an error in it must not keep the other parts from theirs.

    Returns `skipped` with the sentence of an NsbenchError, which is what a missing optional package
    raises, and `error` with that of any other.
    """
    try:
        return part()
    except NsbenchError as error:
        return {"skipped": str(error)}
    except Exception as error:
        return {"error": told(error)}


def told(error: BaseException) -> str:
    """An error as one line, with its kind."""
    return f"{type(error).__name__}: {first_line(error)}"


def checked(parts: dict[str, dict[str, Any]], figures: dict[str, Any]) -> dict[str, Any]:
    """The figures of a step, once all of its parts say `right`. Raises Failed otherwise.

    parts: by name, as `attempt` returns them; what was skipped is not wrong.
    """
    wrong = [name for name, part in parts.items() if not part.get("right", "skipped" in part)]
    figures = {
        "parts": len(parts),
        "wrong": wrong,
        "skipped": {name: part["skipped"] for name, part in parts.items() if "skipped" in part},
        **figures,
    }
    if wrong:
        shown = ", ".join(wrong[:3]) + (", …" if len(wrong) > 3 else "")
        raise Failed(f"{len(wrong)} of {len(parts)} are not right: {shown}", figures)
    return figures
