"""Tables of images: Parquet files, and data sets of the Hugging Face hub."""

import io
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.class_names import by_name, same_text
from nsbench.data.content import Storage, StoredSource, read_whole
from nsbench.data.decode import decode, is_hidden, is_image
from nsbench.data.found import entries, images_below, is_folder, shown
from nsbench.data.spec import SourceSpec
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError, first_line
from nsbench.util.files import leads_nowhere
from nsbench.util.progress import say

if TYPE_CHECKING:
    from datasets import Dataset, Features

PARQUET = ".parquet"
CARDS = ("README.md", "dataset_infos.json")
"""What says of a data set of the hub which of its files are which split, and names its classes."""

DEPTH = 2
"""Folders below a snapshot that may hold its files: one of a configuration, and one of a split."""


class TableSource(StoredSource):
    """A table of images read by `datasets`: Parquet files, or a Hugging Face data set.

    named_files: the files that rows name instead of holding an image.
    """

    def __init__(self, spec: SourceSpec, path: str) -> None:
        self.name = str(spec)
        self._column = spec.image_column
        if Path(path).is_dir():
            held = _held(Path(path), spec.subset)
            spec = spec.model_copy(update={"split": _chosen_split(spec, path, held)})
            self._table = _load_folder(spec, held)
            self.passed_over = _of_no_split(held)
        else:
            self._table = _load_table(spec, path)
        self._take(spec)

    def _take(self, spec: SourceSpec) -> None:
        """Set what all sources have from the table."""
        self.named_files, self._rows_of_files = _named_files(self._table, self._column)
        self.ids = _table_ids(self._table, spec)
        self.classes, self.labels = _table_labels(self._table, spec)
        self.no_labels = (
            ": those that it has are negative, which stands for none"
            if spec.label_column in self._table.column_names
            else f": it has no column '{spec.label_column}'; set label_column"
        )

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


def has_tables(folder: Path) -> bool:
    """Whether a folder is one of Parquet files, or of the hub, which has them further down.

    A few tables beside more images, or anywhere in folders of images, are not the data.
    """
    if not folder.is_dir():
        return False
    if top := len(list(folder.glob(f"*{PARQUET}"))):
        return top >= images_below(str(folder))
    # What a snapshot has in `data` is the data, whatever pictures its card shows.
    return any((folder / "data").glob(f"*{PARQUET}")) or bool(_tables_below(folder))


def _tables_below(folder: Path, depth: int = DEPTH, *, images: bool = False) -> list[Path]:
    """The Parquet files in a folder and those below it, sorted; hidden ones are left out.

    images: whether there may be images beside them; without, the first one ends the search, so
    that a million images in class folders are not listed for it.
    """
    found, inner = [], []
    for entry in entries(str(folder)):
        if is_hidden(entry.name):
            continue
        if is_folder(entry):
            inner.append(Path(entry.path))
        elif entry.name.endswith(PARQUET):
            found.append(Path(entry.path))
        elif is_image(entry.name) and not images:
            return []
    for name in inner if depth else []:
        found += _tables_below(name, depth - 1, images=images)
    return found


@dataclass(frozen=True)
class _Held:
    """What `datasets` makes of a folder.

    files: all of its Parquet files. splits: the files of each split. features: the columns, and
    rows: how many each split has, where a card beside the files says so.
    """

    files: Sequence[Path]
    splits: Mapping[str, Sequence[Path]]
    features: "Features | None"
    rows: Mapping[str, int]


def _held(folder: Path, subset: str | None) -> _Held:
    """The splits of a folder, as `datasets` tells them. Raises NsbenchError where it cannot."""
    import datasets  # slow to import, and not needed for other sources

    files = [file.absolute() for file in _tables_below(folder, images=True)]
    if gone := [file for file in files if not file.exists()]:
        raise NsbenchError(
            f"{gone[0]} is {leads_nowhere(gone[0])}: restore what it leads to, or remove it"
        )
    # By links in a folder of a plain name: `datasets` would take brackets and stars in the path
    # for a pattern. Its own traces of it go with the folder.
    with tempfile.TemporaryDirectory() as made:
        place, top = Path(made).resolve(), folder.absolute()
        cards = [card for name in CARDS if (card := top / name).is_file()]
        real = {place / file.relative_to(top): file for file in [*files, *cards]}
        for link, file in real.items():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
        _quiet()
        try:
            subsets = datasets.get_dataset_config_names(str(place), cache_dir=made)
            if len(subsets) > 1 or subset:
                _refuse_subset(folder, subset, subsets)
            builder = datasets.load_dataset_builder(str(place), subset, cache_dir=made)
        except NsbenchError:
            raise
        except Exception as error:  # every library under it raises errors of its own
            raise NsbenchError(f"cannot open {folder}: {first_line(error)}") from error
    info, by_split = builder.info, builder.config.data_files or {}
    return _Held(
        files,
        {str(split): [real[Path(file)] for file in held] for split, held in by_split.items()},
        info.features,
        {name: split.num_examples for name, split in (info.splits or {}).items()},
    )


