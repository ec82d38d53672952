"""Data sets of the Hugging Face hub that are streamed: once, into a Parquet file.

A stream has no length and no random access, which evaluation and shuffled training need. So one
split goes from the network into a file with its images and labels only, and the next command finds
the file; to stream again, delete it. As of every Parquet file, `datasets` keeps a copy that it can
map into memory in its own cache, so that twice the size of the images is needed on disk.
"""

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from nsbench.data.cache import VARIABLE, only_one
from nsbench.data.spec import HUB, SourceSpec
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.files import fingerprint
from nsbench.util.launched import local_rank, process_count
from nsbench.util.progress import say, stage
from nsbench.util.sealed import BLANK, flaw, is_usable, written_sealed

if TYPE_CHECKING:
    import pyarrow as pa
    from datasets import Features, IterableDataset

ROWS = 256
"""Images of a row group, all that is in memory at once: some 30 MB of ImageNet's. What a source
yields does not depend on it."""


def cache_file(spec: SourceSpec) -> Path:
    """The file of a streamed source, in NSBENCH_CACHE or else in ~/.cache/nsbench/streams."""
    folder = Path(os.environ.get(VARIABLE) or "~/.cache/nsbench/streams").expanduser()
    split = spec.split or "train"
    # A name to recognise, and a hash of all that decides the content.
    name = re.sub(r"[^A-Za-z0-9._]+", "-", f"{spec.source.removeprefix(HUB)}-{split}")
    what = [spec.source, spec.subset, split, spec.image_column, spec.label_column]
    return folder / f"{name}-{fingerprint(what)[:16]}.parquet"


def streamed(spec: SourceSpec) -> Path:
    """The Parquet file with the images and labels of a source, streamed if it is not there.

    Under torchrun the first process of each machine streams, and all wait for it; before they have
    joined, and of several commands, the first one that asks.
    Raises NsbenchError if the data set, the split or the image column is not available.
    """
    path = cache_file(spec)
    if process_count() > 1:
        from nsbench.util import distributed  # with torch, which a single process need not load

        if distributed.size() > 1:
            if local_rank() == 0:
                _stream_once(spec, path)
            distributed.barrier()
            return path
    _stream_once(spec, path)
    return path


def _stream_once(spec: SourceSpec, path: Path) -> None:
    if flaw(path):
        with only_one(path, f"streaming {spec}"):
            if not is_usable(path):  # unless another process made it meanwhile
                _stream(spec, path)


def _stream(spec: SourceSpec, path: Path) -> None:
    import pyarrow.parquet as pq  # slow to import, and needed by few commands

    if spec.split is None:
        say(f"{spec}: no split is named, so the split train is streamed")
    stream, features = _opened(spec)
    count = 0
    with (
        written_sealed(path) as file,
        stage(f"streaming {spec}", _length(stream, spec)) as advance,
        pq.ParquetWriter(file, features.arrow_schema) as writer,
    ):
        for table in _tables(stream, features, spec):
            writer.write_table(table)
            count += len(table)
            advance(len(table))
        if not count:
            raise NsbenchError(f"{spec} holds no images")
        writer.add_key_value_metadata({"nsbench": BLANK})
    say(f"{spec} is kept in {path}")


def _opened(spec: SourceSpec) -> tuple["IterableDataset", "Features"]:
    """The stream of a split, its images not decoded, and the types of the columns to keep."""
    import datasets

    try:
        stream = datasets.load_dataset(
            spec.source.removeprefix(HUB),
            spec.subset,
            split=spec.split or "train",
            streaming=True,
        )
        # A data set without a card says nothing of its columns: the first row does.
        known = stream.features or datasets.Dataset.from_list(list(stream.take(1))).features
    except Exception as error:  # every library under load_dataset raises errors of its own
        raise _failed(spec, error) from error
    if spec.image_column not in known:
        raise NsbenchError(
            f"{spec} has no column '{spec.image_column}'{nearest(spec.image_column, known)}; set "
            "image_column"
        )
    columns = (spec.image_column, spec.label_column)
    features = {name: known[name] for name in columns if name in known}
    # Encoded bytes as they are: decoding and encoding again would cost time, and change JPEGs.
    features[spec.image_column] = datasets.Image(decode=False)
    stream = stream.select_columns(list(features))
    if stream.features:
        stream = stream.cast_column(spec.image_column, features[spec.image_column])
    return stream, datasets.Features(features)


def _length(stream: "IterableDataset", spec: SourceSpec) -> int | None:
    """How many images the data set says that the split has, None where it does not say."""
    splits = stream.info.splits or {}
    split = splits.get(spec.split or "train")
    return split.num_examples or None if split else None


def _tables(
    stream: "IterableDataset", features: "Features", spec: SourceSpec
) -> Iterator["pa.Table"]:
    """The rows by row groups, with the bytes of the images. Raises NsbenchError."""
    import pyarrow as pa
    from datasets.table import embed_table_storage

    rows = iter(stream)
    while True:
        # only what comes from the network is tried here, and not the writing of it
        try:
            group = list(islice(rows, ROWS))
            if not group:
                return
            columns = features.encode_batch(
                {name: [row[name] for row in group] for name in features}
            )
            # Images that a row names by path are read into it, for the file to stand on its own.
            table = embed_table_storage(pa.table(columns, schema=features.arrow_schema))
        except Exception as error:  # the network and every format raise errors of their own
            raise _failed(spec, error) from error
        yield table


def _failed(spec: SourceSpec, error: Exception) -> NsbenchError:
    return NsbenchError(
        f"cannot stream {spec}: {first_line(error)}; check the name, the subset, the split and the "
        "network, and repeat the command"
    )
