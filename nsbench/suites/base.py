"""What all suites share: keys, cells, scores and rules, which each kind defines for itself."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from nsbench.data.preprocessing import Preprocessing, fixed_crop
from nsbench.data.spec import SourceSpec
from nsbench.metrics.change import Metric
from nsbench.metrics.robustness import Floats, in_top_k
from nsbench.predictions import Predictions
from nsbench.suites.constants import ReferenceEntry
from nsbench.util.config import NAME, Config, nearest
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint

Tables = dict[str, dict[str, list[float]]]


class Scored(NamedTuple):
    """The scores of a suite's predictions.

    metrics: by key, the first being the headline. tables: figures behind them, by name, each a map
    of a row (a corruption, an epsilon) to numbers. parts: what the headline is made of, by
    corruption (mean error) or perturbation (flips).
    """

    metrics: dict[str, Metric]
    tables: Tables
    parts: dict[str, Metric]


class Suite(Config, ABC):
    """The keys of every suite. A kind is a subclass in its own file, with `kind` as a Literal."""

    ORDER: ClassVar[int] = 100
    """Reports show kinds in ascending order; those that a user registers come last by default."""

    NOT_PROTOCOL: ClassVar[tuple[str, ...]] = ("description", "reference")
    """Keys that do not change the suite's own metrics, or are hashed elsewhere."""

    ADDED_LATER: ClassVar[tuple[str, ...]] = ()
    """Keys that came later: a suite without them keeps the hash, and the results, that it had."""

    kind: str
    """What is measured: `accuracy`, `detection`, `corruption`, `perturbation` or `attack`."""
    # The name of a folder on any system, and never a hidden one.
    name: str = Field(pattern=NAME)
    """Of the suite and of the folders of its results; by default that of the file."""
    description: str = ""
    """For people."""
    source: SourceSpec
    """The images, as a path or name or a table; see the keys of a source."""
    images_per_class: int | None = Field(default=None, ge=1)
    """Only that many images a class, chosen by hash of their ids; by default all."""
    mask: bool = False
    """Only the logits of the source's classes count, as on ImageNet-A and -R."""
    reference: str | None = None
    """Constants that normalise the metric: a file made by `nsbench reference`, beside the suite's,
    or a shipped one such as `alexnet.json`."""
    seed: int = Field(default=0, ge=0)
    """Of the random draws that images are changed by."""

    @abstractmethod
    def cells(self) -> list[str]:
        """The smallest parts that can be resumed, in the order in which they are run."""

    @abstractmethod
    def score(self, folder: Path, reference: Mapping[str, Any] | None) -> Scored:
        """The metrics of the predictions in a folder. Raises NsbenchError for a broken file.

        reference: what `reference_of` gave when the suite was evaluated.
        """

    @property
    @abstractmethod
    def metric_name(self) -> str:
        """The name of the suite's headline metric."""

    @property
    def metric_names(self) -> dict[str, str]:
        """What tables call the metrics that `score` may give, by key; empty where that is open."""
        return {}

    def protocol(self, *, places: bool = True) -> str:
        """Hash of all that defines the numbers, except the model and the images themselves.

        places: also of where the images lie; without for results, which hold a hash of the images.
        """
        # A hash with a key that earlier versions did not have would disown their predictions.
        unused = {key for key in self.ADDED_LATER if getattr(self, key) is None}
        where = () if places else ("source",)
        return fingerprint(self.model_dump(exclude={*self.NOT_PROTOCOL, *unused, *where}))

    def describe(self) -> str:
        """What is done to the images, and which outputs count, in a few sentences."""
        sentences = ["Only the logits of the source's classes count."] if self.mask else []
        if self.images_per_class:
            sentences.append(
                f"{self.images_per_class} images a class, chosen by hash of their names."
            )
        return " ".join([*sentences, *self.sentences()])

    def sentences(self) -> list[str]:
        """The sentences of `describe` that are particular to this kind."""
        return ["Each model's own crop."]

    @property
    def clean_source(self) -> SourceSpec | None:
        """The source of the images of the cell `clean`, if it is a different one."""
        return None

    def without_clean(self) -> Self:
        """The suite without its clean images. Raises NsbenchError if it needs them."""
        raise NsbenchError(f"{self.name} needs its clean images")

    @property
    def clean_is_optional(self) -> bool:
        """Whether the clean images serve only for comparison."""
        return False

    @property
    def has_unknown_classes(self) -> bool:
        """Whether the images are of classes that no model was trained on."""
        return False

    @property
    def needs_gradients(self) -> bool:
        """Whether only differentiable models can be evaluated."""
        return False

    @property
    def compares_errors(self) -> bool:
        """Whether a comparison of two models gives their error consistency (kappa)."""
        return False

    @property
    def crop(self) -> Preprocessing | None:
        """The crop that the suite fixes for all models; None for each model's own."""
        return None

    @property
    def released_files(self) -> str | None:
        """Where changed images are read from: a path or `data:NAME`; None if they are generated."""
        return None

    @property
    def can_generate(self) -> bool:
        """Whether changed images can be generated where released files are missing."""
        return True

    def generator_identity(self) -> str | None:
        """The generator of the pixels and its version, None without one.

        Not the device, on which they hardly depend; it is a setting of the results.
        """
        return None

    def frame_count(self, cell: str) -> int:
        """How many images an image of the source becomes in a cell."""
        return 1

    @property
    def comparable_keys(self) -> tuple[str, ...]:
        """Parts of a result's identity that must be equal for two models to be compared."""
        # Not weights, classes, preprocessing and numerics, in which two models may differ.
        return ("protocol", "images", "generator")

    @property
    def takes_reference(self) -> bool:
        """Whether `nsbench reference` makes constants or a list of images for it."""
        return False

    @property
    def normalised(self) -> bool:
        """Whether a reference normalises the metrics, rather than choosing the images."""
        return True

    @property
    def reference_needed_by(self) -> str | None:
        """The setting that makes no sense without a reference, as it is written in the file."""
        return None

    def chosen_ids(self, reference: Mapping[str, Any] | None) -> set[str] | None:
        """Ids of the images that count, None for all."""
        return None

    def uses_published(self, entry: ReferenceEntry) -> bool:
        """Whether published constants are for this kind of suite."""
        return False

    def fit_published(self, entry: ReferenceEntry) -> ReferenceEntry:
        """Only the constants that the suite needs. Raises NsbenchError if they do not fit it."""
        return entry

    def constants(self, entry: ReferenceEntry) -> dict[str, float]:
        """Every constant that the suite needs, 0 for a missing one."""
        return {}

    @property
    def cell_metric(self) -> str:
        """The key of what `cell_values` are: of accuracy suites `top1`."""
        return "top1"

    def cell_values(self, scores: "SuiteScores") -> dict[str, list[float]]:
        """What was measured in each cell: value, and the ends of its 95% interval, in percent."""
        return {}

    def reference_values(self, reference: Mapping[str, Any]) -> dict[str, float]:
        """The metrics of the model that normalises, in percent by key, as far as they are known.

        reference: as for `score`.
        """
        return {}

    def check_reference(self, entry: ReferenceEntry) -> None:
        """Raise NsbenchError for an entry that cannot be this suite's, whatever its constants."""

    def reference_entry(self, folder: Path) -> dict[str, Any]:
        """Constants from a model's predictions on the suite of `without_reference`."""
        return {}

    def without_reference(self) -> Self:
        """The suite as it is evaluated to make its reference."""
        return self.model_copy(update={"reference": None})


