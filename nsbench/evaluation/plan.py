"""What an evaluation has to do: a suite's images, and each model's store and missing cells."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.data.catalog import PREFIX, data_set, how_to_get, is_missing
from nsbench.data.label_files import labels_of, of_classes
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.spec import Source, label_sets
from nsbench.data.subset import sample, select_per_class
from nsbench.evaluation.decoded import View
from nsbench.evaluation.decoded_file import DecodedImages
from nsbench.evaluation.model_run import ModelRun, SuiteImages
from nsbench.evaluation.options import Options
from nsbench.models import Classifier, class_indices
from nsbench.predictions import Store
from nsbench.suites.base import Suite
from nsbench.suites.reference import check_classes, check_generator, reference_of
from nsbench.util import distributed
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint, sha256
from nsbench.util.progress import Advance, say

QUICK = 5_000
"""Images that --quick takes of a suite: a tenth of ImageNet's validation set, five a class."""

S = TypeVar("S", bound=Suite)


class Passes(ABC, Generic[S]):
    """How the images of a kind of suite go through models; each kind has a file of its own."""

    def __init__(self, suite: S) -> None:
        self.suite = suite

    @property
    def reads_files(self) -> bool:
        """Whether changed images come from released files."""
        return False

    @property
    def reads_released(self) -> bool:
        """Whether they come from files that `nsbench make` did not make."""
        return False

    @abstractmethod
    def run(
        self, plan: "SuitePlan", runs: list[ModelRun], options: Options, advance: Advance
    ) -> None:
        """Run the missing cells of these models, and count images with `advance`."""

    def open_files(self, images: SuiteImages) -> str:
        """Read changed images of the source from the suite's released files from now on.

        Returns what identifies the files. Raises NsbenchError if they do not fit the suite.
        """
        raise NsbenchError(f"{self.suite.name} cannot read files: leave out the key 'files'")

    def views(self, run: ModelRun) -> list[View]:
        """The views of the images that a model needs: by default one crop."""
        # Where files are read, the source's own images are only for the cell `clean`.
        only_files = self.reads_files and "clean" not in run.missing
        return [] if only_files else [crop_for(self.suite, run.model)]

    def picture_views(self, crop: Preprocessing) -> list[View]:
        """The views that `pictures` needs of an image, the clean crop first."""
        return [crop]

    def pictures(
        self, cell: str, images: SuiteImages, crops: DecodedImages, options: Options
    ) -> Iterator[torch.Tensor]:
        """What a cell makes of some images, uint8 (B, 3, S, S); of clips frame by frame.

        crops: their clean crops. Of an attack the images are clean: each model has its own.
        """
        yield crops.batch(slice(0, len(images.rows)))

    def forward_passes(self, run: ModelRun) -> float:
        """Forward passes that an image takes in a cell, for an estimate."""
        return 1.0

    def maker(self, cell: str, device: torch.device, count: int) -> Callable[[], object] | None:
        """A function that makes `count` images of a cell, to be timed; None if they are read."""
        return None


@dataclass(eq=False)
class SuitePlan:
    """A suite ready to run.

    clean: the images of the cell `clean`, which may be of another source. whole: whether these are
    all of the suite's, and not a part that options chose.
    """

    passes: Passes[Any]
    images: SuiteImages
    runs: list[ModelRun]
    clean: SuiteImages
    whole: bool

    @property
    def suite(self) -> Suite:
        """What is measured."""
        suite: Suite = self.passes.suite
        return suite

    def images_of(self, cell: str) -> SuiteImages:
        """The images of a cell."""
        return self.clean if cell == "clean" else self.images

    def image_count(self, cell: str) -> int:
        """How many images a cell sends through a model in this process."""
        return len(self.images_of(cell).rows) * self.suite.frame_count(cell)

    def work(self, run: ModelRun) -> int:
        """How many images a model's missing cells send through it in this process."""
        return sum(map(self.image_count, run.missing))


def without_missing(suite: Suite) -> Suite:
    """The suite, without clean images that serve comparison only and are not found."""
    spec = suite.clean_source
    if spec is None or not suite.clean_is_optional or not is_missing(spec.source):
        return suite
    name = spec.source.removeprefix(PREFIX)
    say(
        f"{suite.name}: {name} is not in the data roots, so the accuracy on clean images of the "
        f"same classes is left out; to get it: {how_to_get(name)}"
    )
    return suite.without_clean()


