"""What there is to do: a suite's images, and each model's store and missing cells."""

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench import corruptions, perturbations
from nsbench.corruptions import package
from nsbench.data.catalog import PREFIX, data_set, how_to_get, is_missing
from nsbench.data.open import Source, labels_of, of_classes, sample, select_per_class
from nsbench.data.transforms import Preprocessing, crop_of
from nsbench.evaluation.decoded import View, load_images
from nsbench.evaluation.decoded_file import Pixels
from nsbench.evaluation.model_run import Images, Task
from nsbench.evaluation.options import Options
from nsbench.evaluation.released_files import FilesOf
from nsbench.models import Classifier, class_indices
from nsbench.predictions import Store
from nsbench.suites.load import (
    AccuracySuite,
    AttackSuite,
    CorruptionSuite,
    DetectionSuite,
    PerturbationSuite,
    SizedSuite,
    Suite,
)
from nsbench.suites.reference import load_reference
from nsbench.util import distributed
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint, sha256
from nsbench.util.progress import say

QUICK = 5_000


@dataclass(eq=False)
class Plan:
    """A suite ready to run.

    everything: the images of the cell `clean`, which may be of another source. files: what changed
    images are read from, if they are not made.
    """

    suite: Suite
    images: Images
    tasks: list[Task]
    everything: Images
    files: FilesOf | None = None

    def of(self, cell: str) -> Images:
        """The images of a cell."""
        return self.everything if cell == "clean" else self.images


def without_missing(suite: Suite) -> Suite:
    """A suite without the clean images that are only for comparison, if they are not found."""
    if not isinstance(suite, AccuracySuite) or not suite.clean:
        return suite
    if not is_missing(suite.clean.source):
        return suite
    name = suite.clean.source.removeprefix(PREFIX)
    say(
        f"{suite.name}: {name} is not in the data roots, so the accuracy on clean images of the "
        f"same classes is left out; to get it: {how_to_get(name)}"
    )
    return suite.model_copy(update={"clean": None})


def make_plan(
    suite: Suite, source: Source, clean: Source | None, models: list[Classifier], options: Options
) -> Plan:
    """A suite's image list, and each model's missing cells.

    clean: the source of the suite's clean images, where that is another one. Raises NsbenchError
    for images that cannot serve the suite, or a class no model knows.
    """
    _tell_missing_classes(suite, labels_of(source, suite.name), source.name)
    images = everything = _images(source, _indices(suite, source, options), options)
    if clean:
        everything = _clean_images(suite, source, clean, options)
        images.outside = isinstance(suite, DetectionSuite)
    if isinstance(suite, AccuracySuite) and suite.misclassified:
        images = _images(source, _misclassified(suite, everything), options)
    files = _files(suite, images)
    generator = files.identity() if files else _generator(suite, options.device)
    shared = {"images": _hash(images), "generator": generator, "numerics": options.numerics}
    if clean:
        shared["clean"] = _hash(everything)
    tasks = [_task(suite, images, model, shared) for model in models]
    return Plan(suite, images, tasks, everything, files)


def _tell_missing_classes(suite: Suite, labels: NDArray[np.int64], where: str) -> None:
    """A released set without all of its classes gives other numbers, above all under a mask."""
    if not suite.source.source.startswith(PREFIX):
        return
    wanted, found = (
        data_set(suite.source.source.removeprefix(PREFIX)).classes,
        len(np.unique(labels)),
    )
    if found != wanted:
        masked = ", and only these can be answered" if suite.mask else ""
        say(f"{suite.name}: {where} has images of {found} classes, not of {wanted}{masked}")


def _clean_images(suite: Suite, source: Source, clean: Source, options: Options) -> Images:
    """The images of another source that are of the same classes."""
    if source.classes is None:
        raise NsbenchError(f"{suite.name} names clean images, but its classes have no names")
    chosen = of_classes(clean, source.classes)
    return _images(chosen, _indices(suite, chosen, options), options)


def _files(suite: Suite, images: Images) -> FilesOf | None:
    """What to read changed images from; None where they are made, as their files are not found."""
    if not isinstance(suite, SizedSuite) or not suite.files:
        return None
    if is_missing(suite.files) and getattr(suite, "generator", "") != "none":
        name = suite.files.removeprefix(PREFIX)
        say(
            f"{suite.name}: {name} is not in the data roots, so its images are made from "
            f"{images.source.name}; the released files: {how_to_get(name)}"
        )
        return None
    return FilesOf(suite, images.source, images.own)


def _indices(suite: Suite, source: Source, options: Options) -> NDArray[np.int64]:
    indices = np.arange(len(source))
    if suite.images_per_class:
        indices = select_per_class(source, suite.images_per_class, suite.name)
    if options.quick:
        indices = sample(source, indices, QUICK, by_class=True)
    if options.limit:
        indices = sample(source, indices, options.limit, by_class=False)
    return indices


