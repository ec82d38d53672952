"""Metrics, intervals and changes as pure functions of arrays; no torch, no files.

Errors, probabilities and accuracies go in as fractions; mCE, mFR and mT5D come out in percent, as
the benchmarks print them.
"""

from nsbench.metrics.arrays import (
    corruption_errors,
    mean_corruption_error,
    mean_flip_rate,
    mean_top5_distance,
    paired_change,
    relative_mean_corruption_error,
)
from nsbench.metrics.calibration import (
    aupr,
    auroc,
    aurra,
    expected_calibration_error,
    fpr95,
    rms_calibration_error,
)
from nsbench.metrics.change import Change, Metric
from nsbench.metrics.intervals import Interval, bootstrap, error_consistency, mcnemar, wilson
from nsbench.metrics.robustness import flip_probability, top5_distance

__all__ = [
    "Change",
    "Interval",
    "Metric",
    "aupr",
    "auroc",
    "aurra",
    "bootstrap",
    "corruption_errors",
    "error_consistency",
    "expected_calibration_error",
    "flip_probability",
    "fpr95",
    "mcnemar",
    "mean_corruption_error",
    "mean_flip_rate",
    "mean_top5_distance",
    "paired_change",
    "relative_mean_corruption_error",
    "rms_calibration_error",
    "top5_distance",
    "wilson",
]
