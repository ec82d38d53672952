"""Data sets that `datasets` saved to disk: a folder of Arrow files with a `state.json`."""

from pathlib import Path
from typing import TYPE_CHECKING

from nsbench.data.readers.given import column_of
from nsbench.data.readers.parquet import TableSource, checked
from nsbench.data.spec import SourceSpec
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError, first_line

if TYPE_CHECKING:
    from datasets import Dataset

WHOLE, SPLITS = "state.json", "dataset_dict.json"
"""What `save_to_disk` writes beside the files of a data set, and of one with splits."""


class SavedSource(TableSource):
    """A folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` made.

    Columns that are not named may be called otherwise, as in data sets in memory. Raises
    NsbenchError for a split that it lacks, and a folder that cannot be read.
    """

    def __init__(self, path: Path, spec: SourceSpec) -> None:
        table, named = _loaded(path, spec.split), spec.model_fields_set
        wanted = spec.image_column if "image_column" in named else None
        self._column = column_of(table, wanted, "image", "Image")
        columns = {"image_column": self._column}
        # Without labels where no column is named, and none is of classes.
        of_classes = [
            n for n, kind in table.features.items() if type(kind).__name__ == "ClassLabel"
        ]
        if "label_column" in named or "label" in table.column_names or len(of_classes) == 1:
            wanted = spec.label_column if "label_column" in named else None
            columns["label_column"] = column_of(table, wanted, "label", "ClassLabel")
        spec = spec.model_copy(update=columns)
        self.name = str(path)
        self._table = checked(table, spec)
        self._take(spec)


def _loaded(path: Path, split: str | None) -> "Dataset":
    import datasets  # takes a second

    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # of Arrow and of the file system
        raise NsbenchError(f"{path} cannot be read ({first_line(error)}): save it again") from error
    if not isinstance(loaded, datasets.DatasetDict):
        if split is not None:
            raise NsbenchError(
                f"{path} is one data set without splits: leave out split = '{split}'"
            )
        return loaded
    splits = list(loaded)
    if split is None and len(splits) > 1:
        raise NsbenchError(
            f"{path} has the splits {', '.join(splits)}: name one as split, as --suite "
            f"{path}:{splits[-1]} does"
        )
    chosen = split or splits[0]
    if chosen not in splits:
        raise NsbenchError(f"{path} has no split '{chosen}'{nearest(chosen, splits)}")
    return loaded[chosen]


def is_saved(path: Path) -> bool:
    """Whether a folder is one that `save_to_disk` made."""
    return (path / WHOLE).is_file() or (path / SPLITS).is_file()
