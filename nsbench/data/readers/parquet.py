"""Tables of images: Parquet files, and data sets of the Hugging Face hub."""

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.class_names import refuse_alike
from nsbench.data.content import Storage, StoredSource, read_whole
from nsbench.data.decode import decode
from nsbench.data.found import shown
from nsbench.data.spec import SourceSpec
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.progress import say

if TYPE_CHECKING:
    from datasets import Dataset


class TableSource(StoredSource):
    """A table of images read by `datasets`: Parquet files, or a Hugging Face data set.

    named_files: the files that rows name instead of holding an image.
    """

    def __init__(self, spec: SourceSpec, path: str) -> None:
        self.name = str(spec)
        self._column = spec.image_column
        if spec.split is None and (split := _only_split(spec, path)):
            spec = spec.model_copy(update={"split": split})
        self._table = _load_table(spec, path)
        self.passed_over = _of_no_split(Path(path))
        self.named_files, self._rows_of_files = _named_files(self._table, self._column)
        self.ids = _table_ids(self._table, spec)
        self.classes, self.labels = _table_labels(self._table, spec)

    @property
    def storage(self) -> Storage | None:
        """What `datasets` maps into memory, and the files that rows name; None in memory only."""
        kept = [os.path.abspath(file["filename"]) for file in self._table.cache_files]
        if not kept:
            return None
        named, without = self.named_files, self._rows_of_files
        spans = np.zeros((len(self._table), 3), np.int64)
        spans[:, 1] = np.arange(len(spans))
        # The number of the row's own file, and else the first: all of a table are made at once.
        spans[without, 0] = len(kept) + np.arange(len(named))
        name = "\0".join([self.name, self._column, *kept])
        return Storage(name, Path(), [*kept, *named], spans)

    def raw(self, index: int) -> bytes:
        """A cell's bytes, or those of the file that it names; none if the row has no image."""
        return self._stored(index) or b""

    def image(self, index: int) -> Image.Image:
        """RGB image as stored. Raises NsbenchError naming its row if it cannot be read."""
        name, stored = self.called(index), self._stored(index)
        if stored is None:
            raise NsbenchError(f"the image {name} is missing: remove its row")
        return decode(io.BytesIO(stored), name)

    def _stored(self, index: int) -> bytes | None:
        # the Arrow table itself: a row of the data set takes five times as long
        cell = self._table.data.column(self._column)[index].as_py() or {}
        stored: bytes | None = cell.get("bytes")
        if stored is None and cell.get("path") is not None:
            return read_whole(Path(cell["path"]), self.called(index))
        return stored

    def called(self, index: int) -> str:
        """The number of an image's row."""
        return f"{index} of {self.name}"


def _only_split(spec: SourceSpec, path: str) -> str | None:
    """The split of a folder that has one; None of a file, and of the hub, whose train is read.

    Raises NsbenchError where there are several: training images are no test images.
    """
    if not Path(path).is_dir():
        if not path.endswith(".parquet"):
            say(f"{spec}: no split is named, so the split train is read")
        return None
    # The hub would have to be asked; a folder says it by the names of its files.
    splits = [str(split) for split in _files_by_split(path)]
    if len(splits) > 1:
        raise NsbenchError(
            f"{path} has the splits {', '.join(splits)}: name one as split, as --suite "
            f"{path}:{splits[-1]} does"
        )
    return splits[0] if splits else None


def _files_by_split(folder: str) -> Mapping[str, Sequence[str]]:
    """What `datasets` makes of a folder; nothing where it cannot, which loading then says."""
    import datasets  # slow to import, and not needed for other sources

    try:
        return datasets.load_dataset_builder(folder).config.data_files or {}
    except Exception:  # every library under it raises errors of its own
        return {}