def _refuse_subset(folder: Path, subset: str | None, subsets: Sequence[str]) -> None:
    if subset is None:
        raise NsbenchError(
            f"{folder} has the subsets {', '.join(subsets)}: set subset to one of them"
        )
    if subset not in subsets:
        raise NsbenchError(f"{folder} has no subset '{subset}'{nearest(subset, subsets)}")


def _quiet() -> None:
    """Leave progress and remarks to nsbench, whose commands have their own."""
    import datasets
    import huggingface_hub

    datasets.disable_progress_bars()
    huggingface_hub.logging.set_verbosity_error()


def _chosen_split(spec: SourceSpec, path: str, held: _Held) -> str:
    """The split that is named, or the only one.

    Raises NsbenchError where there are several: training images are no test images.
    """
    splits = list(held.splits)
    if spec.split is None and len(splits) > 1:
        raise NsbenchError(
            f"{path} has the splits {', '.join(splits)}: name one as split, as --suite "
            f"{path}:{splits[-1]} does"
        )
    chosen = spec.split or splits[0]
    if chosen not in splits:
        raise NsbenchError(f"{path} has no split '{chosen}'{nearest(chosen, splits)}")
    return chosen


def _load_folder(spec: SourceSpec, held: _Held) -> "Dataset":
    split = str(spec.split)
    table = _read(spec, held.splits[split], split, held.features)
    if held.rows.get(split, len(table)) != len(table):
        raise NsbenchError(
            f"{spec} has {len(table):,} of the {held.rows[split]:,} rows that its card tells of: "
            "fetch all of its files"
        )
    return checked(table, spec)


def _read(
    spec: SourceSpec, files: Sequence[Path], split: str, features: "Features | None" = None
) -> "Dataset":
    """The rows of Parquet files, which `datasets` calls a split. Raises NsbenchError."""
    import datasets  # slow to import, and not needed for other sources

    # Escaped, since `datasets` takes each path for a pattern.
    named = {split: [escape(str(file)) for file in files]}
    _quiet()
    try:
        table: Dataset = datasets.load_dataset(
            "parquet", data_files=named, split=split, features=features
        )
    except Exception as error:  # every library under load_dataset raises errors of its own
        raise NsbenchError(f"cannot open {spec}: {first_line(error)}") from error
    return table


def _load_table(spec: SourceSpec, path: str) -> "Dataset":
    """The rows of one Parquet file, or of a split of a data set of the hub."""
    if path.endswith(PARQUET):
        # A single file has one part, which `datasets` calls train.
        return checked(_read(spec, [Path(path).absolute()], "train"), spec)
    import datasets  # slow to import, and not needed for other sources

    if spec.split is None:
        say(f"{spec}: no split is named, so the split train is read")
    _quiet()
    try:
        table = datasets.load_dataset(path, spec.subset, split=spec.split or "train")
    except Exception as error:  # every library under load_dataset raises errors of its own
        raise NsbenchError(f"cannot open {spec}: {first_line(error)}") from error
    return checked(table, spec)


def checked(table: "Dataset", spec: SourceSpec) -> "Dataset":
    """A table with images that are not decoded, so that `decode` treats all sources' alike."""
    import datasets

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


def _of_no_split(held: _Held) -> dict[str, int]:
    """The Parquet files of a folder that are in none of the splits that `datasets` makes of it.

    Once one file is named by a split, as train-0.parquet is, files that are not belong to none.
    """
    used = {file for files in held.splits.values() for file in files}
    left = [file.name for file in held.files if file not in used]
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
        return by_name(values, spec.label_space, str(spec))
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
    return (tuple(map(same_text, names)) if names else None), labels
