"""Which pseudo-labeled images a student sees: filtered by confidence, balanced over the classes.

Two passes over a label store, as the official pipeline makes them (filter_unlabel.py of
google-research/noisystudent): one counts the images of each class by confidence, one chooses. What
is held in memory depends on the number of classes alone.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nsbench.pseudo_labels.store import LabelStore, store_identity
from nsbench.recipes.parts import PseudoLabels
from nsbench.util.errors import NsbenchError
from nsbench.util.files import file_sha256, fingerprint
from nsbench.util.npy import npy_appender
from nsbench.util.progress import stage
from nsbench.util.randomness import INCREMENT, splitmix64, stable_hash
from nsbench.util.sealed import is_usable, read_record, set_aside, write_record

SELECTION, SUMMARY = "selection.npy", "selection.json"

EDGES = np.arange(101) / 100
"""Lower edges of the bins that confidences are counted in: the hundredths of filter_unlabel.py."""

Counts = NDArray[np.int64]


class Rows(NamedTuple):
    """The confident rows of a shard: position in the store, index in the source, class and bin."""

    positions: Counts
    images: Counts
    labels: Counts
    bins: Counts


class Plan(NamedTuple):
    """How often each image is taken, by class and bin of its confidence.

    base: copies of every image, int64 (C, 101). extra: the bins whose images may have one more,
    bool (C, 101). wanted: how many such copies a class gets, int64 (C,), and among how many images
    in those bins, int64 (C,). thresholds: the lowest confidence taken, float64 (C,).
    """

    base: Counts
    extra: NDArray[np.bool_]
    wanted: Counts
    among: Counts
    thresholds: NDArray[np.float64]


class Taken(NamedTuple):
    """Images and copies of them taken of each class, int64 (C,), and the most copies of one.

    known: how many of the images have a withheld label, and right: how many labels agree with it.
    """

    unique: Counts
    selected: Counts
    most: int
    known: int
    right: int


def select(
    store: LabelStore,
    settings: PseudoLabels,
    classes: tuple[str, ...],
    seed: int,
    folder: Path,
    withheld: Counts | None = None,
) -> dict[str, Any]:
    """Write selection.npy, the positions in the store to train on, and selection.json about them.

    A position is repeated as often as its image is taken, in ascending order: uint32, or int64 in
    a store of 2^32 images or more; `np.load(…, mmap_mode="r")` reads it. Draws follow from the
    seed and the image's index in the source. withheld: the true class of each image of the source,
    int64 (N,), -1 where there is none, with which those that are kept are compared; nothing else
    depends on it. Returns the content of selection.json; an existing
    choice from the same store, settings and seed is kept.
    Raises NsbenchError if no image is confident enough, or none of some class to be balanced.
    """
    request = fingerprint([store_identity(store.manifest), _keys(settings), seed])
    if (finished := _finished(folder, request)) is not None:
        return finished
    labeled, counts = _count(store, settings.min_confidence)
    _check(counts, settings, classes)
    # By default the student sees as many images as there were before the filter.
    quota = settings.per_class or max(1, round(int(labeled.sum()) / len(classes)))
    plan = _plan(counts, settings, quota)
    taken = _choose(store, settings, plan, seed, folder, withheld)
    summary = {
        "images": len(store),
        "unreadable": store.unreadable,
        "confident": int(counts.sum()),
        "unique": int(taken.unique.sum()),
        "selected": int(taken.selected.sum()),
        "most_copies": taken.most,
        # Of the images that are kept, and have one: the share of right labels.
        "agreement": taken.right / taken.known if taken.known else None,
        "target": quota if settings.balance else None,
        **_keys(settings),
        "seed": seed,
        "labeled_by": store.manifest["teacher"],
        "asked": request,
        "selection": file_sha256(folder / SELECTION),
        "per_class": [
            {
                "class": name,
                "labeled": int(labeled[index]),
                "confident": int(counts[index].sum()),
                "threshold": round(float(plan.thresholds[index]), 6),
                "unique": int(taken.unique[index]),
                "selected": int(taken.selected[index]),
            }
            for index, name in enumerate(classes)
        ],
    }
    # Last, as it vouches for selection.npy.
    write_record(folder / SUMMARY, summary)
    return summary


def _keys(settings: PseudoLabels) -> dict[str, Any]:
    """The keys of the recipe that decide the choice."""
    return settings.model_dump(include={"min_confidence", "balance", "per_class", "quota"})


def _finished(folder: Path, request: str) -> dict[str, Any] | None:
    path, selection = folder / SUMMARY, folder / SELECTION
    if not (selection.exists() and is_usable(path)):
        return None
    summary = read_record(path, "repeat the command")
    if summary["asked"] != request:
        return None
    if summary["selection"] != file_sha256(selection):
        set_aside(selection, "is not as it was written")
        return None
    return summary


def _count(store: LabelStore, least: float) -> tuple[Counts, Counts]:
    """Images (C,) that the teacher gives each class, and the confident ones (C, 101) by bin."""
    size = store.num_classes
    labeled, counts = np.zeros(size, np.int64), np.zeros(size * len(EDGES), np.int64)
    with stage("counting pseudo-labels", len(store)) as advance:
        for shard in store.shards():
            # Without the images that could not be read.
            labeled += np.bincount(shard.ids[shard.confidence >= 0, 0], minlength=size)
            _, labels, bins = _confident(shard.ids, shard.confidence, least)
            counts += np.bincount(labels * len(EDGES) + bins, minlength=len(counts))
            advance(len(shard.images))
    return labeled, counts.reshape(size, len(EDGES))


def _confident(
    ids: NDArray[np.unsignedinteger], confidence: NDArray[np.float32], least: float
) -> tuple[Counts, Counts, Counts]:
    """Rows of the images that are confident enough, their classes, and the bins they fall into."""
    # float64, as the official code compares: 0.3 in float32 is a little more than in float64.
    exact = confidence.astype(np.float64)
    rows = np.flatnonzero(exact >= least)
    bins = np.searchsorted(EDGES, exact[rows], side="right") - 1  # 1.0 has a bin of its own
    return rows, ids[rows, 0].astype(np.int64), bins


def _check(counts: Counts, settings: PseudoLabels, classes: tuple[str, ...]) -> None:
    confident = counts.sum(1)
    if not confident.any():
        raise NsbenchError(
            f"no unlabeled image reaches pseudo_labels.min_confidence = {settings.min_confidence}: "
            "lower it or train a better teacher"
        )
    if settings.balance and not confident.all():
        raise NsbenchError(
            f"no unlabeled image is pseudo-labeled as class '{classes[int(confident.argmin())]}': "
            "lower pseudo_labels.min_confidence, set pseudo_labels.balance = false, or train a "
            "better teacher"
        )


def _plan(counts: Counts, settings: PseudoLabels, quota: int) -> Plan:
    """What to take of each class, from its confident images by bin, (C, 101)."""
    bins = np.arange(len(EDGES))
    from_top = counts[:, ::-1].cumsum(1)[:, ::-1]  # images in a bin and all above it
    lowest = int(np.searchsorted(EDGES, settings.min_confidence, side="right")) - 1
    # filter_unlabel.py walks down from 1.00, and stops at the first bin that fills the quota, or at
    # the least confidence. A class is cut at the edge of a bin, and may have more than its quota.
    full = (from_top >= quota) & (bins >= lowest) if settings.balance else counts < 0
    # The highest bin that fills the quota, or the one of min_confidence.
    last = np.where(full.any(1), len(EDGES) - 1 - full[:, ::-1].argmax(1), lowest)[:, None]
    thresholds = np.maximum(EDGES[last[:, 0]], settings.min_confidence)
    # What a class has above its threshold: it is repeated as often as fits into the quota whole,
    # and the rest is drawn.
    kept = np.take_along_axis(from_top, last, 1)
    taken = bins >= last
    if not settings.balance:
        return Plan(taken.astype(np.int64), taken & False, 0 * kept[:, 0], kept[:, 0], thresholds)
    base, extra, wanted, among = taken * (quota // kept), taken, quota % kept, kept
    if settings.quota == "exact":
        # Of a class with too many images, all above the last bin are taken, and of that bin as many
        # as are still missing.
        over, above = kept > quota, kept - np.take_along_axis(counts, last, 1)
        base = np.where(over, bins > last, base).astype(np.int64)
        extra = np.where(over, bins == last, taken)
        wanted, among = np.where(over, quota - above, wanted), np.where(over, kept - above, kept)
    return Plan(base, extra, wanted[:, 0], among[:, 0], thresholds)


Draw = Callable[[Counts, NDArray[np.float64]], NDArray[np.bool_]]


def _bernoulli(plan: Plan) -> Draw:
    """Each image by itself, with the same probability in a class."""
    # As filter_unlabel.py: a class has its quota on average.
    share = plan.wanted / np.maximum(plan.among, 1)  # a class without images draws for none
    return lambda labels, uniform: uniform < share[labels]


def _sequential(plan: Plan) -> Draw:
    """Exactly as many images of a class as wanted, any such set being as likely as another.

    Algorithm S of Knuth, The Art of Computer Programming 3.4.2: an image is taken with the
    probability of those still wanted among those still to come.
    """
    wanted, left = plan.wanted.tolist(), plan.among.tolist()

    def draw(labels: Counts, uniform: NDArray[np.float64]) -> NDArray[np.bool_]:
        chosen = []
        for label, value in zip(labels.tolist(), uniform.tolist(), strict=True):
            taken = value * left[label] < wanted[label]
            left[label] -= 1
            wanted[label] -= taken
            chosen.append(taken)
        return np.array(chosen, np.bool_)

    return draw


def uniform_draws(images: Counts, seed: int) -> NDArray[np.float64]:
    """Numbers in [0, 1) that follow from the seed and each image's index in the source.

    SplitMix64 (Steele, Lea and Flood 2014) at the position of the index in its stream.
    """
    state = images.astype(np.uint64) * INCREMENT + np.uint64(stable_hash(seed, "balance") % 2**64)
    # 53 of 64 bits, which a float64 holds exactly.
    return (splitmix64(state) >> np.uint64(11)) / 2.0**53


def _rows(store: LabelStore, least: float) -> Iterator[Rows]:
    """The confident images of each shard."""
    # Filtered by the same code as when they were counted, so that the plan fits what comes.
    start = 0
    with stage("choosing pseudo-labels", len(store)) as advance:
        for shard in store.shards():
            rows, labels, bins = _confident(shard.ids, shard.confidence, least)
            yield Rows(start + rows, shard.images[rows], labels, bins)
            start += len(shard.images)
            advance(len(shard.images))


def _choose(
    store: LabelStore,
    settings: PseudoLabels,
    plan: Plan,
    seed: int,
    folder: Path,
    withheld: Counts | None,
) -> Taken:
    """Write the positions. Raises NsbenchError if the draws left none."""
    # It vouches for selection.npy, which is about to be replaced.
    (folder / SUMMARY).unlink(missing_ok=True)
    draw = _sequential(plan) if settings.quota == "exact" else _bernoulli(plan)
    unique, selected = np.zeros((2, len(plan.base)), np.int64)
    most = known = right = 0
    with npy_appender(folder / SELECTION, position_type(len(store))) as append:
        for rows in _rows(store, settings.min_confidence):
            copies = plan.base[rows.labels, rows.bins]
            extra = np.flatnonzero(plan.extra[rows.labels, rows.bins])
            copies[extra] += draw(rows.labels[extra], uniform_draws(rows.images[extra], seed))
            append(np.repeat(rows.positions, copies))
            # An image counts once as unique, and as often as it is taken as selected.
            unique += np.bincount(rows.labels[copies > 0], minlength=len(unique))
            selected += np.bincount(rows.labels, copies, len(unique)).astype(np.int64)
            most = max(most, int(copies.max(initial=0)))
            if withheld is not None:
                true, given = withheld[rows.images[copies > 0]], rows.labels[copies > 0]
                known += int((true >= 0).sum())
                right += int((true == given).sum())
        if not most:
            raise NsbenchError(
                f"pseudo_labels.per_class = {settings.per_class} left no image by chance: raise "
                'it, or set pseudo_labels.quota = "exact"'
            )
    return Taken(unique, selected, most, known, right)


def position_type(count: int) -> type[np.integer[Any]]:
    """The smaller of uint32 and int64 that holds positions in a store of `count` images."""
    return np.uint32 if count < 2**32 else np.int64
