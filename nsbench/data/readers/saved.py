"""Data sets that `datasets` saved to disk: a folder of Arrow files with a `state.json`."""

from pathlib import Path
from typing import Any

from nsbench.data.readers.given import GivenSource
from nsbench.data.spec import SourceSpec
from nsbench.util.config import nearest
from nsbench.util.errors import NsbenchError, first_line

WHOLE, SPLITS = "state.json", "dataset_dict.json"
"""What `save_to_disk` writes beside the files of a data set, and of one with splits."""


class SavedSource(GivenSource):
    """A folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` made.

    Raises NsbenchError for a split that it lacks, and a folder that cannot be read.
    """

    of_program = False

    def __init__(self, path: Path, spec: SourceSpec) -> None:
        # Columns that are not named may be called otherwise, as in data sets in memory.
        named = spec.model_fields_set
        super().__init__(
            _loaded(path, spec.split),
            spec.image_column if "image_column" in named else None,
            spec.label_column if "label_column" in named else None,
        )
        self.name = str(path)
        if spec.label_space == "indices":
            self.classes = None


def _loaded(path: Path, split: str | None) -> Any:
    import datasets  # takes a second

    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # of Arrow and of the file system
        raise NsbenchError(f"{path} cannot be read ({first_line(error)}): save it again") from error
    if not isinstance(loaded, datasets.DatasetDict):
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
