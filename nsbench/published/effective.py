"""Effective robustness: how much more accurate a model is under shift than its clean accuracy buys.

Taori et al. (NeurIPS 2020, arXiv 2007.00644): on logit axes, models without special training lie on
a line. A model's effective robustness is its distance above that line in points of accuracy.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, log

from nsbench.metrics.change import Metric
from nsbench.published.match import unlike_shipped
from nsbench.suites.base import SuiteScores

LEAST = 55.0
"""Percent of clean accuracy from which the lines hold: they were fitted to models above it."""


@dataclass(frozen=True)
class Line:
    """logit(shifted) = slope * logit(clean) + intercept, with the natural logarithm.

    clean: the accuracy on the horizontal axis, in words: of all of ImageNet's validation images, or
    of those of the suite's classes. r2: the share of variance that it explains. above, below:
    percent of clean accuracy between which it holds.
    """

    slope: float
    intercept: float
    r2: float
    clean: str = "imagenet-1k top-1"
    above: float = LEAST
    below: float = 100.0


CLASSES = "clean top-1 of the suite's classes"

LINES: dict[str, tuple[Line, ...]] = {
    "imagenet-v2-matched-frequency": (Line(0.923, -0.498, 0.996),),
    "imagenet-sketch": (Line(1.071, -2.370, 0.869),),
    "imagenet-r": (Line(0.637, -2.108, 0.889, CLASSES),),
    # Mean accuracy over the 75 cells of the released files, by each model's own transform.
    "imagenet-c": (Line(1.249, -1.858, 0.894),),
    # It bends at ResNet-50, against which ImageNet-A was collected.
    "imagenet-a": (
        Line(0.689, -5.140, 0.41, CLASSES, below=91.86),
        Line(2.956, -10.277, 0.905, CLASSES, above=91.86),
    ),
}
"""Least squares over the 85 standard models of imagenet-testbed (0170eec, MIT) whose clean top-1 is
55% or more. Beyond the best of them (84.73% of ImageNet, 96.90% of ImageNet-A's classes) a line is
an extrapolation."""


def line_of(suite: str, clean_percent: float) -> Line | None:
    """The line of a suite at a clean accuracy, None where there is none."""
    lines = LINES.get(suite, ())
    return next((line for line in lines if line.above <= clean_percent < line.below), None)


def expected(line: Line, clean_percent: float) -> float:
    """The accuracy in percent that the line gives for a clean accuracy above 0 and below 100."""
    logit = line.slope * log(clean_percent / (100 - clean_percent)) + line.intercept
    return 100 / (1 + exp(-logit))


def standard_points(evaluated: Iterable[SuiteScores]) -> dict[str, tuple[float, float]]:
    """The accuracies that a suite's line is of, clean and shifted in percent, by suite.

    evaluated: the results of one model. Only of those on the shipped suites as they are, with all
    images and the released files: the lines say nothing of others. Lines of all classes need the
    result on imagenet-1k.
    """
    whole = {one.suite.name: one for one in evaluated if not any(unlike_shipped(one))}
    found = {}
    for name in [name for name in LINES if name in whole]:
        own = whole[name].metrics
        of_classes = LINES[name][0].clean == CLASSES
        clean = own.get("clean_top1") if of_classes else _top1(whole.get("imagenet-1k"))
        shifted = own["top1"].value if "top1" in own else 100 - own["error"].value
        if clean:
            found[name] = clean.value, shifted
    return found


def robustness_of(evaluated: Iterable[SuiteScores]) -> dict[str, float]:
    """The effective robustness in points, by suite, of what `standard_points` finds."""
    found = standard_points(evaluated)
    robust = {name: effective_robustness(name, *point) for name, point in found.items()}
    return {name: points for name, points in robust.items() if points is not None}


def _top1(scores: SuiteScores | None) -> Metric | None:
    return scores.metrics["top1"] if scores else None


def effective_robustness(suite: str, clean_percent: float, shifted_percent: float) -> float | None:
    """Points of accuracy above the suite's line, negative below; None where no line holds.

    clean_percent: the top-1 that `line_of(suite, …).clean` names. shifted_percent: top-1 on the
    suite, of ImageNet-C 100 less the mean error.
    """
    line = line_of(suite, clean_percent)
    return None if line is None else shifted_percent - expected(line, clean_percent)