def make_plan(
    passes: Passes[Any],
    source: Source,
    clean_source: Source | None,
    models: list[Classifier],
    options: Options,
) -> SuitePlan:
    """A suite's image list, and each model's missing cells.

    clean_source: that of the suite's clean images, if it is a different one. Raises NsbenchError
    for images that cannot serve the suite, and for a class that a model does not know.
    """
    suite: Suite = passes.suite
    check_classes(suite, source)
    _warn_of_missing_classes(suite, labels_of(source, suite.name), source.name)
    # Unless the suite says otherwise, the clean images are those that are changed.
    images = clean = _images(source, _indices(suite, source, options), options)
    whole = _is_whole(suite, images, options)
    if clean_source:
        clean = _clean_images(suite, source, clean_source, options)
        whole = whole and _is_whole(suite, clean, options)
        images.unknown_classes = suite.has_unknown_classes
    if (ids := suite.chosen_ids(reference_of(suite))) is not None:
        images = _images(source, _indices_of(ids, clean, suite), options)
    # All that can change a number goes into the identity, by which results are found or refused.
    shared = {
        "images": _images_hash(images),
        "generator": _generator(passes, images, options),
        **options.settings,
    }
    check_generator(suite, shared["generator"])
    if clean_source:
        shared["clean"] = _images_hash(clean)
    runs = [_model_run(suite, images, model, options, shared) for model in models]
    plan = SuitePlan(passes, images, runs, clean, whole)
    for run, cell in product(runs, suite.cells()):
        if cell not in run.missing:
            plan.images_of(cell).lost |= run.unreadable(cell)
    return plan


def _warn_of_missing_classes(suite: Suite, labels: NDArray[np.int64], where: str) -> None:
    """A released set without all of its classes gives other numbers, above all under a mask."""
    if not suite.source.source.startswith(PREFIX):
        return
    # Only data sets of the catalog have a number of classes that is known.
    wanted = data_set(suite.source.source.removeprefix(PREFIX)).classes
    present = len(np.unique(labels))
    if present != wanted:
        masked = ", and only their logits count" if suite.mask else ""
        say(f"{suite.name}: {where} has images of {present} classes, not of {wanted}{masked}")


def _clean_images(suite: Suite, source: Source, clean: Source, options: Options) -> SuiteImages:
    """The images of another source that are of the same classes."""
    if source.classes is None:
        raise NsbenchError(f"{suite.name} names clean images, but its classes have no names")
    # By name: ImageNet-A and -R have 200 of the 1,000 classes, with numbers of their own.
    same_classes = of_classes(clean, source.classes)
    return _images(same_classes, _indices(suite, same_classes, options), options)


def _generator(passes: Passes[Any], images: SuiteImages, options: Options) -> str | None:
    """What changed images come from: released files, if the suite names some that exist."""
    suite: Suite = passes.suite
    files = suite.released_files
    if files and is_missing(files) and suite.can_generate:
        name = files.removeprefix(PREFIX)
        say(
            f"{suite.name}: {name} is not in the data roots, so its images are made from "
            f"{images.source.name}; the released files: {how_to_get(name)}"
        )
    elif files:
        return passes.open_files(images)
    return suite.generator_identity()


def _all_indices(suite: Suite, source: Source) -> NDArray[np.int64]:
    """The images that a suite is of, without options."""
    if suite.images_per_class:
        return select_per_class(source, suite.images_per_class, suite.name)
    return np.arange(len(source))


def _is_whole(suite: Suite, images: SuiteImages, options: Options) -> bool:
    """Whether these are all images that the suite has of their source."""
    if not (options.quick or options.limit):  # then none were left out, and nothing is to be chosen
        return True
    # Options may ask for as many as there are: --quick for 5,000 of a thousand.
    return len(images.indices) == len(_all_indices(suite, images.source))


