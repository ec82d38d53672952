"""Images in a tar archive, read in place."""

import os
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from nsbench.data.class_names import by_name, no_folders
from nsbench.data.content import Storage, StoredSource
from nsbench.data.decode import is_image, utf8
from nsbench.data.found import not_images
from nsbench.data.tar_index import read_at, read_index
from nsbench.util.errors import NsbenchError


class TarSource(StoredSource):
    """A tar archive of images in class folders, or of unlabeled images, as it was downloaded.

    Members are `[folder/…]class/file`, or `file` at the top. Classes, ids and order are those of
    the folder that unpacking would make. split: only what is below that folder of the archive.
    """

    def __init__(self, path: Path, label_space: str = "names", split: str | None = None) -> None:
        index = read_index(path)
        held = [name for name in index.names if _below(name, split)]
        names = list(filter(is_image, held))
        if not names:
            raise NsbenchError(f"{path} holds no images" + (f" in {split}" if split else ""))
        # By parts, as folders are listed: as text, "a-b/x" would come before "a/x".
        paths = sorted(map(PurePosixPath, names), key=lambda path: path.parts)
        base = _only_base(paths, path)
        self.name, self._split = str(path), split
        self.ids = [utf8(str(image.relative_to(base)), str(path)) for image in paths]
        self.passed_over = not_images(
            PurePosixPath(name).name for name in held if not is_image(name)
        )
        rows = [index.rows[str(image)] for image in paths]
        self._path, self._offsets, self._sizes = path, index.offsets[rows], index.sizes[rows]
        self.classes: tuple[str, ...] | None = None
        self.labels: NDArray[np.int64] | None = None
        if "/" in self.ids[0]:
            names = [image.parent.name for image in paths]
            self.classes, self.labels = by_name(names, label_space, str(path))
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


def _only_base(paths: list[PurePosixPath], archive: Path) -> PurePosixPath:
    """The one folder that holds all class folders, or all images where there are none."""
    # None for images at the top, so that they and class folders are two places.
    bases = {path.parents[1] if len(path.parts) > 1 else None for path in paths}
    base = next(iter(bases))
    if len(bases) == 1:
        return base or PurePosixPath()
    shown = ", ".join(sorted(str(base) if base else "images in none" for base in bases)[:3])
    raise NsbenchError(
        f"{archive} holds class folders in several places ({shown}): name one of them as split"
    )
