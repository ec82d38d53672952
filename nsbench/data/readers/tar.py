"""Images in a tar archive, read in place."""

import os
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from nsbench.data.class_names import by_name, no_folders
from nsbench.data.content import Storage, StoredSource
from nsbench.data.decode import is_image, utf8
from nsbench.data.found import not_images
from nsbench.data.layout import layout
from nsbench.data.tar_index import packed_inside, read_at, read_index
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import counted


class TarSource(StoredSource):
    """A tar archive of images in class folders, or of unlabeled images, as it was downloaded.

    Members are `[folder/…]class/file`, or as `nsbench.data.layout` has it. Classes, ids and order
    are those of the folder that unpacking would make. split: only what is below that folder of the
    archive.
    """

    def __init__(self, path: Path, label_space: str = "names", split: str | None = None) -> None:
        index = read_index(path)
        held = [name for name in index.names if _below(name, split)]
        names = list(filter(is_image, held))
        if not names:
            where = f" in {split}" if split else ""
            raise NsbenchError(f"{path} holds no images{where}{packed_inside(held, path)}")
        # By parts, as folders are listed: as text, "a-b/x" would come before "a/x".
        paths = sorted(map(PurePosixPath, names), key=lambda path: path.parts)
        at_top = sum(len(image.parts) == 1 for image in paths)
        if 0 < at_top < len(paths):
            raise NsbenchError(
                f"{path} holds {counted(at_top, 'image')} in no folder and "
                f"{len(paths) - at_top:,} in folders, and either may be the data: name a folder as "
                "split, or take the others out"
            )
        found = layout([image.parts[:-1] for image in paths])
        self.name, self._split = str(path), split
        base = PurePosixPath(*found.base)
        self.ids = [utf8(str(image.relative_to(base)), str(path)) for image in paths]
        self.no_labels = found.why
        self.passed_over = not_images(
            PurePosixPath(name).name for name in held if not is_image(name)
        )
        rows = [index.rows[str(image)] for image in paths]
        self._path, self._offsets, self._sizes = path, index.offsets[rows], index.sizes[rows]
        self.classes: tuple[str, ...] | None = None
        self.labels: NDArray[np.int64] | None = None
        if found.classes is not None:
            self.classes, self.labels = by_name(found.classes, label_space, str(path))
        elif label_space == "indices":
            raise no_folders(str(path))

    @property
    def storage(self) -> Storage:
        """The archive."""
        spans = np.stack([np.zeros_like(self._offsets), self._offsets, self._sizes], axis=1)
        name = os.path.abspath(self._path)
        return Storage(f"{name}\0{self._split}", self._path.parent, [self._path.name], spans)

    def raw(self, index: int) -> bytes:
        """A member's bytes. Raises NsbenchError."""
        return read_at(self._path, int(self._offsets[index]), int(self._sizes[index]))


def _below(name: str, folder: str | None) -> bool:
    return folder is None or name.startswith(folder.rstrip("/") + "/")