def _images(source: Source, indices: NDArray[np.int64], options: Options) -> Images:
    """Batches are dealt out to the processes, so that each is the same for any number of them."""
    rows = np.arange(len(indices))
    return Images(
        source, indices, rows[rows // options.batch_size % distributed.size() == distributed.rank()]
    )


def _misclassified(suite: AccuracySuite, images: Images) -> NDArray[np.int64]:
    reference = load_reference(suite)
    assert reference is not None
    wanted = set(reference["misclassified"])
    unknown = wanted - set(images.source.ids)
    if unknown:
        raise NsbenchError(
            f"{suite.reference} names the image {min(unknown)}, which {images.source.name} lacks"
        )
    keep = [index for index, name in zip(images.indices, images.ids, strict=True) if name in wanted]
    return np.array(keep, dtype=np.int64)


def _task(suite: Suite, images: Images, model: Classifier, shared: dict[str, str | None]) -> Task:
    """A model's task; `shared` is that part of the identity which is the same for all models."""
    if isinstance(suite, AttackSuite) and not model.differentiable:
        raise NsbenchError(
            f"{suite.name} needs gradients, which {model.name} has none of: leave the suite out"
        )
    known = class_indices(model, images.source)
    if suite.mask and images.source.classes is None:
        raise NsbenchError(f"{suite.name} sets mask, but the classes of its images have no names")
    classes = np.arange(len(known)) if suite.mask else known
    columns = torch.from_numpy(known) if suite.mask else None
    identity = {
        "protocol": suite.protocol(),
        "classes": fingerprint(known.tolist()),
        "weights": model.weights,
        "preprocessing": model.preprocessing.model_dump(),
        **shared,
    }
    store = Store(model.results, suite.name, identity)
    # one process looks, so that all agree
    missing = distributed.broadcast([cell for cell in suite.cells() if not store.has(cell)])
    return Task(model, store, classes, columns, missing)


def _hash(images: Images) -> str:
    """Of the images, their order and their labels."""
    rows = zip(images.ids, images.labels.tolist(), strict=True)
    listed = "\n".join(f"{name}\t{label}" for name, label in rows)
    return sha256(f"{images.source.version}\n{listed}".encode())


def _generator(suite: Suite, device: torch.device) -> str | None:
    """What makes the pixels; random draws differ between kinds of devices."""
    if isinstance(suite, CorruptionSuite) and suite.generator == "imagecorruptions":
        return package.version()
    if isinstance(suite, CorruptionSuite):
        return f"nsbench corruptions {corruptions.VERSION} on {device.type}"
    if isinstance(suite, PerturbationSuite):
        return f"nsbench perturbations {perturbations.VERSION} on {device.type}"
    return None


def crop_size(suite: Suite, model: Classifier) -> Preprocessing:
    """The crop a model's images of a suite are cut to; mean and std do not matter to it."""
    if isinstance(suite, SizedSuite):
        return crop_of(suite.image_size, suite.short_side)
    if model.preprocessing.crop_mode == "border":
        return model.preprocessing  # the border has the colour of the mean
    return model.preprocessing.model_copy(update={"mean": [0.0] * 3, "std": [1.0] * 3})


def views(plan: Plan, task: Task) -> list[View]:
    """What a task needs to see of the images: one crop, or whole images for sequences."""
    suite = plan.suite
    if not isinstance(suite, PerturbationSuite):
        only_files = plan.files and "clean" not in task.missing
        return [] if only_files else [crop_size(suite, task.model)]
    return [] if plan.files else [suite.short_side]


def read_images(plans: list[Plan], options: Options) -> None:
    """Read every image that is needed once, in all the views that any suite and model needs."""
    needs: dict[int, tuple[Source, set[int], dict[str, View]]] = {}
    for plan in plans:
        for task in plan.tasks:
            wanted = dict.fromkeys(map(plan.of, task.missing))
            for images, view in product(wanted, views(plan, task)):
                source, own = images.origin
                entry = needs.setdefault(id(source), (source, set(), {}))
                entry[1].update(own.tolist())
                entry[2][str(view)] = view
    for source, numbers, named in needs.values():
        indices = np.array(sorted(numbers), dtype=np.int64)
        pixels = load_images(source, indices, list(named.values()), options.cache)
        for images in (images for plan in plans for images in (plan.images, plan.everything)):
            where, own = images.origin
            if where is source:
                _share(images, own, indices, dict(zip(named, pixels, strict=True)))


def _share(
    images: Images,
    own: NDArray[np.int64],
    indices: NDArray[np.int64],
    loaded: dict[str, Pixels],
) -> None:
    rows = np.searchsorted(indices, own)
    # a process may have no image at all
    if not len(own) or (rows.max() < len(indices) and (indices[rows] == own).all()):
        images.pixels = {key: pixels.take(rows) for key, pixels in loaded.items()}