class SizedSuite(Suite):
    """A suite that changes pixels, and so fixes the crop that it changes."""

    # The identity of the files is part of a result's generator, wherever they lie.
    NOT_PROTOCOL: ClassVar = (*Suite.NOT_PROTOCOL, "files")

    # 32 px is the smallest size that the original generators have constants for (CIFAR-10-C).
    image_size: int = Field(ge=32, le=4096)
    """Height and width of the centre crop that is changed, in pixels. A model of another input size
    gets the changed crop resized (bicubic, antialiased)."""
    resize_size: int | None = Field(default=None, le=8192)
    """Short side before the crop, in pixels (256 for ImageNet-C); by default that of the crop."""
    files: str | None = None
    """A folder in the layout of the released set, made by `nsbench make` or downloaded, whose
    pixels are used as they are; then nothing is generated. Its path counts from the working
    directory. A `data:NAME` that is not found is generated instead."""

    @property
    def short_side(self) -> int:
        """Length of the short side before the crop, in pixels."""
        # Without the key the crop reaches from side to side, as in sets of small images.
        return self.resize_size or self.image_size

    @property
    def crop(self) -> Preprocessing:
        """The centre crop that is changed."""
        return fixed_crop(self.image_size, self.short_side)

    @property
    def released_files(self) -> str | None:
        """The key `files`."""
        return self.files

    @property
    def takes_reference(self) -> bool:
        """Always true: constants normalise its metrics."""
        return True

    def sentences(self) -> list[str]:
        """What the crop is."""
        resize = f" after a short side of {self.resize_size} px" if self.resize_size else ""
        return [f"Centre crops of {self.image_size} px{resize}."]

    def check_reference(self, entry: ReferenceEntry) -> None:
        """Raise NsbenchError for constants of another image size."""
        # AlexNet's errors at 224 px say nothing of corruptions with the constants of 32 or 64 px.
        if entry.image_size not in (None, self.image_size):
            raise NsbenchError(
                f"{self.name} has images of {self.image_size} px, but {self.reference} is of "
                f"{entry.image_size} px: leave out the suite's reference"
            )

    @model_validator(mode="after")
    def _crop_inside(self) -> Self:
        # A crop beyond the resized image would be padded, which no released set is.
        if self.resize_size is not None and self.resize_size < self.image_size:
            raise ValueError("resize_size must be at least image_size")
        return self


