"""The changed images of a suite that are read from files."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from nsbench.corruptions import jpeg
from nsbench.data.catalog import files_root
from nsbench.data.open import Source
from nsbench.data.prefetch import in_order
from nsbench.evaluation.decoded_file import Array
from nsbench.names import clip_folder, frame_count
from nsbench.released.reader import ClipFiles, CorruptedFiles
from nsbench.suites.load import CorruptionSuite, PerturbationSuite
from nsbench.util.errors import NsbenchError

CLIP_BYTES = 2**28


class Todo(NamedTuple):
    """A batch of a cell that is to be made."""

    cell: str
    rows: slice


def parts(cell: str) -> tuple[str, int]:
    """The corruption and severity of a cell such as `fog/3`."""
    name, severity = cell.split("/")
    return name, int(severity)


class FilesOf:
    """A suite's changed images in files, for some images of its source.

    indices: of these images in the source, int64 (N,).
    """

    def __init__(
        self,
        suite: CorruptionSuite | PerturbationSuite,
        source: Source,
        indices: NDArray[np.int64],
    ) -> None:
        assert suite.files is not None
        self._suite, self._source, self._indices = suite, source, indices
        root = files_root(suite.files)
        self._corrupted, self._clips = CorruptedFiles(root, source), ClipFiles(root, source)

    def identity(self) -> str:
        """What the files are, once all of the suite's cells are there. Raises NsbenchError."""
        if isinstance(self._suite, CorruptionSuite):
            cells = [parts(cell) for cell in self._suite.cells() if cell != "clean"]
            self._corrupted.check(cells)
            self._check_manifest()
            return f"the files {self._corrupted.identity(cells)[:16]}"
        folders = [self._folder(name) for name in self._suite.perturbations]
        self._clips.check(folders)
        self._check_manifest()
        return f"the files {self._clips.identity(folders)[:16]}"

    @property
    def _manifest(self) -> dict[str, Any] | None:
        corrupted = isinstance(self._suite, CorruptionSuite)
        return self._corrupted.manifest if corrupted else self._clips.manifest

    def _check_manifest(self) -> None:
        """Refuse files that nsbench made of other crops, or compressed otherwise."""
        suite, manifest = self._suite, self._manifest
        if not manifest:
            return
        own: dict[str, object] = {
            "image_size": suite.image_size,
            "resize_size": suite.short_side,
        }
        if isinstance(suite, CorruptionSuite) and manifest.get("storage", "").startswith("jpeg"):
            own["storage"] = f"jpeg-{suite.jpeg_quality}"
        for key, value in own.items():
            if manifest.get(key) != value:
                raise NsbenchError(
                    f"{suite.files} was made with {key} {manifest.get(key)}, but {suite.name} says "
                    f"{value}: set it in the suite, or make the files anew"
                )

    @property
    def _compress(self) -> int:
        """The quality of the JPEG that the suite wants and exact files of nsbench have not had."""
        suite, manifest = self._suite, self._manifest
        exact = manifest is not None and manifest.get("storage") in ("png", "npy")
        return suite.jpeg_quality if isinstance(suite, CorruptionSuite) and exact else 0

    def _folder(self, name: str) -> str:
        assert isinstance(self._suite, PerturbationSuite)
        return clip_folder(name, self._suite.difficulty)

    def corrupted(self, todo: list[Todo]) -> Iterator[torch.Tensor]:
        """The images of batches, read ahead by threads."""
        images = in_order(
            self._read,
            ((cell, row) for cell, rows in todo for row in range(rows.start, rows.stop)),
        )
        for _, rows in todo:
            made = [next(images) for _ in range(rows.start, rows.stop)]
            batch = torch.from_numpy(np.stack(made))
            yield jpeg(batch, self._compress) if self._compress else batch

    def _read(self, item: tuple[str, int]) -> Array:
        cell, row = item
        index = int(self._indices[row])
        image = self._corrupted.read(*parts(cell), index)
        self._check(image, (3, *self._square), cell, index)
        return image

    def clips_at_once(self, name: str) -> int:
        """As many clips as 256 MiB hold."""
        clip = 3 * frame_count(name, self._suite.image_size) * self._suite.image_size**2
        return max(1, CLIP_BYTES // clip)

    def frames(self, name: str, rows: slice) -> Iterator[torch.Tensor]:
        """The frames of some clips one after the other."""
        chosen = range(rows.start, rows.stop)
        clips = np.stack(list(in_order(lambda row: self._clip(name, row), chosen)))
        for frame in range(clips.shape[1]):
            yield torch.from_numpy(np.ascontiguousarray(clips[:, frame]))

    def _clip(self, name: str, row: int) -> Array:
        index = int(self._indices[row])
        clip = self._clips.read(self._folder(name), index)
        count = frame_count(name, self._suite.image_size)
        self._check(clip, (count, 3, *self._square), name, index)
        return clip

    @property
    def _square(self) -> tuple[int, int]:
        return self._suite.image_size, self._suite.image_size

    def _check(self, found: Array, shape: tuple[int, ...], cell: str, index: int) -> None:
        if found.shape != shape:
            raise NsbenchError(
                f"{self._source.ids[index]} of {cell} in {self._suite.files} has the shape "
                f"{_times(found.shape)}, but {self._suite.name} needs {_times(shape)}: set its "
                "image_size to that of the files, or make them anew"
            )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
