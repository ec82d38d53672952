"""Accuracy under attack: FGSM curves, and PGD by foolbox."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from nsbench.metrics.intervals import bootstrap
from nsbench.metrics.robustness import Floats
from nsbench.predictions import read_cell
from nsbench.suites.base import Scored, Suite, SuiteScores, Tables, accuracy_metric

MOST = 255
"""The largest epsilon, in units of 1/255."""


class AttackSuite(Suite):
    """Accuracy under attack, at the model's own input size."""

    ORDER: ClassVar = 4
    ADDED_LATER: ClassVar = ("steps", "relative_step", "random_start")

    kind: Literal["attack"]
    """Accuracy under attack."""
    attack: Literal["fgsm", "pgd"] = "fgsm"
    """`fgsm`, the fast gradient sign method, or `pgd`, projected gradient descent; both bound the
    largest change of a pixel."""
    epsilons: list[float] = Field(min_length=1)
    """Bounds in units of 1/255, ascending, applied before normalisation."""
    headline: float
    """The epsilon that summaries show, in units of 1/255."""
    steps: int | None = Field(default=None, ge=1)
    """Of PGD only: how many (10 in the paper)."""
    relative_step: float | None = Field(default=None, gt=0)
    """Of PGD only: the size of a step as a share of epsilon."""
    # A key with one value: whoever reads the suite sees that the start is not random.
    random_start: Literal[False] | None = None
    """Of PGD only, and always false, so that an attacked image depends on nothing but image and
    model."""

    @field_validator("epsilons")
    @classmethod
    def _positive(cls, epsilons: list[float]) -> list[float]:
        # Epsilons name the cells, so that a repeated one would be one cell twice.
        if min(epsilons) < 0 or sorted(set(epsilons)) != epsilons:
            raise ValueError("epsilons must be in ascending order, different and not negative")
        if max(epsilons) > MOST:
            raise ValueError(f"epsilons must be at most {MOST}, by which any pixel may be any")
        return [epsilon + 0.0 for epsilon in epsilons]  # -0.0 is 0.0 by another name

    @field_validator("headline")
    @classmethod
    def _without_sign(cls, headline: float) -> float:
        return headline + 0.0

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.headline not in self.epsilons:
            raise ValueError(f"headline is {exact(self.headline)}, which is not among the epsilons")
        # All must be set: published PGD numbers differ by their steps, sizes and starts, and a
        # default would hide which ones were used.
        pgd_keys = self.ADDED_LATER
        given = [key for key in pgd_keys if getattr(self, key) is not None]
        if self.attack == "pgd" and len(given) < len(pgd_keys):
            raise ValueError(f'attack = "pgd" needs the keys {", ".join(pgd_keys)}')
        if self.attack == "fgsm" and given:
            raise ValueError(f"the key '{given[0]}' is for PGD only: leave it out")
        return self

    def cells(self) -> list[str]:
        """`eps=8` and so on."""
        return [epsilon_cell(epsilon) for epsilon in self.epsilons]

    def score(self, folder: Path, reference: Mapping[str, Any] | None) -> Scored:
        """Top-1 at every epsilon, the headline's first."""
        title = self.attack.upper()
        curve = {
            epsilon: accuracy_metric(
                f"{title} ε={exact(epsilon)}", read_cell(folder, epsilon_cell(epsilon))
            )
            for epsilon in self.epsilons
        }
        metrics = {f"{self.attack}_{exact(self.headline)}": curve[self.headline]}
        # The headline keeps its position as the first key.
        metrics |= {f"{self.attack}_{exact(epsilon)}": metric for epsilon, metric in curve.items()}
        rows = {exact(e): [metric.value, *metric.interval] for e, metric in curve.items()}
        tables: Tables = {"accuracy": rows}
        if len(curve) > 1:
            area = self._area([metric.scores for metric in curve.values()])
            tables["area"] = {"mean accuracy": [float(area.mean()), *bootstrap(area)]}
        return Scored(metrics, tables, {})

    def _area(self, scores: Sequence[Floats]) -> Floats:
        """The area under each image's curve, as its mean over the range of epsilons, (N,)."""
        # Trapezoids, on the scale of the epsilons themselves.
        widths = np.diff(self.epsilons)
        heights = [(low + high) / 2 for low, high in pairwise(scores)]
        area: Floats = np.average(heights, axis=0, weights=widths)
        return area

    def cell_values(self, scores: SuiteScores) -> dict[str, list[float]]:
        """Top-1 at each epsilon, with Wilson's interval."""
        curve = scores.tables["accuracy"].items()
        return {epsilon_cell(float(epsilon)): row for epsilon, row in curve}

    @property
    def metric_name(self) -> str:
        """Top-1 at the headline's epsilon."""
        return f"top-1 under {self.attack.upper()}, ε={exact(self.headline)}/255"

    @property
    def metric_names(self) -> dict[str, str]:
        """Top-1 at each epsilon."""
        return {
            f"{self.attack}_{exact(epsilon)}": f"{self.attack.upper()} ε={exact(epsilon)}"
            for epsilon in self.epsilons
        }

    def sentences(self) -> list[str]:
        """The crop and the attack."""
        strengths = ", ".join(map(exact, self.epsilons))
        attack = f"{self.attack.upper()} with ε of {strengths} in units of 1/255, before "
        attack += "normalisation"
        if self.steps:
            attack += f"; {self.steps} steps of {self.relative_step:g} ε, no random start"
        return [*super().sentences(), f"{attack}."]

    @property
    def needs_gradients(self) -> bool:
        """Always true."""
        return True


def epsilon_cell(epsilon: float) -> str:
    """The cell of an attack strength in units of 1/255."""
    return f"eps={exact(epsilon)}"


def exact(number: float) -> str:
    """A number as text that no other number has: `8` for 8.0, `1.0000001` in all its digits."""
    # :g writes 8.0 as 8, but has six digits only, in which two numbers may be equal.
    short = f"{number:g}"
    return short if float(short) == number else repr(number)
