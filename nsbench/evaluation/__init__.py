"""Models times cells to predictions. `register` adds a kind of suite."""

from nsbench.evaluation.register import register

__all__ = ["register"]