@dataclass(frozen=True, repr=False)
class SuiteScores:
    """The metrics of one model on one suite; see `Scored` for metrics, tables and parts.

    folder: of the predictions. model, info: the model's name and what is known of it. manifest: the
    content of suite.json. reference: the model whose constants normalise, None without.
    """

    suite: Suite
    folder: Path
    model: str
    info: dict[str, Any]
    manifest: dict[str, Any]
    metrics: dict[str, Metric]
    tables: Tables
    reference: str | None
    parts: dict[str, Metric]

    def __repr__(self) -> str:
        return f"<{self.model} on {self.suite.name}: {next(iter(self.metrics.values()))!r}>"


def correct(rows: Predictions, k: int = 1) -> NDArray[np.bool_]:
    """Whether each image's label is among its k top classes, (N,)."""
    return in_top_k(rows.labels, rows.top, k)


def accuracy_metric(name: str, rows: Predictions, k: int = 1) -> Metric:
    """Top-k accuracy in percent, with Wilson's interval."""
    # A proportion: Wilson's interval stays within 0 and 100, also near them, as on ImageNet-A.
    scores: Floats = 100.0 * correct(rows, k).astype(np.float64)
    return Metric(name, tuple(rows.ids), scores, True, proportion=True)


def error_parts(ids: tuple[str, ...], name: str, rows: Mapping[str, Floats]) -> dict[str, Metric]:
    """A metric in percent for each row of a table, from its per-image fractions (N,)."""
    return {part: Metric(name, ids, 100 * values, False) for part, values in rows.items()}


def check_parts(suite: Suite, given: Iterable[str], known: Collection[str]) -> None:
    """Raise NsbenchError for constants of a corruption or perturbation that there is none of."""
    for name in given:
        if name not in known:
            raise NsbenchError(
                f"{suite.reference} has constants of '{name}', which {suite.name} does not know"
                f"{nearest(name, known)}"
            )


def check_known(names: list[str], valid: tuple[str, ...], what: str) -> None:
    """Raise ValueError for a name that is unknown or repeated."""
    for name in names:
        if name not in valid:
            raise ValueError(f"there is no {what} '{name}'{nearest(name, valid)}")
    # A repeated name would be one cell, and count twice in a mean.
    if len(set(names)) < len(names):
        raise ValueError(f"a {what} is named twice")
