"""The machine that a step looks at, and what a step hands back."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from nsbench.reporting.doctor_result import Goal, Outcome, Speed
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.timing import timed

T = TypeVar("T")


class Skipped(Exception):
    """A step that has nothing to do here. The message is the reason, as a sentence's end."""


@dataclass(frozen=True)
class Finding:
    """What a step found: fields as those of `StepResult`; speeds and goals where it has any."""

    outcome: Outcome
    verdict: str
    figures: dict[str, Any]
    speeds: dict[str, Speed] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)


@dataclass(frozen=True)
class Machine:
    """A device to look at.

    tiny: with small sizes, to prove the steps where it is slow. end: when the time of the step is
    over, by the monotonic clock.
    """

    device: torch.device
    tiny: bool
    end: float = float("inf")

    @property
    def on_gpu(self) -> bool:
        """Whether the device is one of CUDA, with what only those have."""
        return self.device.type == "cuda"

    def pick(self, gpu: T, cpu: T, tiny: T) -> T:
        """The value for a GPU, that for a CPU, which does less in as many minutes, or the tiny."""
        if self.tiny:
            return tiny
        return gpu if self.on_gpu else cpu

    def seconds(self, call: Callable[[], object], repeats: int = 3) -> float:
        """Seconds that a call takes: the median of some, after one that warms up."""
        call()
        return statistics.median(timed(call, self.device) for _ in range(repeats))

    def each(self, parts: Mapping[str, Callable[[], dict[str, Any]]]) -> dict[str, dict[str, Any]]:
        """The figures of each part, by name, as far as the time suffices.

        An error in one must not keep the others from theirs: an NsbenchError, which is what a
        missing optional package raises, gives `skipped` and its sentence, any other `error`.
        """
        done: dict[str, dict[str, Any]] = {}
        longest = 0.0
        for name, part in parts.items():
            start = time.monotonic()
            if start + longest > self.end:  # it would be given up, and the others' figures with it
                break
            done[name] = _attempt(part)
            longest = max(longest, time.monotonic() - start)
        return done


def _attempt(part: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return part()
    except NsbenchError as error:
        return {"skipped": str(error)}
    except Exception as error:
        return {"error": told(error)}


def told(error: BaseException) -> str:
    """An error as one line, with its kind."""
    return f"{type(error).__name__}: {first_line(error)}"


def checked(
    parts: Mapping[str, dict[str, Any]], count: int, what: str, figures: dict[str, Any]
) -> Finding:
    """Whether all of a step's parts say `right`.

    parts: by name, as `Machine.each` returns them; what was skipped is not wrong. count: of parts,
    had there been time for all. what: the plural of a part, with what it was checked for.
    """
    wrong = [name for name, part in parts.items() if not part.get("right", "skipped" in part)]
    skipped = {name: part["skipped"] for name, part in parts.items() if "skipped" in part}
    left = count - len(parts)
    figures = {
        "parts": count,
        "wrong": wrong,
        "skipped": skipped,
        "errors": {name: part["error"] for name, part in parts.items() if "error" in part},
        **figures,
    }
    right = f"{len(parts) - len(wrong) - len(skipped)} of {count} {what}"
    right += f", {len(skipped)} skipped" if skipped else ""
    if wrong:
        shown = ", ".join(wrong[:3]) + (", …" if len(wrong) > 3 else "")
        return Finding("wrong", f"{len(wrong)} of {count}: {shown}", figures)
    if left:
        return Finding("no time", f"{right}, {left} not tried", figures)
    if len(skipped) == count:
        raise Skipped(next(iter(skipped.values()), "there is nothing to check"))
    return Finding("right", right, figures)
