"""Images in folders."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsbench.data.class_names import by_name, no_folders
from nsbench.data.content import Storage, StoredSource, read_whole
from nsbench.data.decode import is_image
from nsbench.util.errors import NsbenchError


class FolderSource(StoredSource):
    """Images in one folder a class, named by the class; or unlabeled images in a flat folder.

    Ids are the paths below the folder, `class/file` or `file`. In the label space `indices` the
    folders' names are class indices, as in ImageNetV2. Hidden files and folders are passed over.
    """

    def __init__(self, path: Path, label_space: str = "names") -> None:
        if not path.is_dir():
            raise NsbenchError(f"there is no folder {path}")
        folders = class_folders(path)
        self.name, self._path = str(path), path
        self.classes: tuple[str, ...] | None = None
        self.labels: NDArray[np.int64] | None = None
        # Sorted folder by folder, as by torchvision's ImageFolder; a file system's order is chance.
        files = [file for folder in folders or [path] for file in _images_in(folder)]
        self.ids = [_utf8(file.relative_to(path).as_posix(), path) for file in files]
        if not files:
            raise NsbenchError(f"{path} holds no images: expected one folder a class with images")
        if folders:
            filled = {file.parent for file in files}
            empty = [folder for folder in folders if folder not in filled]
            if empty:  # its class would be missing, and shift the numbers of those after it
                raise NsbenchError(f"the class folder {empty[0]} is empty: fill or remove it")
            names = [file.parent.name for file in files]
            self.classes, self.labels = by_name(names, label_space, str(path))
        elif label_space == "indices":
            raise no_folders(str(path))

    @property
    def storage(self) -> Storage:
        """A file for each image."""
        return Storage(os.path.abspath(self._path), self._path, self.ids)

    def raw(self, index: int) -> bytes:
        """A file's bytes. Raises NsbenchError."""
        return read_whole(self._path / self.ids[index], self.called(index))

    def called(self, index: int) -> str:
        """The path of an image."""
        return str(self._path / self.ids[index])


def class_folders(path: Path) -> list[Path]:
    """The folders in a folder that are not hidden, sorted."""
    entries = sorted(path.iterdir())
    return [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]


def _images_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if is_image(file.name))


def _utf8(name: str, path: Path) -> str:
    # Python reads bytes that are not UTF-8 as lone surrogates, which no Parquet or JSON file can
    # hold.
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        shown = name.encode(errors="surrogateescape").decode(errors="replace")
        raise NsbenchError(f"the file name {shown} in {path} is not UTF-8: rename it")
    return name
