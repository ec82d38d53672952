"""The changed images of a suite that are read from released files, checked against the suite."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from nsbench.corruptions import jpeg
from nsbench.data.catalog import files_root
from nsbench.data.prefetch import prefetch_map
from nsbench.evaluation.decoded_file import Array
from nsbench.evaluation.model_run import SuiteImages
from nsbench.names import clip_folder
from nsbench.released.reader import ClipFiles, CorruptedFiles
from nsbench.suites.base import SizedSuite
from nsbench.suites.corruption import CorruptionSuite, parse_cell
from nsbench.suites.perturbation import PerturbationSuite
from nsbench.util.errors import NsbenchError

CLIP_BYTES = 2**28
"""Bytes of decoded clips held at once: 47 clips of 31 frames at 224 px."""


class CellRows(NamedTuple):
    """A batch of a cell: rows of this process's images."""

    cell: str
    rows: slice


class ReleasedCorruptions:
    """A corruption suite's images in files, for some images of its source.

    images: these, of which this process reads its own. Raises NsbenchError if `files` is a data set
    that is not found.
    """

    def __init__(self, suite: CorruptionSuite, images: SuiteImages) -> None:
        assert suite.files is not None
        source = images.source
        self._suite, self._source, self._indices = suite, source, images.own
        self._all = images.indices
        self._files = CorruptedFiles(files_root(suite.files), source)

    @property
    def are_made(self) -> bool:
        """Whether `nsbench make` made the files."""
        return self._files.manifest is not None

    def identity(self) -> str:
        """What identifies the files. Raises NsbenchError if they lack a cell or do not fit."""
        cells = self._suite.corrupted_cells()
        self._files.check(cells)
        manifest = self._files.manifest
        _check_manifest(self._suite, manifest)
        # The quality of JPEG files is fixed; lossless ones are compressed once they are read.
        if manifest and str(manifest.get("storage")).startswith("jpeg"):
            _check_key(self._suite, manifest, "storage", f"jpeg-{self._suite.jpeg_quality}")
        names = [f"{name}/{severity}" for name, severity in cells]
        identity = self._files.identity(names, self._all)
        return f"the files {identity[:16]}"

    @property
    def _quality(self) -> int:
        """The JPEG quality still to apply to files that nsbench stored losslessly; 0 for none."""
        manifest = self._files.manifest
        # Pixels that were stored exactly go through JPEG here, as those made on the fly do.
        exact = manifest is not None and manifest.get("storage") in ("png", "npy")
        return self._suite.jpeg_quality if exact else 0

    def batches(self, wanted: list[CellRows]) -> Iterator[torch.Tensor]:
        """The images of batches, uint8 (B, 3, S, S), read ahead by threads."""
        # One stream over all batches, so that threads do not stop where a batch ends.
        images = prefetch_map(
            self._read,
            ((cell, row) for cell, rows in wanted for row in range(rows.start, rows.stop)),
        )
        for _, rows in wanted:
            read = [next(images) for _ in range(rows.start, rows.stop)]
            batch = torch.from_numpy(np.stack(read))
            yield jpeg(batch, self._quality) if self._quality else batch

    def _read(self, item: tuple[str, int]) -> Array:
        cell, row = item
        index, size = int(self._indices[row]), self._suite.image_size
        image = self._files.read(*parse_cell(cell), index)
        where = f"{self._source.ids[index]} of {cell}"
        _check_shape(self._suite, image, (3, size, size), where)
        return image


class ReleasedClips:
    """A perturbation suite's clips in files, for some images of its source.

    images: these, of which this process reads its own. Raises NsbenchError if `files` is a data set
    that is not found.
    """

    def __init__(self, suite: PerturbationSuite, images: SuiteImages) -> None:
        assert suite.files is not None
        source = images.source
        self._suite, self._source, self._indices = suite, source, images.own
        self._all = images.indices
        self._files = ClipFiles(files_root(suite.files), source)

    @property
    def are_made(self) -> bool:
        """Whether `nsbench make` made the files."""
        return self._files.manifest is not None

    def identity(self) -> str:
        """What identifies the files. Raises NsbenchError if they lack a cell or do not fit."""
        folders = [clip_folder(name, self._suite.difficulty) for name in self._suite.perturbations]
        self._files.check(folders)
        _check_manifest(self._suite, self._files.manifest)
        return f"the files {self._files.identity(folders, self._all)[:16]}"

    def clips_at_once(self, name: str) -> int:
        """How many clips 256 MiB hold, at least one."""
        clip_bytes = 3 * self._suite.frame_count(name) * self._suite.image_size**2
        return max(1, CLIP_BYTES // clip_bytes)

    def frames(self, name: str, rows: slice) -> Iterator[torch.Tensor]:
        """The frames of some clips one after the other, uint8 (B, 3, S, S)."""
        chosen = range(rows.start, rows.stop)
        clips = np.stack(list(prefetch_map(lambda row: self._clip(name, row), chosen)))
        # Frame by frame, as the models get them, each copied together out of the clips.
        for frame in range(clips.shape[1]):
            yield torch.from_numpy(np.ascontiguousarray(clips[:, frame]))

    def _clip(self, name: str, row: int) -> Array:
        index, size = int(self._indices[row]), self._suite.image_size
        clip = self._files.read(clip_folder(name, self._suite.difficulty), index)
        where, count = f"{self._source.ids[index]} of {name}", self._suite.frame_count(name)
        if len(clip) != count and clip.shape[1:] == (3, size, size):
            # No size of images would help.
            raise NsbenchError(
                f"{where} in {self._suite.files} has {len(clip)} frames, but {self._suite.name} "
                f"needs {count}: remove that clip, and fetch or make it again"
            )
        _check_shape(self._suite, clip, (count, 3, size, size), where)
        return clip


def _check_manifest(suite: SizedSuite, manifest: dict[str, Any] | None) -> None:
    """Refuse files that nsbench made of other crops."""
    # The released sets have no manifest: of them only the shape of each image is checked.
    if manifest:
        _check_key(suite, manifest, "image_size", suite.image_size)
        _check_key(suite, manifest, "resize_size", suite.short_side)


def _check_key(suite: SizedSuite, manifest: dict[str, Any], key: str, wanted: object) -> None:
    if manifest.get(key) != wanted:
        raise NsbenchError(
            f"{suite.files} was made with {key} {manifest.get(key)}, but {suite.name} says "
            f"{wanted}: set it in the suite, or make the files again"
        )


def _check_shape(suite: SizedSuite, pixels: Array, shape: tuple[int, ...], where: str) -> None:
    if pixels.shape != shape:
        raise NsbenchError(
            f"{where} in {suite.files} has the shape {_times(pixels.shape)}, but {suite.name} "
            f"needs {_times(shape)}: set its image_size to that of the files, or make them again"
        )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
