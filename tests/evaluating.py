"""Evaluations of tests, which look at the files of predictions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nsbench.evaluation.options import make_options
from nsbench.evaluation.runner import evaluate_with
from nsbench.models import Classifier
from nsbench.suites.base import Suite


def evaluate(
    models: Sequence[str | Classifier], suites: Sequence[str | Suite], **options: Any
) -> list[Path]:
    """The folders that hold the predictions, suite by suite in the order of the models."""
    return evaluate_with(models, suites, make_options(**options))
