"""Tables of images: Parquet files, and data sets of the Hugging Face hub."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.decode import decode
from nsbench.data.spec import SourceSpec
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError, first_line

if TYPE_CHECKING:
    from datasets import Dataset


class TableSource:
    """A table of images read by `datasets`: Parquet files, or a Hugging Face data set."""

    def __init__(self, spec: SourceSpec, path: str) -> None:
        self.name = str(spec)
        self._column = spec.image_column
        self._table = _load_table(spec, path)
        self.ids = _table_ids(self._table, spec)
        self.classes, self.labels = _table_labels(self._table, spec)
        self.version = str(self._table._fingerprint)

    def __len__(self) -> int:
        return len(self._table)

    def image(self, index: int) -> Image.Image:
        """RGB image as stored."""
        # the Arrow table itself: a row of the data set takes five times as long
        cell = self._table.data.column(self._column)[index].as_py()
        name = f"{index} of {self.name}"
        if cell is None or (cell["bytes"] is None and cell["path"] is None):
            raise NsbenchError(f"the image {name} is missing: remove its row")
        stored = cell["bytes"]
        return decode(Path(cell["path"]) if stored is None else io.BytesIO(stored), name)


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
    # Not decoded by `datasets`, so that `decode` treats all sources' images alike.
    return table.cast_column(spec.image_column, datasets.Image(decode=False))


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
        position = {text: index for index, text in enumerate(texts)}
        return texts, np.array([position[value] for value in values])
    if not kinds <= {int, bool}:
        raise NsbenchError(
            f"the column '{spec.label_column}' of {spec} holds no class labels (whole numbers or "
            "names in every row); set label_column"
        )
    labels = np.array(values, dtype=np.int64)
    if (labels < 0).all():  # how the hub marks images without labels
        return None, None
    names = getattr(feature, "names", None) if spec.label_space == "names" else None
    return (tuple(names) if names else None), labels
