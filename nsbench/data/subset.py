"""Some images of a source, chosen by hash of their ids: the same everywhere."""

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from nsbench.data.label_files import labels_of
from nsbench.data.spec import Source
from nsbench.util.errors import NsbenchError
from nsbench.util.randomness import stable_hash


def select_per_class(
    source: Source, per_class: int, purpose: str, seed: int | None = None
) -> NDArray[np.int64]:
    """Indices of `per_class` images a class, chosen by hash of their ids: the same everywhere.

    seed: goes into the hash, so that each has a choice of its own; None gives all the same images.
    Raises NsbenchError if the source has no labels or a class has fewer images than asked.
    """
    labels = labels_of(source, purpose)
    # By hash and not by position, so that the order in which a source lists images does not matter.
    keys: tuple[object, ...] = () if seed is None else (seed,)
    chosen: list[int] = []
    for label in range(int(np.max(labels)) + 1):
        of_class = np.flatnonzero(labels == label).tolist()
        if len(of_class) < per_class:
            name = source.classes[label] if source.classes else str(label)
            raise NsbenchError(
                f"{purpose} asks for {per_class} images a class, but class '{name}' of "
                f"{source.name} has {len(of_class)}"
            )
        chosen += in_hash_order(source, of_class, *keys)[:per_class]
    return np.array(sorted(chosen))


def in_hash_order(source: Source, indices: Iterable[int], *keys: object) -> list[int]:
    """Images in the order of the hashes of some keys and their ids, which is theirs everywhere."""
    return sorted(indices, key=lambda index: stable_hash(*keys, source.ids[index]))


def sample(
    source: Source, indices: NDArray[np.int64], count: int, *, by_class: bool
) -> NDArray[np.int64]:
    """At most `count` of these images, chosen by hash of their file names: the same everywhere.

    by_class: equally many of each class, but for classes that have fewer.
    """
    if len(indices) <= count:
        return indices
    ranked = sorted(indices.tolist(), key=lambda index: stable_hash(_stem(source.ids[index])))
    if not by_class or source.labels is None:
        return np.array(sorted(ranked[:count]))
    labels = source.labels
    quota = max(1, count // len(set(labels[indices].tolist())))
    taken: Counter[int] = Counter()
    chosen = []
    for index in ranked:
        taken[int(labels[index])] += 1
        if taken[int(labels[index])] <= quota:
            chosen.append(index)
    # A quota of at least 1 may choose too many, where there are more classes than `count`.
    return np.array(sorted(chosen[:count]))


def _stem(image_id: str) -> str:
    # a folder, a tar and a table call an image by different paths
    return PurePosixPath(image_id).stem
