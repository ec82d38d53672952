"""Stability under perturbation sequences, as ImageNet-P: mFR and mT5D."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from nsbench.metrics.change import Metric
from nsbench.metrics.intervals import column_intervals
from nsbench.metrics.robustness import (
    Floats,
    flip_probability,
    flips_by_frame,
    normalised_mean,
    top5_distance,
)
from nsbench.names import EXTRA_PERTURBATIONS, PERTURBATIONS, frame_count, is_noise
from nsbench.predictions import read_cell
from nsbench.suites.base import (
    Scored,
    SizedSuite,
    SuiteScores,
    check_known,
    check_parts,
    error_parts,
)
from nsbench.suites.constants import WORST_DISTANCE, ReferenceEntry
from nsbench.util.errors import NsbenchError


class PerturbationSuite(SizedSuite):
    """Stability under perturbation sequences: mFR and mT5D.

    Sequences that move the image show what lies between the resized image's edge and the crop.
    """

    ORDER: ClassVar = 3

    kind: Literal["perturbation"]
    """Stability under perturbation sequences."""
    # The sizes that the sequences have constants for.
    image_size: Literal[224, 64, 32]
    """Height and width of a frame, in pixels: 224, 64 or 32, the sizes that the sequences have
    constants for."""
    difficulty: int = Field(default=1, ge=1, le=3)
    """From 1 to 3, of the noises."""
    # The ten of the paper, with snow; the original test.py lists the held-out spatter instead.
    perturbations: list[str] = Field(default=list(PERTURBATIONS), min_length=1)
    """Names of sequences; by default the ten of the paper, with snow."""

    @field_validator("perturbations")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        check_known(names, PERTURBATIONS + EXTRA_PERTURBATIONS, "perturbation")
        return names

    def cells(self) -> list[str]:
        """The perturbations' names."""
        return list(self.perturbations)

    def difficulty_of(self, name: str) -> int:
        """A sequence's difficulty: only noises have more than one."""
        # For the others the original test.py compares frames further apart, in the same files.
        return self.difficulty if is_noise(name) else 1

    def frame_count(self, cell: str) -> int:
        """Frames of the sequence at this size."""
        return frame_count(cell, self.image_size)

    def score(self, folder: Path, reference: Mapping[str, Any] | None) -> Scored:
        """The mFR and mT5D if there is a reference, and the mean flip probability."""
        flips: dict[str, Floats] = {}
        distances, by_frame = {}, {}
        ids: tuple[str, ...] = ()
        for name in self.cells():
            frames = self.frame_count(name)
            # Ids of each clip's first frame only, as those of the others are equal, and of the
            # first sequence only, as all are of the same clips.
            rows = read_cell(folder, name, id_step=0 if flips else frames, columns=())
            # A clip's frames are stored one after the other.
            top, noise = rows.top.reshape(-1, frames, rows.top.shape[1]), is_noise(name)
            unreadable = (top[..., 0] < 0).all(1)  # such a clip counts as the worst there can be
            flips[name] = np.where(unreadable, 1.0, flip_probability(top[..., 0], noise))
            distances[name] = np.where(unreadable, WORST_DISTANCE, top5_distance(top, noise))
            by_frame[name] = (100 * flips_by_frame(top[..., 0], noise)).tolist()
            ids = ids or tuple(rows.ids)
        metrics = {}
        if reference:
            metrics["mfr"] = _normalised("mFR", ids, flips, 1.0, reference["flip_probability"])
            metrics["mt5d"] = _normalised(
                "mT5D", ids, distances, WORST_DISTANCE, reference["top5_distance"]
            )
        # Each sequence weighs the same, whatever its number of frames.
        mean: Floats = 100 * np.stack(list(flips.values())).mean(0)
        metrics["flip_probability"] = Metric("mean flip probability", ids, mean, False)
        tables = {
            "flip_probability": {name: [float(100 * row.mean())] for name, row in flips.items()},
            "top5_distance": {name: [float(row.mean())] for name, row in distances.items()},
            "flips_by_frame": by_frame,
        }
        return Scored(metrics, tables, error_parts(ids, "flip probability", flips))

    @property
    def metric_name(self) -> str:
        """`mFR`, or the mean flip probability without a reference."""
        return "mFR" if self.reference else "mean flip probability"

    @property
    def metric_names(self) -> dict[str, str]:
        """Flip rates, the first two with a reference."""
        normalised = {"mfr": "mFR", "mt5d": "mT5D"} if self.reference else {}
        return {**normalised, "flip_probability": "mean flip probability"}

    def sentences(self) -> list[str]:
        """What the crop is, and how frames are compared."""
        return [
            *super().sentences(),
            f"Difficulty {self.difficulty}; noises against the first frame, others against the one "
            "before.",
        ]

    def generator_identity(self) -> str:
        """The generator and its version."""
        from nsbench.perturbations import VERSION  # with torch, which reports do without

        return f"nsbench perturbations {VERSION}"

    def uses_published(self, entry: ReferenceEntry) -> bool:
        """Whether the constants are flip probabilities."""
        return bool(entry.flip_probability)

    def fit_published(self, entry: ReferenceEntry) -> ReferenceEntry:
        """The constants of these perturbations, which were published for difficulty 1."""
        super().check_reference(entry)
        given = {*(entry.flip_probability or {}), *(entry.top5_distance or {})}
        check_parts(self, sorted(given), PERTURBATIONS + EXTRA_PERTURBATIONS)
        if self.difficulty != 1:
            raise NsbenchError(
                f"{self.name} has difficulty {self.difficulty}, but {self.reference} is of "
                "difficulty 1: leave out the suite's reference"
            )
        flips, distances = entry.flip_probability or {}, entry.top5_distance or {}
        both = [name for name in self.perturbations if name in flips and name in distances]
        update = {
            "flip_probability": {name: flips[name] for name in both},
            "top5_distance": {name: distances[name] for name in both},
        }
        return entry.model_copy(update=update)

    def check_reference(self, entry: ReferenceEntry) -> None:
        """Raise NsbenchError for another image size, or constants of other perturbations."""
        super().check_reference(entry)
        given = {*(entry.flip_probability or {}), *(entry.top5_distance or {})}
        check_parts(self, sorted(given), self.perturbations)

    def constants(self, entry: ReferenceEntry) -> dict[str, float]:
        """Flip probabilities and top-5 distances."""
        # Both by one name each, so that an error says which of them is missing.
        flips, distances = entry.flip_probability or {}, entry.top5_distance or {}
        constants = {name: flips.get(name, 0.0) for name in self.perturbations}
        return constants | {
            f"T5D of {name}": distances.get(name, 0.0) for name in self.perturbations
        }

    @property
    def cell_metric(self) -> str:
        """The flip probability of a sequence."""
        return "flip_probability"

    def cell_values(self, scores: SuiteScores) -> dict[str, list[float]]:
        """The flip probability of each sequence, with its interval over clips."""
        columns = np.stack([metric.scores for metric in scores.parts.values()], 1)
        rows = zip(scores.parts.items(), column_intervals(columns), strict=True)
        # Where no clip flips, or all do alike, resamples have no width.
        return {
            name: [metric.value, *(metric.interval if np.ptp(metric.scores) == 0 else interval)]
            for (name, metric), interval in rows
        }

    def reference_values(self, reference: Mapping[str, Any]) -> dict[str, float]:
        """100 where it normalises itself, and its mean flip probability."""
        flips = [reference["flip_probability"][name] for name in self.perturbations]
        return {"mfr": 100.0, "mt5d": 100.0, "flip_probability": 100 * float(np.mean(flips))}

    def reference_entry(self, folder: Path) -> dict[str, Any]:
        """Flip probabilities and top-5 distances, to six places."""
        tables = self.score(folder, None).tables
        flips, distances = tables["flip_probability"], tables["top5_distance"]
        return {
            "flip_probability": {name: round(row[0] / 100, 6) for name, row in flips.items()},
            "top5_distance": {name: round(row[0], 6) for name, row in distances.items()},
        }


def _normalised(
    name: str,
    ids: tuple[str, ...],
    values: Mapping[str, Floats],
    worst: float,
    reference: Mapping[str, float],
) -> Metric:
    """A mean over sequences relative to the reference's; no clip can be worse than `worst`."""
    most = normalised_mean(dict.fromkeys(values, worst), reference)
    return Metric(name, ids, normalised_mean(values, reference), False, bounds=(0, most))
