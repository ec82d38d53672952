"""Top-1 and top-5 accuracy: ImageNet, its relatives A, R, V2, Sketch and ReaL, and any folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import model_validator

from nsbench.data.spec import SourceSpec
from nsbench.metrics.calibration import calibration_percent, reliability, risk_coverage
from nsbench.metrics.intervals import column_intervals
from nsbench.predictions import Predictions, read_cell
from nsbench.suites.base import Scored, Suite, Tables, accuracy_metric, correct
from nsbench.suites.constants import ReferenceEntry

PROPER_NAMES = ("NLL (nats)", "Brier score")
"""What tables call the proper scores, neither of which is in percent."""

COVERAGES = np.linspace(0.05, 1, 20)
"""Shares of images answered at which the risk is told."""


class AccuracySuite(Suite):
    """Top-1 and top-5 accuracy."""

    ORDER: ClassVar = 0
    # The accuracy of `images` is the same with and without clean images beside it.
    NOT_PROTOCOL: ClassVar = (*Suite.NOT_PROTOCOL, "clean")

    kind: Literal["accuracy"]
    """Top-1 and top-5 accuracy."""
    misclassified: bool = False
    """Only the images that the model of the reference gets wrong (adversarial filtration, as
    ImageNet-A was made); then the cell `clean` holds all images, for comparison."""
    clean: SourceSpec | None = None
    """A source whose images of the same classes, by name, are the cell `clean`; if it is a
    `data:NAME` that is not found, that cell is left out."""

    @model_validator(mode="after")
    def _one_clean(self) -> Self:
        if self.misclassified and self.clean:
            raise ValueError("misclassified = true has all images as clean ones: leave out 'clean'")
        return self

    def cells(self) -> list[str]:
        """`images`, and `clean` where only misclassified images count, or `clean` is named."""
        return ["images", "clean"] if self.misclassified or self.clean else ["images"]

    def score(self, folder: Path, reference: Mapping[str, Any] | None) -> Scored:
        """Top-1, top-5, the top-1 of the clean images, and calibration."""
        # On ImageNet-A and the like the clean accuracy on the same classes is what top-1 fell from.
        rows = read_cell(folder, "images")
        metrics = {
            "top1": accuracy_metric("top-1", rows),
            "top5": accuracy_metric("top-5", rows, 5),
        }
        if "clean" in self.cells():
            metrics["clean_top1"] = accuracy_metric("clean top-1", read_cell(folder, "clean"))
        calibration = calibration_percent(rows.confidence.astype(np.float64), correct(rows))
        tables: Tables = {"calibration": {name: [value] for name, value in calibration.items()}}
        return Scored(metrics, tables | _confidence_tables(rows) | _proper_tables(rows), {})

    @property
    def metric_name(self) -> str:
        """Top-1, among all classes or among the source's."""
        return "top-1 of its classes" if self.mask else "top-1"

    @property
    def metric_names(self) -> dict[str, str]:
        """Accuracies; the clean one only where there are clean images."""
        clean = {"clean_top1": "clean top-1"} if "clean" in self.cells() else {}
        return {"top1": "top-1", "top5": "top-5", **clean}

    @property
    def clean_source(self) -> SourceSpec | None:
        """The key `clean`."""
        return self.clean

    @property
    def clean_is_optional(self) -> bool:
        """Always true: the clean accuracy is only shown beside the other."""
        return True

    def without_clean(self) -> Self:
        """The suite with the cell `images` alone."""
        return self.model_copy(update={"clean": None})

    @property
    def compares_errors(self) -> bool:
        """Always true: each image is right or wrong."""
        return True

    @property
    def takes_reference(self) -> bool:
        """True if only the images that the reference's model gets wrong count."""
        return self.misclassified

    @property
    def normalised(self) -> bool:
        """Always false: a reference only chooses images."""
        return False

    @property
    def reference_needed_by(self) -> str | None:
        """The setting `misclassified = true`, if it is set."""
        return "misclassified = true" if self.misclassified else None

    def chosen_ids(self, reference: Mapping[str, Any] | None) -> set[str] | None:
        """The images that the reference's model gets wrong, if only these count."""
        if not self.misclassified:
            return None
        assert reference is not None  # `load_suite` refuses the setting without a reference
        return set(reference["misclassified"])

    def constants(self, entry: ReferenceEntry) -> dict[str, float]:
        """How many images the reference's model gets wrong."""
        # As a constant, so that an empty list is refused like a missing one.
        return {"misclassified": len(entry.misclassified or [])}

    def reference_entry(self, folder: Path) -> dict[str, Any]:
        """Ids of the images that the model gets wrong."""
        # Ids and not indices: a source may gain images, or list them in another order.
        rows = read_cell(folder, "images")
        wrong = np.flatnonzero(~correct(rows))
        return {"misclassified": [rows.ids[row] for row in wrong.tolist()]}

    def without_reference(self) -> Self:
        """The suite with all of its images."""
        return self.model_copy(update={"reference": None, "misclassified": False})


def _confidence_tables(rows: Predictions) -> Tables:
    """What confidences are worth: by bin, by share of images answered; and accuracy by class."""
    confidence, right = rows.confidence.astype(np.float64), correct(rows)
    classes, place = np.unique(rows.labels, return_inverse=True)
    counts = np.bincount(place)
    shares = 100 * np.bincount(place, weights=right) / counts
    risks = 100 * risk_coverage(confidence, right, COVERAGES)
    return {
        "reliability": {
            f"{number}": [100 * mean, 100 * share, count]
            for number, (mean, share, count) in enumerate(reliability(confidence, right), 1)
        },
        "risk_coverage": {
            f"{100 * share:.0f}": [float(risk)]
            for share, risk in zip(COVERAGES, risks, strict=True)
        },
        "classes": {
            f"{label}": [float(share), int(count)]
            for label, share, count in zip(classes, shares, counts, strict=True)
        },
    }


def _proper_tables(rows: Predictions) -> Tables:
    """The mean proper scores, with intervals; empty for results of versions without them."""
    if rows.proper is None:
        return {}
    scores = rows.proper.astype(np.float64)
    intervals = zip(PROPER_NAMES, scores.mean(0), column_intervals(scores), strict=True)
    return {"proper": {name: [float(mean), *interval] for name, mean, interval in intervals}}
