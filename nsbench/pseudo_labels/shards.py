"""Shards of a label store: Arrow IPC files of fixed-width columns, mapped without a copy.

Parquet encodes its pages and has to decode a whole one for a single row; an uncompressed Arrow file
holds each column as the array that it is in memory, so that a row anywhere costs one page.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nsbench.util.errors import NsbenchError
from nsbench.util.files import cached_while_unchanged
from nsbench.util.sealed import BLANK, flaw, written_sealed

SHARD_SIZE = 8192
"""Images of a shard; the last one of a store may have fewer. It is part of a store's manifest, as
shards of another size cannot be completed."""

MAX_TOP_K = 20
"""The most classes kept of an image by default: with them, an image takes about 100 bytes."""

KEPT_MASS, KEPT_IMAGES = 0.999, 0.99
"""The mass that the kept classes must hold, in this share of a shard's images. What they lack is
spread over the other classes, and a few images without a clear class do not decide for all."""

OPEN_SHARDS = 256
"""Shards kept mapped: each is a file descriptor, of which 1,024 is a common limit."""

_ABOUT = b"nsbench"

COLUMNS = ("image", "confidence", "ids", "probabilities", "rest")


class Shard(NamedTuple):
    """The labels of the n images of a shard.

    images: their indices in the source, int64 (n,). confidence: the top probability, float32 (n,);
    -1 for an image that could not be read, which no filter lets through.
    ids: the k most probable classes, in descending order, uint16 or uint32 (n, k). probabilities:
    theirs, float16 (n, k). rest: the mass of all other classes, float16 (n,).
    """

    images: NDArray[np.int64]
    confidence: NDArray[np.float32]
    ids: NDArray[np.unsignedinteger]
    probabilities: NDArray[np.float16]
    rest: NDArray[np.float16]


def make_shard(
    images: NDArray[np.int64],
    ids: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    num_classes: int,
    top_k: int | None = None,
    unreadable: NDArray[np.bool_] | None = None,
) -> Shard:
    """A shard from the most probable classes (n, m) of its images, in descending order.

    top_k: how many of the m to keep, all but the first `smallest_k` by default. unreadable: which
    of the images could not be read, (n,), none by default.
    """
    lost = np.zeros(len(images), np.bool_) if unreadable is None else unreadable
    # What a teacher says of a placeholder decides nothing, unless there is nothing else.
    read = probabilities[~lost] if not lost.all() else probabilities
    k = min(top_k or smallest_k(read), probabilities.shape[1])
    kept = probabilities[:, :k]
    return Shard(
        images,
        # In float32: the filter and the quota's bins would notice the rounding to half precision.
        np.where(lost, np.float32(-1), probabilities[:, 0]),
        # 16 bits hold the classes of ImageNet-21k too; more classes take 32.
        ids[:, :k].astype(np.uint16 if num_classes <= 2**16 else np.uint32),
        kept.astype(np.float16),
        # clip: a softmax in float32 may sum to a trace more than 1.
        (1 - kept.sum(1, dtype=np.float64)).clip(0, 1).astype(np.float16),
    )


def smallest_k(probabilities: NDArray[np.float32]) -> int:
    """The fewest classes that hold 99.9% of the mass of 99% of the images, at most 20.

    probabilities: (n, m) in descending order.
    """
    masses = probabilities[:, :MAX_TOP_K].cumsum(1, dtype=np.float64)
    enough = (masses >= KEPT_MASS).mean(0) >= KEPT_IMAGES
    # argmax gives the first True.
    return int(enough.argmax()) + 1 if enough.any() else len(enough)


def write_shard(path: Path, shard: Shard, about: Mapping[str, Any]) -> None:
    """Write a shard whole or not at all, with its digest.

    about: what it is of, JSON-like; `shard_flaw` compares all of it but `unreadable`.
    """
    # One record batch, and lists of a fixed size: each column is one array in the file.
    k = shard.ids.shape[1]
    lists = [pa.FixedSizeListArray.from_arrays(pa.array(a.reshape(-1)), k) for a in shard[2:4]]
    columns = [pa.array(shard.images), pa.array(shard.confidence), *lists, pa.array(shard.rest)]
    batch = pa.record_batch(columns, names=list(COLUMNS))
    text = json.dumps({**about, "digest": BLANK})
    schema = batch.schema.with_metadata({_ABOUT: text})
    with written_sealed(path) as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(batch.replace_schema_metadata(schema.metadata))


def shard_flaw(path: Path, about: Mapping[str, Any]) -> str | None:
    """Why a shard cannot be used as what `about` says, as the end of a sentence; None if it can.

    about: as it was given to `write_shard`, without `unreadable`.
    """
    if problem := flaw(path):
        return problem
    stored = about_shard(path)
    for key, wanted in about.items():
        if stored.get(key) != wanted:
            return "is of other images" if key in ("images", "rows") else "is of another labeling"
    return None


def about_shard(path: Path) -> dict[str, Any]:
    """What a shard says that it is of, whose digest must have been checked."""
    try:
        with pa.OSFile(str(path)) as file:
            about: dict[str, Any] = json.loads(pa.ipc.open_file(file).schema.metadata[_ABOUT])
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise _broken(path) from error
    return about


def read_shard(path: Path, count: int) -> Shard:
    """A shard mapped into memory until its arrays are gone.

    Raises NsbenchError if the file is missing, broken, or does not hold `count` images.
    """
    try:
        shard = _mapped(path)
    except (OSError, pa.ArrowException, KeyError, ValueError, AttributeError) as error:
        raise _broken(path) from error
    if len(shard.images) != count:
        raise _broken(path)
    return shard


def held_shard(path: Path, count: int) -> Shard:
    """As `read_shard`, but kept mapped for later calls, as the last 256 shards are."""
    try:
        return _held(path, count)
    except OSError as error:
        raise _broken(path) from error


_held = cached_while_unchanged(OPEN_SHARDS)(read_shard)


def _mapped(path: Path) -> Shard:
    # No threads: forked processes would wait for those of their parent.
    options = pa.ipc.IpcReadOptions(use_threads=False)
    batch = pa.ipc.open_file(pa.memory_map(str(path)), options=options).get_batch(0)
    ids, probabilities = (batch.column(name) for name in COLUMNS[2:4])
    k = ids.type.list_size
    return Shard(
        batch.column("image").to_numpy(),
        batch.column("confidence").to_numpy(),
        ids.values.to_numpy().reshape(-1, k),
        probabilities.values.to_numpy().reshape(-1, k),
        batch.column("rest").to_numpy(),
    )


def _broken(path: Path) -> NsbenchError:
    return NsbenchError(
        f"the shard {path} is missing or broken: repeat the command, which makes it again"
    )