def _load_table(spec: SourceSpec, path: str) -> "Dataset":
    import datasets  # slow to import, and not needed for other sources
    import huggingface_hub

    # Commands show progress of their own.
    datasets.disable_progress_bars()
    huggingface_hub.logging.set_verbosity_error()
    split = spec.split or "train"
    try:
        if path.endswith(".parquet"):  # a single file has one part, which `datasets` calls train
            table = datasets.load_dataset("parquet", data_files=path, split="train")
        else:
            table = datasets.load_dataset(path, spec.subset, split=split)
    except Exception as error:  # every library under load_dataset raises errors of its own
        raise NsbenchError(f"cannot open {spec}: {first_line(error)}") from error
    if not len(table):
        raise NsbenchError(f"{spec} holds no images")
    if spec.image_column not in table.column_names:
        raise NsbenchError(
            f"{spec} has no column '{spec.image_column}'"
            f"{nearest(spec.image_column, table.column_names)}; set image_column"
        )
    try:
        # Not decoded by `datasets`, so that `decode` treats all sources' images alike.
        return table.cast_column(spec.image_column, datasets.Image(decode=False))
    except Exception as error:  # of numbers, dates and the like, each by a class of its own
        held = getattr(table.features[spec.image_column], "dtype", "something else")
        raise NsbenchError(
            f"the column '{spec.image_column}' of {spec} holds {held}, and no images: set "
            "image_column to the one that does"
        ) from error


def _of_no_split(folder: Path) -> dict[str, int]:
    """The Parquet files of a folder that are in none of the splits that `datasets` makes of it.

    Once one file is named by a split, as train-0.parquet is, files that are not belong to none.
    """
    if not folder.is_dir():
        return {}
    present = {str(file.resolve()): file.name for file in sorted(folder.glob("*.parquet"))}
    named = _files_by_split(str(folder)).values()
    used = {str(Path(file).resolve()) for files in named for file in files}
    left = [name for file, name in present.items() if file not in used]
    reason = f"of the Parquet files, whose names are of no split ({shown(left)})"
    return {reason: len(left)} if left else {}


def _table_ids(table: "Dataset", spec: SourceSpec) -> Sequence[str]:
    # File names are better ids than numbers, since they survive another order: where all images
    # have one, and no two the same. The images themselves are not read for it.
    names = table.select_columns([spec.image_column]).flatten()
    column = f"{spec.image_column}.path"
    paths = names[column][:] if column in names.column_names else []
    stems = [Path(path).name for path in paths if path]
    if len(stems) == len(table) == len(set(stems)):
        return stems
    return [f"{spec.split or 'train'}-{index:08d}" for index in range(len(table))]


def _named_files(table: "Dataset", column: str) -> tuple[list[str], NDArray[np.int64]]:
    """The files that rows name instead of holding an image, and these rows."""
    import pyarrow.compute as pc  # slow to import, as `datasets` is

    cells = table.data.column(column)
    names = pc.struct_field(cells, "path")
    named = pc.and_(pc.is_null(pc.struct_field(cells, "bytes")), pc.is_valid(names))
    return names.filter(named).to_pylist(), np.flatnonzero(named.to_numpy())


def _table_labels(
    table: "Dataset", spec: SourceSpec
) -> tuple[tuple[str, ...] | None, NDArray[np.int64] | None]:
    if spec.label_column not in table.column_names:
        return None, None
    feature = table.features[spec.label_column]
    values = table[spec.label_column][:]
    kinds = {type(value) for value in values}  # NoneType too, for rows without a label
    if kinds == {str}:
        texts = tuple(sorted(set(values)))
        refuse_alike(texts, str(spec))
        position = {text: index for index, text in enumerate(texts)}
        return texts, np.array([position[value] for value in values])
    if not kinds <= {int, bool}:
        empty = f"; row {values.index(None):,} has none" if None in values else ""
        raise NsbenchError(
            f"the column '{spec.label_column}' of {spec} holds no class labels (whole numbers or "
            f"names in every row{empty}): correct it, or set label_column"
        )
    labels = np.array(values, dtype=np.int64)
    if (labels < 0).all():  # how the hub marks images without labels
        return None, None
    names = getattr(feature, "names", None) if spec.label_space == "names" else None
    return (tuple(names) if names else None), labels