def _indices(suite: Suite, source: Source, options: Options) -> NDArray[np.int64]:
    # The suite's own choice first: the options then take a part of what the suite is. --quick takes
    # equally many of each class, as ImageNet's validation set has.
    indices = _all_indices(suite, source)
    if options.quick:
        indices = sample(source, indices, QUICK, by_class=True)
    if options.limit:
        indices = sample(source, indices, options.limit, by_class=False)
    return indices


def _images(source: Source, indices: NDArray[np.int64], options: Options) -> SuiteImages:
    """A suite's images, of which this process gets its share."""
    # By whole batches in turns: a batch has the same images for any number of processes, each image
    # is in one of them, and no process repeats any to fill a batch up.
    rows = np.arange(len(indices))
    owner = rows // options.batch_size % distributed.size()
    return SuiteImages(source, indices, rows[owner == distributed.rank()])


def _indices_of(ids: set[str], images: SuiteImages, suite: Suite) -> NDArray[np.int64]:
    """The images of these ids, among those that are evaluated at all."""
    # An id that the source lacks means another version of it; one that --quick left out is fine.
    unknown = ids - set(images.source.ids)
    if unknown:
        raise NsbenchError(
            f"{suite.reference} names the image {min(unknown)}, which {images.source.name} lacks"
        )
    named = zip(images.indices.tolist(), images.ids, strict=True)
    left = [index for index, name in named if name in ids]
    if not left:
        raise NsbenchError(
            f"none of the images that {suite.reference} names for {suite.name} is among the "
            f"{len(images.ids):,} that are evaluated: evaluate more of them, without a --limit"
        )
    return np.array(left, dtype=np.int64)


def _model_run(
    suite: Suite,
    images: SuiteImages,
    model: Classifier,
    options: Options,
    shared: dict[str, Any],
) -> ModelRun:
    """A model's run. shared: the part of the identity that is the same for all models."""
    if suite.needs_gradients and not model.differentiable:
        raise NsbenchError(
            f"{suite.name} needs gradients, which {model.name} does not give: leave the suite out"
        )
    outputs, classes, columns = counted(suite, images.source, model, options.device)
    identity = {
        # Copies elsewhere are the same images, of which `shared` has the content.
        "protocol": suite.protocol(places=False),
        "classes": fingerprint(outputs.tolist()),
        "weights": model.weights_hash,
        "preprocessing": model.preprocessing.model_dump(),
        **shared,
    }
    store = Store(model.results, suite.name, identity)
    # One process looks, so that all agree.
    looks = distributed.is_main()
    missing = [cell for cell in suite.cells() if looks and (options.redo or not store.has(cell))]
    return ModelRun(model, store, classes, columns, distributed.broadcast(missing))


def counted(
    suite: Suite, source: Source, model: Classifier, device: torch.device
) -> tuple[NDArray[np.int64], NDArray[np.int64], torch.Tensor | None]:
    """A model's output of each class of a source, and `ModelRun.classes` and `ModelRun.columns`.

    Raises NsbenchError where a suite needs names of classes that its images lack.
    """
    outputs = class_indices(model, source)
    if not suite.mask:
        return outputs, outputs, None
    if source.classes is None:
        raise NsbenchError(f"{suite.name} sets mask, but the classes of its images have no names")
    # Under a mask only the source's classes are left, in the order of its labels.
    return outputs, np.arange(len(outputs)), torch.from_numpy(outputs).to(device)


def _images_hash(images: SuiteImages) -> str:
    """Hash of the images' content, names, order and labels."""
    source, indices = images.source, images.indices
    sets = label_sets(source)
    return fingerprint(
        [
            sha256(source.digests_of(indices).tobytes()),
            images.ids,
            images.labels.tolist(),
            [sets[index] for index in indices.tolist()] if sets else None,
            source.classes,
        ]
    )


def crop_for(suite: Suite, model: Classifier) -> Preprocessing:
    """The crop that a model's images of a suite are cut to."""
    if suite.crop:
        return suite.crop
    if model.preprocessing.crop_mode == "border":
        return model.preprocessing  # the border has the colour of the mean
    # Pixels do not depend on mean and std here: models that differ in nothing else share a view.
    return model.preprocessing.model_copy(update={"mean": [0.0] * 3, "std": [1.0] * 3})
