"""Errors under corruption, as ImageNet-C: mCE and relative mCE."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from nsbench.metrics.change import Metric
from nsbench.metrics.intervals import column_intervals, wilson
from nsbench.metrics.robustness import Floats, corruption_errors, mce, relative_mce
from nsbench.names import CORRUPTIONS, EXTRA_CORRUPTIONS, FAMILIES, SEVERITIES
from nsbench.predictions import read_cell
from nsbench.suites.base import (
    Scored,
    SizedSuite,
    SuiteScores,
    Tables,
    accuracy_metric,
    check_known,
    check_parts,
    correct,
    error_parts,
)
from nsbench.suites.constants import ReferenceEntry
from nsbench.util.errors import NsbenchError

MIN_RISE = 0.05
"""Relative mCE leaves out, and says so, a corruption that raises the reference's mean error by less
than five points: it would divide by noise. AlexNet has none on ImageNet-C (the least is 13)."""


class CorruptionSuite(SizedSuite):
    """Errors under corruption: mCE and relative mCE."""

    ORDER: ClassVar = 2

    kind: Literal["corruption"]
    """Errors under corruption."""
    # The 15 that the mCE is defined by; the four extra ones have to be named.
    corruptions: list[str] = Field(default=list(CORRUPTIONS), min_length=1)
    """Names of corruptions; by default the 15 that the mCE is defined by. The four extra ones have
    to be named."""
    severities: list[int] = Field(default=list(SEVERITIES), min_length=1)
    """From 1 to 5; by default all."""
    generator: Literal["nsbench", "imagecorruptions", "none"] = "nsbench"
    """What makes the pixels: `nsbench`, after the original code and on any device; the package
    `imagecorruptions`; or `none`: only files, whose corruptions may have any name."""
    jpeg_quality: int = Field(default=85, ge=0, le=100)
    """Every corrupted image goes through JPEG of that quality, as the released ImageNet-C did (85);
    0 for no JPEG, as CIFAR-10-C. Files are used as they are, but for those that `nsbench make`
    stored losslessly, which still go through JPEG."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.generator != "none":
            check_known(self.corruptions, CORRUPTIONS + EXTRA_CORRUPTIONS, "corruption")
        elif not self.files:
            raise ValueError("generator = \"none\" makes no images: name the key 'files'")
        else:
            _check_folder_names(self.corruptions)
        return self

    @field_validator("severities")
    @classmethod
    def _in_range(cls, severities: list[int]) -> list[int]:
        if not set(severities) <= set(SEVERITIES) or len(set(severities)) < len(severities):
            raise ValueError("severities must be different whole numbers from 1 to 5")
        return severities

    def cells(self) -> list[str]:
        """`clean`, then `fog/3` and so on."""
        # The clean images come too: relative mCE is the rise over their error.
        return ["clean", *(f"{name}/{s}" for name in self.corruptions for s in self.severities)]

    def corrupted_cells(self) -> list[tuple[str, int]]:
        """Corruption and severity of every cell but `clean`."""
        return [parse_cell(cell) for cell in self.cells() if cell != "clean"]

    def score(self, folder: Path, reference: Mapping[str, Any] | None) -> Scored:
        """The mCE and relative mCE if there is a reference, the mean error, and the clean top-1."""
        # As booleans, read cell by cell: over 75 cells, an image takes 75 bytes.
        errors = {name: self._errors(folder, name) for name in self.corruptions}
        clean_rows = read_cell(folder, "clean")
        clean_errors = (~correct(clean_rows)).astype(float)
        ids = tuple(clean_rows.ids)
        metrics = _normalised(errors, clean_errors, ids, reference) if reference else {}
        by_corruption = {name: rows.mean(0) for name, rows in errors.items()}
        # Over corruptions and severities alike: every corruption has as many severities.
        mean: Floats = 100 * np.stack(list(by_corruption.values())).mean(0)
        metrics["error"] = Metric("mean error", ids, mean, False)
        metrics["clean_top1"] = accuracy_metric("clean top-1", clean_rows)
        tables = {"error": {name: (100 * rows.mean(1)).tolist() for name, rows in errors.items()}}
        if reference:
            ce = corruption_errors(errors, reference["errors"])
            tables["ce"] = {name: [float(values.mean())] for name, values in ce.items()}
        tables |= self._banded(errors)
        return Scored(metrics, tables, error_parts(ids, "error", by_corruption))

    def _banded(self, errors: Mapping[str, NDArray[np.bool_]]) -> Tables:
        """Mean error by severity and by family of corruptions, each with its 95% interval."""
        # Images in rows: they are resampled, and all columns with them at once.
        by_severity = 100 * np.mean([rows.T for rows in errors.values()], axis=0)
        columns = {f"{s}": by_severity[:, n] for n, s in enumerate(self.severities)}
        tables: Tables = {"severity": {}, "family": {}}
        table_of = dict.fromkeys(columns, "severity")
        for family, names in FAMILIES.items():
            own = [100 * errors[name].mean(0) for name in names if name in errors]
            if own:
                columns[family] = np.mean(own, axis=0)
                table_of[family] = "family"
        intervals = column_intervals(np.stack(list(columns.values()), 1))
        for (name, values), interval in zip(columns.items(), intervals, strict=True):
            tables[table_of[name]][name] = [float(values.mean()), *interval]
        return tables

    def _errors(self, folder: Path, name: str) -> NDArray[np.bool_]:
        """Whether each image is wrong at each severity, (S, N); a cell's rows are not kept."""
        # Without ids, which are those of the cell `clean`.
        cells = (
            read_cell(folder, f"{name}/{severity}", id_step=0, columns=["label"])
            for severity in self.severities
        )
        return np.stack([~correct(rows) for rows in cells])

    @property
    def metric_name(self) -> str:
        """`mCE`, or the mean error without a reference."""
        return mce_name(self.corruptions) if self.reference else "mean error"

    @property
    def metric_names(self) -> dict[str, str]:
        """Errors under corruption, the first two with a reference; and the clean top-1."""
        normalised = {"mce": mce_name(self.corruptions), "relative_mce": "relative mCE"}
        return {
            **(normalised if self.reference else {}),
            "error": "mean error",
            "clean_top1": "clean top-1",
        }

    def sentences(self) -> list[str]:
        """What the crop is, and what corrupts it."""
        if self.generator == "none":
            return [*super().sentences(), "Corrupted images are read as released, never made."]
        quality = f"JPEG quality {self.jpeg_quality}" if self.jpeg_quality else "no JPEG"
        return [
            *super().sentences(),
            f"Corrupted images that are not released files: by {self.generator}, {quality}.",
        ]

    @property
    def can_generate(self) -> bool:
        """Whether the key `generator` names a generator."""
        return self.generator != "none"

    def generator_identity(self) -> str:
        """The package and its version, or nsbench's generator and its version."""
        if self.generator == "imagecorruptions":
            from nsbench.corruptions import package  # with torch, which reports do without

            return package.version()
        from nsbench.corruptions import VERSION

        return f"nsbench corruptions {VERSION}"

    def uses_published(self, entry: ReferenceEntry) -> bool:
        """Whether the constants are errors."""
        return bool(entry.errors)

    def fit_published(self, entry: ReferenceEntry) -> ReferenceEntry:
        """The errors of the suite's corruptions and severities."""
        super().check_reference(entry)
        check_parts(self, entry.errors or {}, {*CORRUPTIONS, *EXTRA_CORRUPTIONS, *self.corruptions})
        rows = {name: row for name, row in (entry.errors or {}).items() if name in self.corruptions}
        if any(len(row) != len(SEVERITIES) for row in rows.values()):
            raise NsbenchError(f"{self.reference} needs errors of {len(SEVERITIES)} severities")
        # Published rows have all severities in order; the suite may have some in any order.
        # A corruption that is missing here is reported by `constants`, as any other constant.
        errors = {
            name: [rows[name][severity - 1] for severity in self.severities]
            for name in self.corruptions
            if name in rows
        }
        return entry.model_copy(update={"errors": errors})

    def check_reference(self, entry: ReferenceEntry) -> None:
        """Raise NsbenchError for another image size, no clean error, or errors of other parts."""
        super().check_reference(entry)
        if entry.clean is None:
            raise NsbenchError(
                f"{self.reference} cannot serve {self.name}: relative mCE needs the key 'clean', "
                "the reference's error on clean images; add it, or run nsbench reference"
            )
        check_parts(self, entry.errors or {}, self.corruptions)
        for name, row in (entry.errors or {}).items():
            if len(row) != len(self.severities):
                raise NsbenchError(
                    f"{self.reference} has {len(row)} errors of '{name}', but {self.name} has "
                    f"{len(self.severities)} severities: run nsbench reference again"
                )

    def constants(self, entry: ReferenceEntry) -> dict[str, float]:
        """The sum over severities of each corruption's errors, by which its CE is divided."""
        # CE is a ratio of sums over severities, not a mean of ratios (section 4.1 of Hendrycks and
        # Dietterich 2019).
        errors = entry.errors or {}
        return {name: sum(errors.get(name, [])) for name in self.corruptions}

    @property
    def cell_metric(self) -> str:
        """The error of a corruption at a severity."""
        return "error"

    def cell_values(self, scores: SuiteScores) -> dict[str, list[float]]:
        """The error in each cell, with Wilson's interval."""
        images = scores.manifest["images"]
        found = {}
        for name, row in scores.tables["error"].items():
            for severity, error in zip(self.severities, row, strict=True):
                low, high = wilson(round(error * images / 100), images)
                found[f"{name}/{severity}"] = [error, 100 * low, 100 * high]
        return found

    def reference_values(self, reference: Mapping[str, Any]) -> dict[str, float]:
        """100 where it normalises itself, and its mean error and clean accuracy."""
        errors = [reference["errors"][name] for name in self.corruptions]
        clean = 100 * (1 - float(reference["clean"]))
        mean = 100 * float(np.mean(errors))
        return {"mce": 100.0, "relative_mce": 100.0, "error": mean, "clean_top1": clean}

    def reference_entry(self, folder: Path) -> dict[str, Any]:
        """The clean error and the errors by corruption and severity, to six places."""
        scored = self.score(folder, None)
        errors = scored.tables["error"]
        return {
            # Six places tell errors of any set up to a million images apart.
            "clean": round(1 - scored.metrics["clean_top1"].value / 100, 6),
            "errors": {name: [round(e / 100, 6) for e in row] for name, row in errors.items()},
        }


