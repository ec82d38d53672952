"""What there is to do: a suite's images, and each model's store and missing cells."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench import corruptions, perturbations
from nsbench.corruptions import package
from nsbench.data.sources import Source, select_per_class
from nsbench.data.transforms import Preprocessing, crop_of
from nsbench.errors import NsbenchError
from nsbench.evaluation.files import FilesOf
from nsbench.evaluation.images import Crops, View, Wholes, load_images
from nsbench.evaluation.predictions import TOP, Predictions, Store
from nsbench.models import Classifier, class_indices
from nsbench.run import fingerprint, sha256
from nsbench.suite import (
    AccuracySuite,
    CorruptionSuite,
    PerturbationSuite,
    SizedSuite,
    Suite,
    load_reference,
)


@dataclass(eq=False)
class Task:
    """One model on one suite: its store, its view of the classes, and the cells still missing."""

    model: Classifier
    store: Store
    labels: NDArray[np.int64]
    columns: torch.Tensor | None
    missing: list[str]
    rows: dict[str, list[tuple[NDArray[np.int32], NDArray[np.float32]]]] = field(
        default_factory=dict
    )

    def add(self, cell: str, logits: torch.Tensor) -> None:
        """Keep the predictions of a batch. Raises NsbenchError for logits that are no numbers."""
        confidence, top = logits.float().softmax(1).topk(min(TOP, logits.shape[1]))
        if not torch.isfinite(confidence).all():
            raise NsbenchError(f"{self.model.name} answers with nan in the cell {cell}")
        ranks = torch.nn.functional.pad(top, (0, TOP - top.shape[1]), value=-1)
        found = (ranks.cpu().numpy().astype(np.int32), confidence[:, 0].cpu().numpy())
        self.rows.setdefault(cell, []).append(found)

    def finish(self, cell: str, ids: list[str], labels: NDArray[np.int64]) -> None:
        """Write the cell's rows and forget them."""
        top, confidence = zip(*self.rows.pop(cell), strict=True)
        truth = labels.astype(np.int32)
        rows = Predictions(ids, truth, np.concatenate(top), np.concatenate(confidence))
        self.store.write(cell, rows)
        self.missing.remove(cell)


@dataclass(eq=False)
class Images:
    """The image list of a suite, and its pixels by view, once they are read."""

    source: Source
    indices: NDArray[np.int64]
    pixels: dict[str, Crops | Wholes] = field(default_factory=dict)

    @property
    def ids(self) -> list[str]:
        """Ids in order."""
        return [self.source.ids[index] for index in self.indices]

    @property
    def labels(self) -> NDArray[np.int64]:
        """The source's labels in order."""
        assert self.source.labels is not None
        return self.source.labels[self.indices]

    def crops(self, size: Preprocessing) -> Crops:
        """The centre crops of a size, uint8 (N, 3, S, S)."""
        crops = self.pixels[str(size)]
        assert not isinstance(crops, Wholes)
        return crops

    def wholes(self, side: int) -> Wholes:
        """The images resized to a short side."""
        wholes = self.pixels[str(side)]
        assert isinstance(wholes, Wholes)
        return wholes


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


def make_plan(suite: Suite, source: Source, models: list[Classifier], device: torch.device) -> Plan:
    """A suite's image list, and each model's missing cells.

    Raises NsbenchError for images that cannot serve the suite, or a class no model knows.
    """
    if source.labels is None:
        raise NsbenchError(f"{suite.name} needs labels, but {source.name} has none")
    indices = np.arange(len(source))
    if suite.images_per_class:
        indices = select_per_class(source, suite.images_per_class, suite.name)
    everything = Images(source, indices)
    images = everything
    if isinstance(suite, AccuracySuite) and suite.misclassified:
        images = Images(source, _misclassified(suite, everything))
    files = None
    if isinstance(suite, SizedSuite) and suite.files:
        files = FilesOf(suite, source, images.indices)
    generator = files.identity() if files else _generator(suite, device)
    tasks = [_task(suite, images, model, generator) for model in models]
    return Plan(suite, images, tasks, everything, files)


def _misclassified(suite: AccuracySuite, images: Images) -> NDArray[np.int64]:
    reference = load_reference(suite)
    assert reference is not None
    wanted = set(reference["misclassified"])
    unknown = wanted - set(images.ids)
    if unknown:
        raise NsbenchError(
            f"{suite.reference} names the image {min(unknown)}, which {images.source.name} lacks"
        )
    keep = [index for index, name in zip(images.indices, images.ids, strict=True) if name in wanted]
    return np.array(keep, dtype=np.int64)


def _task(suite: Suite, images: Images, model: Classifier, generator: str | None) -> Task:
    classes = class_indices(model, images.source)
    if suite.mask and images.source.classes is None:
        raise NsbenchError(f"{suite.name} sets mask, but the classes of its images have no names")
    labels = labels_for(suite, images, model)
    columns = torch.from_numpy(classes) if suite.mask else None
    rows = zip(images.ids, images.labels, strict=True)
    listed = "\n".join(f"{name}\t{label}" for name, label in rows)
    identity = {
        "protocol": suite.protocol(),
        "images": sha256(f"{images.source.version}\n{listed}".encode()),
        "classes": fingerprint(classes.tolist()),
        "weights": model.weights,
        "preprocessing": model.preprocessing.model_dump(),
        "generator": generator,
    }
    store = Store(model.results, suite.name, identity)
    missing = [cell for cell in suite.cells() if not store.has(cell)]
    return Task(model, store, labels, columns, missing)


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


def _views(plan: Plan, task: Task) -> list[View]:
    """What a task needs to see of the images: one crop, or whole images for sequences."""
    suite = plan.suite
    if not isinstance(suite, PerturbationSuite):
        only_files = plan.files and "clean" not in task.missing
        return [] if only_files else [crop_size(suite, task.model)]
    return [] if plan.files else [suite.resize_size or suite.image_size]


def read_images(plans: list[Plan]) -> None:
    """Read every image that is needed once, in all the views that any suite and model needs."""
    needs: dict[int, tuple[Source, set[int], dict[str, View]]] = {}
    for plan in plans:
        for task in plan.tasks:
            for view in _views(plan, task) if task.missing else []:
                entry = needs.setdefault(id(plan.images.source), (plan.images.source, set(), {}))
                chosen = plan.everything if "clean" in task.missing else plan.images
                entry[1].update(chosen.indices.tolist())
                entry[2][str(view)] = view
    for source, wanted, views in needs.values():
        indices = np.array(sorted(wanted))
        loaded = dict(zip(views, load_images(source, indices, list(views.values())), strict=True))
        for plan in plans:
            if plan.images.source is source:
                for images in (plan.images, plan.everything):
                    _share(images, indices, loaded)


def _share(images: Images, indices: NDArray[np.int64], loaded: dict[str, Crops | Wholes]) -> None:
    rows = np.searchsorted(indices, images.indices)
    if np.max(rows, initial=0) < len(indices) and (indices[rows] == images.indices).all():
        whole = len(rows) == len(indices)
        images.pixels = {key: p if whole else _rows(p, rows) for key, p in loaded.items()}


def _rows(pixels: Crops | Wholes, rows: NDArray[np.int64]) -> Crops | Wholes:
    return pixels.take(rows.tolist()) if isinstance(pixels, Wholes) else pixels[rows]


def labels_for(suite: Suite, images: Images, model: Classifier) -> NDArray[np.int64]:
    """The images' labels among the answers: the model's classes, or the source's under a mask."""
    return images.labels if suite.mask else class_indices(model, images.source)[images.labels]
