"""What a published metric is in nsbench's terms: its key, its part, and how it is called."""

from dataclasses import dataclass
from functools import cache

from nsbench.suites.load import shipped

WHOLE: dict[str, tuple[str, str, bool, bool]] = {
    "top1_acc_pct": ("top-1", "top1", False, True),
    "top1_err_pct": ("top-1 error", "top1", True, False),
    "mCE_pct": ("mCE", "mce", False, False),
    "relative_mCE_pct": ("relative mCE", "relative_mce", False, False),
    "mean_acc_pct": ("mean accuracy", "error", True, True),
    "mean_err_pct": ("mean error", "error", False, False),
    "mFR_pct": ("mFR", "mfr", False, False),
    "mT5D_pct": ("mT5D", "mt5d", False, False),
    "mean_acc_14_pct": ("mean accuracy of 14", "", False, True),
    "calibration_rms_pct": ("RMS calibration error", "", False, False),
    "aurra_pct": ("AURRA", "", False, True),
}
"""Of each metric of a whole suite: its name, nsbench's key if it has one, whether that is 100 less
the published value, and whether higher is better."""

PARTS: dict[str, tuple[str, str, bool, bool]] = {
    "_CE_pct": ("CE", "ce", False, False),
    "_acc_pct": ("accuracy", "error", True, True),
    "_flip_probability_pct": ("flip probability", "flip_probability", False, False),
    "_FR_pct": ("flip rate", "", False, False),
    "_T5D_pct": ("T5D", "", False, False),
}
"""The same of the metrics of one corruption or sequence, whose name comes before these endings."""

PARTED = ("imagenet-c", "imagenet-3dcc", "imagenet-p")
"""Suites with results of single corruptions or sequences. Elsewhere the endings mean others."""


@dataclass(frozen=True)
class Meaning:
    """A metric in nsbench's terms.

    name: for people. key: of a metric of the suite's, or of a table of its scores where there is a
    part; empty where nsbench has none. part: the corruption or sequence. is_complement: whether
    nsbench's value is 100 less this one.
    """

    name: str
    key: str
    part: str
    is_complement: bool
    higher_is_better: bool


@cache
def meaning_of(suite: str, metric: str) -> Meaning:
    """What a metric of `results.csv` means on a suite."""
    known = suite in shipped()
    if metric in WHOLE:
        name, key, is_complement, higher = WHOLE[metric]
        return Meaning(name, key if known else "", "", is_complement, higher)
    ending = next((end for end in PARTS if suite in PARTED and metric.endswith(end)), None)
    if ending is None:
        # Of other benchmarks: shares of right answers, all of them.
        name = metric.removesuffix("_pct").removesuffix("_acc").replace("_", " ")
        return Meaning(name, "", "", False, True)
    name, key, is_complement, higher = PARTS[ending]
    part = metric.removesuffix(ending)
    return Meaning(f"{name} {part.replace('_', ' ')}", key, part, is_complement, higher)
