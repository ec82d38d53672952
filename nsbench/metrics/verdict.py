"""The one rule by which a change is called better or worse, for all rows of a table."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nsbench.metrics.change import MIN_IMAGES, Change
from nsbench.metrics.intervals import benjamini_hochberg
from nsbench.metrics.seeds import OVER, SeedChange

LEVEL = 0.05
"""Of tests and intervals, as everywhere in the field."""

RULE = (
    f"Better or worse: on {MIN_IMAGES} images or more, the paired 95% interval of the change "
    "excludes zero, and its p-value, adjusted for the number of rows (Benjamini-Hochberg), is "
    f"below {LEVEL}. p: McNemar's test for accuracies, else the bootstrap."
)

SEEDS_RULE = (
    f"Better or worse: on {MIN_IMAGES} images or more, the paired 95% interval over {OVER} "
    "excludes zero. It is not adjusted for the number of columns and rows."
)


@dataclass(frozen=True)
class Judged:
    """A change with its p-value, adjusted for all changes of its table."""

    change: Change
    adjusted_p: float

    @property
    def verdict(self) -> str:
        """`better` or `worse`; `undecided` unless interval and adjusted p-value both say so."""
        # Both, because intervals are not adjusted for many rows, and McNemar's test has none.
        if not self.change.significant or self.adjusted_p >= LEVEL:
            return "undecided"
        return "better" if self.change.better else "worse"


def judge(changes: Sequence[Change]) -> list[Judged]:
    """All changes of a table, in their order, each judged with the others in mind.

    A reader looks for what stands out, and of twenty changes that are not real one stands out by
    chance; so p-values are adjusted over the whole table.
    """
    adjusted = benjamini_hochberg(np.array([change.p_value for change in changes]))
    return [Judged(change, float(p)) for change, p in zip(changes, adjusted, strict=True)]


def verdict_over_seeds(change: SeedChange) -> str:
    """`better` or `worse` by the interval over seeds and images, else `undecided`."""
    # No p-values: the tails of so few seeds are not known well enough to adjust them.
    if not change.significant:
        return "undecided"
    return "better" if change.better else "worse"
