"""Detection of images of unknown classes, as ImageNet-O: AUPR, AUROC and FPR95."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from nsbench.data.spec import SourceSpec
from nsbench.metrics.calibration import DETECTION
from nsbench.metrics.change import Detection, DetectionMetric, Metric
from nsbench.metrics.robustness import Floats
from nsbench.predictions import read_cell
from nsbench.suites.base import Scored, Suite, accuracy_metric


class DetectionSuite(Suite):
    """Detection of unknown classes by low confidence, as ImageNet-O: AUPR, AUROC and FPR95.

    The source has the images of unknown classes, in folders named by the classes that they are
    mistaken for. Confidence is the largest softmax over these classes only.
    """

    ORDER: ClassVar = 1
    # The clean images are hashed themselves, whatever their source is called.
    NOT_PROTOCOL: ClassVar = (*Suite.NOT_PROTOCOL, "clean")

    kind: Literal["detection"]
    """Detection of unknown classes."""
    # As the authors of ImageNet-O evaluate: the logits of its 200 classes, before the softmax.
    mask: Literal[True] = True
    """Always true: the logits of the source's classes only, before the softmax, as the authors of
    ImageNet-O evaluate."""
    clean: SourceSpec
    """A source whose images of these classes, by name, are the known ones."""

    def cells(self) -> list[str]:
        """`images`, those of unknown classes, and `clean`."""
        return ["images", "clean"]

    def score(self, folder: Path, reference: Mapping[str, Any] | None) -> Scored:
        """The three measures, and the top-1 of the known images.

        An image's score is minus its confidence; one that could not be read has the worst score.
        """
        unknown, known = read_cell(folder, "images"), read_cell(folder, "clean")
        unreadable = unknown.top[:, 0] < 0
        # Full confidence in an unknown class is the worst that a model can have.
        confidence = np.concatenate([np.where(unreadable, 1, unknown.confidence), known.confidence])
        # Minus: the less confident a model is, the likelier the class is unknown (Hendrycks and
        # Gimpel 2017).
        scores: Floats = -confidence.astype(np.float64)
        # The unknown images come first, and are the positives.
        detection = Detection(scores, np.arange(len(scores)) < len(unreadable))
        ids = (*unknown.ids, *known.ids)
        metrics: dict[str, Metric] = {
            # A share of false positives is the only one of the three that is better when lower.
            name.lower(): DetectionMetric(name, ids, scores, name != "FPR95", detection=detection)
            for name in DETECTION
        }
        metrics["clean_top1"] = accuracy_metric("clean top-1", known)
        return Scored(metrics, {}, {})

    @property
    def metric_name(self) -> str:
        """The measure that the authors of ImageNet-O report."""
        return "AUPR"

    @property
    def metric_names(self) -> dict[str, str]:
        """The three measures, and the top-1 of the known images."""
        return {**{name.lower(): name for name in DETECTION}, "clean_top1": "clean top-1"}

    @property
    def clean_source(self) -> SourceSpec:
        """The key `clean`."""
        return self.clean

    @property
    def has_unknown_classes(self) -> bool:
        """Always true."""
        return True

    @property
    def comparable_keys(self) -> tuple[str, ...]:
        """The usual keys and the known images, since the measures depend on both groups."""
        return (*super().comparable_keys, "clean")
