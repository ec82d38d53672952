"""What `nsbench doctor` finds out and writes as JSON: its parts, its reading, its exit code."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from nsbench.util.config import Config, parse
from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_json

MADE_BY = "nsbench doctor"
VERSION = 1
"""Raised whenever a key changes its name or meaning, so that a page never mixes two kinds."""

Outcome = Literal["right", "measured", "wrong", "error", "skipped", "no time"]
"""Of a step: all it checked is right; it only measures; something is wrong; it broke off; there is
nothing to do here; its time was too short for all of it."""

Binds = Literal["memory", "launches", "model", "corruptions", "noise", "compute", "host"]
"""What a speed is bound by: the device's memory, the cost of starting kernels, the passes of the
model, the making of corrupted images, the student's input noise, the arithmetic of the kernels, or
the host, which gives the device too little to do."""


COLUMNS = 80
"""Of a terminal that nobody has made wider."""


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= COLUMNS else f"{line[: COLUMNS - 1]}…"


class Speed(Config):
    """How fast a piece of work is, beside its limit.

    images_per_second: measured. limit: images a second that nothing it needs would exceed. share:
    of the limit that is reached. binds: what most of the time goes into.
    """

    images_per_second: float
    limit: float
    share: float
    binds: Binds


class Goal(Config):
    """A figure beside the least that it should be; one that is missed is no fault.

    unit: what follows the number, such as `images/s`.
    """

    name: str
    figure: float
    wanted: float
    unit: str

    @property
    def is_met(self) -> bool:
        """Whether the figure is as good as wanted."""
        return self.figure >= self.wanted

    @property
    def text(self) -> str:
        """The figure and what is wanted, such as `81 % of bare forwards, the goal is 75 %`."""
        figure, wanted = (
            f"{value:.0%}".replace("%", " %")
            if self.unit.startswith("of ")
            else f"{value:,.0f}"
            if value >= 100
            else f"{value:.2f}"
            for value in (self.figure, self.wanted)
        )
        return f"{figure} {self.unit}, the goal is {wanted}"

    @property
    def line(self) -> str:
        """The goal as a line of at most 80 columns."""
        return _cut(f"goal {'reached' if self.is_met else 'missed'}: {self.name}, {self.text}")


class StepResult(Config):
    """What came of one step.

    verdict: a sentence's end that says what was found, or why nothing was. seconds: how long it
    took. figures: all that it found, as JSON.
    """

    step: str
    outcome: Outcome
    verdict: str
    seconds: float
    speeds: dict[str, Speed] = Field(default_factory=dict)
    goals: list[Goal] = Field(default_factory=list)
    figures: dict[str, Any] = Field(default_factory=dict)

    @property
    def line(self) -> str:
        """The verdict as one line of at most 80 columns."""
        return _cut(f"{self.step}: {self.outcome}, {self.verdict}")


class DoctorResult(Config):
    """A check of one machine.

    machine: the model of its GPU, or of its CPU. sizes: `gpu`, `cpu` or `tiny`, how much work the
    steps are given. date: of the check, as 2026-01-31. finished: whether all steps had their turn.
    """

    made_by: Literal["nsbench doctor"]
    version: Literal[1]
    machine: str
    device: str
    sizes: Literal["gpu", "cpu", "tiny"]
    date: str
    seconds: float
    finished: bool
    steps: list[StepResult]

    def of(self, *outcomes: Outcome) -> list[str]:
        """Names of the steps that ended so."""
        return [step.step for step in self.steps if step.outcome in outcomes]

    @property
    def exit_code(self) -> int:
        """0: all that was checked is right. 1: something is wrong. 3: nothing is, as far as seen.

        In the last case some step had too little time. 2 is that of bad input, as everywhere.
        """
        if self.of("wrong", "error"):
            return 1
        return 0 if self.finished and not self.of("no time") else 3

    @property
    def summary(self) -> str:
        """The check in one line."""
        where = f"on {self.machine}, {len(self.steps)} steps in {self.seconds:.0f} s"
        if self.exit_code == 1:
            return f"wrong: {', '.join(self.of('wrong', 'error'))}; {where}"
        if self.exit_code == 3:
            late = ", ".join(self.of("no time")) or "the last steps"
            return f"not all is checked: no time for {late}; {where}"
        skipped = ", ".join(self.of("skipped"))
        return f"all is right {where}" + (f"; skipped: {skipped}" if skipped else "")


def read_result(path: Path) -> DoctorResult:
    """Read what `nsbench doctor --json` wrote.

    Raises NsbenchError for a file that is missing, damaged, of another kind or another version.
    """
    data = read_json(path)
    if not isinstance(data, dict) or data.get("made_by") != MADE_BY:
        raise NsbenchError(f"{path} is not of nsbench doctor: move it out of the folder")
    if data.get("version") != VERSION:
        raise NsbenchError(
            f"{path} is of version {data.get('version')}, and this nsbench reads {VERSION}: check "
            "the machine again, or move the file away"
        )
    return parse(DoctorResult, data, str(path))