def parse_cell(cell: str) -> tuple[str, int]:
    """The corruption and severity of a cell such as `fog/3`."""
    name, severity = cell.split("/")
    return name, int(severity)


def mce_name(corruptions: Sequence[str]) -> str:
    """`mCE` for the 15 corruptions that define it; for others, their number is added."""
    # A mean over others, such as all 19, would else be compared with published numbers.
    if set(corruptions) == set(CORRUPTIONS):
        return "mCE"
    return f"mCE of {len(corruptions)} corruption{'s' if len(corruptions) > 1 else ''}"


def _check_folder_names(names: list[str]) -> None:
    # Names become cells and paths: no slashes, no dots.
    wrong = [name for name in names if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name)]
    # On many disks `Fog` and `fog` are one folder.
    if wrong or len({name.lower() for name in names}) < len(names):
        raise ValueError(
            f"corruptions must be different names of folders, unlike '{wrong or names}'"
        )


def rising_corruptions(names: Sequence[str], reference: Mapping[str, Any]) -> list[str]:
    """The corruptions that relative mCE is of: those that raise the reference's error enough."""
    errors, clean = reference["errors"], reference["clean"]
    return [name for name in names if np.mean(errors[name]) - clean >= MIN_RISE]


def _normalised(
    errors: Mapping[str, NDArray[np.bool_]],
    clean: Floats,
    ids: tuple[str, ...],
    reference: Mapping[str, Any],
) -> dict[str, Metric]:
    """The mCE, and the relative mCE over corruptions that raise the reference's error.

    Their bounds are the values of a model that is always wrong.
    """
    # Bounds for the intervals, which must not reach beyond what a model can score.
    base, clean_base = reference["errors"], reference["clean"]
    always = {name: np.ones(len(row)) for name, row in errors.items()}
    bounds = (0.0, float(mce(always, base)))
    metrics = {"mce": Metric(mce_name(list(errors)), ids, mce(errors, base), False, bounds=bounds)}
    rising = rising_corruptions(list(errors), reference)
    if rising:
        part = f" ({len(rising)} of {len(errors)})" if len(rising) < len(errors) else ""
        values = relative_mce({name: errors[name] for name in rising}, clean, base, clean_base)
        most = float(relative_mce({name: always[name] for name in rising}, 0, base, clean_base))
        metrics["relative_mce"] = Metric(
            f"relative mCE{part}", ids, values, False, bounds=(-most, most)
        )
    return metrics
