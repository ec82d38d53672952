"""What there is to do: a suite's images, and each model's store and missing cells."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench import corruptions, distributed, perturbations
from nsbench.corruptions import package
from nsbench.data.sources import Source, sample, select_per_class
from nsbench.data.transforms import Preprocessing, crop_of
from nsbench.errors import NsbenchError
from nsbench.evaluation.files import FilesOf
from nsbench.evaluation.images import View, load_images
from nsbench.evaluation.options import Options
from nsbench.evaluation.pixels import Pixels
from nsbench.evaluation.predictions import Store
from nsbench.evaluation.tasks import Images, Task
from nsbench.models import Classifier, class_indices
from nsbench.reference import load_reference
from nsbench.run import fingerprint, sha256
from nsbench.suite import (
    AccuracySuite,
    AttackSuite,
    CorruptionSuite,
    PerturbationSuite,
    SizedSuite,
    Suite,
)

QUICK = 5_000


@dataclass(eq=False)
class Plan:
    """A suite ready to run.

    everything: the images of the cell `clean`. files: what changed images are read from, if they
    are not made.
    """

    suite: Suite
    images: Images
    tasks: list[Task]
    everything: Images
    files: FilesOf | None = None


def make_plan(suite: Suite, source: Source, models: list[Classifier], options: Options) -> Plan:
    """A suite's image list, and each model's missing cells.

    Raises NsbenchError for images that cannot serve the suite, or a class no model knows.
    """
    if source.labels is None:
        raise NsbenchError(f"{suite.name} needs labels, but {source.name} has none")
    everything = _images(source, _indices(suite, source, options), options)
    images = everything
    if isinstance(suite, AccuracySuite) and suite.misclassified:
        images = _images(source, _misclassified(suite, everything), options)
    files = None
    if isinstance(suite, SizedSuite) and suite.files:
        files = FilesOf(suite, source, images.own)
    generator = files.identity() if files else _generator(suite, options.device)
    tasks = [_task(suite, images, model, generator, options) for model in models]
    return Plan(suite, images, tasks, everything, files)


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


def _task(
    suite: Suite, images: Images, model: Classifier, generator: str | None, options: Options
) -> Task:
    if isinstance(suite, AttackSuite) and not model.differentiable:
        raise NsbenchError(
            f"{suite.name} needs gradients, which {model.name} has none of: leave the suite out"
        )
    known = class_indices(model, images.source)
    if suite.mask and images.source.classes is None:
        raise NsbenchError(f"{suite.name} sets mask, but the classes of its images have no names")
    classes = np.arange(len(known)) if suite.mask else known
    columns = torch.from_numpy(known) if suite.mask else None
    rows = zip(images.ids, images.labels.tolist(), strict=True)
    listed = "\n".join(f"{name}\t{label}" for name, label in rows)
    identity = {
        "protocol": suite.protocol(),
        "images": sha256(f"{images.source.version}\n{listed}".encode()),
        "classes": fingerprint(known.tolist()),
        "weights": model.weights,
        "preprocessing": model.preprocessing.model_dump(),
        "generator": generator,
        "numerics": options.numerics,
    }
    store = Store(model.results, suite.name, identity)
    # one process looks, so that all agree
    missing = distributed.broadcast([cell for cell in suite.cells() if not store.has(cell)])
    return Task(model, store, classes, columns, missing)


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
        return crop_of(suite.image_size, suite.resize_size)
    return model.preprocessing.model_copy(update={"mean": [0.0] * 3, "std": [1.0] * 3})


def views(plan: Plan, task: Task) -> list[View]:
    """What a task needs to see of the images: one crop, or whole images for sequences."""
    suite = plan.suite
    if not isinstance(suite, PerturbationSuite):
        only_files = plan.files and "clean" not in task.missing
        return [] if only_files else [crop_size(suite, task.model)]
    return [] if plan.files else [suite.resize_size or suite.image_size]


def read_images(plans: list[Plan], options: Options) -> None:
    """Read every image that is needed once, in all the views that any suite and model needs."""
    needs: dict[int, tuple[Source, set[int], dict[str, View]]] = {}
    for plan in plans:
        for task in plan.tasks:
            for view in views(plan, task) if task.missing else []:
                entry = needs.setdefault(id(plan.images.source), (plan.images.source, set(), {}))
                chosen = plan.everything if "clean" in task.missing else plan.images
                entry[1].update(chosen.own.tolist())
                entry[2][str(view)] = view
    for source, wanted, named in needs.values():
        indices = np.array(sorted(wanted), dtype=np.int64)
        pixels = load_images(source, indices, list(named.values()), options.cache)
        for plan in plans:
            if plan.images.source is source:
                for images in (plan.images, plan.everything):
                    _share(images, indices, dict(zip(named, pixels, strict=True)))


def _share(images: Images, indices: NDArray[np.int64], loaded: dict[str, Pixels]) -> None:
    own = images.own
    rows = np.searchsorted(indices, own)
    if np.max(rows, initial=0) < len(indices) and (indices[rows] == own).all():
        images.pixels = {key: pixels.take(rows) for key, pixels in loaded.items()}
