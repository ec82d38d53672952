"""The reading of all images that some plans need, each once."""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from nsbench.data.spec import Source
from nsbench.evaluation.decoded import View, load_images
from nsbench.evaluation.decoded_file import DecodedImages
from nsbench.evaluation.model_run import SuiteImages
from nsbench.evaluation.options import Options
from nsbench.evaluation.plan import SuitePlan


def read_images(plans: list[SuitePlan], options: Options) -> None:
    """Read every image that is needed once, in all the views that any suite and model needs."""
    # By source as an object: suites of one source were given the same one by `make_plans`.
    needs: dict[int, tuple[Source, set[int], dict[str, View]]] = {}
    for plan in plans:
        for run in plan.runs:
            needed = dict.fromkeys(map(plan.images_of, run.missing))
            for images, view in product(needed, plan.passes.views(run)):
                source, own = images.origin
                entry = needs.setdefault(id(source), (source, set(), {}))
                entry[1].update(own.tolist())
                entry[2][str(view)] = view
    for source, numbers, views in needs.values():
        indices = np.array(sorted(numbers), dtype=np.int64)
        decoded = load_images(source, indices, list(views.values()), options.cache)
        by_view = dict(zip(views, decoded, strict=True))
        for images in (images for plan in plans for images in (plan.images, plan.clean)):
            _share(images, source, indices, by_view)


def _share(
    images: SuiteImages,
    source: Source,
    indices: NDArray[np.int64],
    by_view: dict[str, DecodedImages],
) -> None:
    """Give a suite its decoded images of a source, if all of them were decoded."""
    # A suite with nothing left to do may have images there that nobody needed.
    where, own = images.origin
    if where is not source:
        return
    rows = np.searchsorted(indices, own)
    # With more processes than batches, a process has no image at all.
    if not len(own) or (rows.max() < len(indices) and (indices[rows] == own).all()):
        images.decoded = {key: decoded.take(rows) for key, decoded in by_view.items()}
