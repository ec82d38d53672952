"""Corrupted and perturbed images from files, in the layouts of the released sets.

These are ImageNet-C and ImageNet-P, one file an image, and CIFAR-10-C and CIFAR-10-P, one array a
corruption. All are also read inside the plain tar archives they were released in.
"""

import io
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nsbench.data.open import EXTENSIONS, Source, labels_of
from nsbench.data.readers.npy import mapped
from nsbench.names import SEVERITIES
from nsbench.released.content import check_record, files_digests, rows_digests
from nsbench.released.mp4 import decode_clip
from nsbench.released.trees import Tree, find_part, folders, part_names
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint, sha256
from nsbench.util.randomness import stable_hash
from nsbench.util.sealed import read_record

MANIFEST = "nsbench.json"
ENDINGS = ("JPEG", "jpeg", "jpg", "png")  # the released one first, as each is tried for each image

# What Windows or Linux refuse in names, what hides a file or leads out of its folder.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]|^\.+|[. ]+$')
_LONGEST = 200  # bytes: leaves room for endings and temporary names below the usual limit of 255


def file_names(source: Source, indices: Iterable[int]) -> list[str]:
    """The path without ending, `class/stem`, of each image in a set of files.

    The stem is the file name of the image's id without an image ending. A class or stem that no
    file system should get is changed, and ends in a hash of the original.

    Raises NsbenchError for a source without labels, or if two images share a name.
    """
    labels = labels_of(source, "naming files by class")
    # Refused here and not where a file is written: two images in one file would be found too late.
    taken: dict[str, str] = {}
    for index in map(int, indices):
        label = int(labels[index])
        folder = source.classes[label] if source.classes else str(label)
        name = f"{_safe(folder)}/{_safe(_stem(source.ids[index]))}"
        if name in taken:
            raise NsbenchError(
                f"the images {taken[name]} and {source.ids[index]} of {source.name} would share "
                f"the file name {name}: rename one of them"
            )
        taken[name] = source.ids[index]
    return list(taken)


def _stem(image_id: str) -> str:
    path = PurePosixPath(image_id)
    return path.stem if path.suffix.lower() in EXTENSIONS else path.name


def _safe(text: str) -> str:
    changed = _UNSAFE.sub("_", text)
    if text and changed == text and len(text.encode()) <= _LONGEST:
        return text
    # Cut short enough for the hash to fit behind it; a letter that the cut divides is dropped.
    beginning = changed.encode()[: _LONGEST // 2].decode(errors="ignore")
    return f"{beginning}-{stable_hash(text):032x}"


class _Files:
    """Files made from the images of a source, one folder or .npy file a name.

    root: a folder of these, a folder of `.tar` files with these, or one `.tar` file.
    """

    command: str
    endings: Sequence[str]

    def __init__(self, root: Path, source: Source) -> None:
        self._root, self._source = root, source
        self._trees: dict[str, Tree] = {}
        self._endings = list(self.endings)

    @cached_property
    def _names(self) -> list[str]:
        return file_names(self._source, range(len(self._source)))

    def _tree(self, name: str) -> Tree:
        """The folder or .npy file of a corruption or perturbation."""
        if name not in self._trees:
            tree = find_part(self._root, name) if self._root.exists() else None
            if tree is None:
                self._refuse_name(name)
            self._trees[name] = tree
        return self._trees[name]

    def _refuse_name(self, name: str) -> NoReturn:
        if not self._root.exists():
            raise NsbenchError(
                f"there is no folder {self._root}: nsbench make {self.command} "
                f"{self._source.name} {self._root} makes it"
            )
        names = part_names(self._root)  # at most 30 of them, to keep the error readable
        raise NsbenchError(
            f"{self._root} has no folder or file for '{name}'; it has "
            f"{', '.join(names[:30]) or 'none'}: let nsbench make {self.command} add it, or fetch "
            "it"
        )

    def _check_classes(self, folder: Tree) -> None:
        wanted = {name.split("/")[0] for name in self._names}
        present = folders(folder)
        # One class in common is enough: a set may hold fewer classes than the source, and files
        # that are missing are named when they are read.
        if present.isdisjoint(wanted):
            raise NsbenchError(
                f"{folder} has no folder for any class of {self._source.name} (such as "
                f"{min(wanted)}); it has {', '.join(sorted(present)[:3]) or 'none'}: name the "
                "source that these files were made from"
            )

    def _check_array(
        self, array: NDArray[np.uint8], path: Tree, shape: Sequence[int | str]
    ) -> None:
        # `shape` has letters for sizes that may be any; other numbers of dimensions fail below.
        pairs = list(zip(array.shape, shape, strict=False))
        wrong = [size for size, wanted in pairs if isinstance(wanted, int) and size != wanted]
        if array.dtype != np.uint8 or array.ndim != len(shape) or wrong:
            text = ", ".join(map(str, shape))
            raise NsbenchError(
                f"{path} holds {array.dtype} {array.shape}, but the {len(self._source)} images of "
                f"{self._source.name} need uint8 ({text}): name the source it was made from"
            )

    def _check_labels(self, tree: Tree, copies: int) -> None:
        path = tree.with_name("labels.npy")
        if self._source.labels is None or not path.is_file():
            return
        stored, own = np.asarray(mapped(path)).tolist(), self._source.labels.tolist() * copies
        # Classes may be numbered differently in the two: what counts is that each number on one
        # side always meets the same one on the other.
        pairs = len(set(zip(stored, own, strict=False)))
        if len(stored) != len(own) or not pairs == len(set(stored)) == len(set(own)):
            raise NsbenchError(
                f"the labels in {path} are not those of {self._source.name}: name the source it "
                "was made from, with its images in the same order"
            )

    @cached_property
    def manifest(self) -> dict[str, Any] | None:
        """What `nsbench make` wrote of these files, None for others.

        Raises NsbenchError if it was changed.
        """
        path = self._root / MANIFEST
        way_out = f"repeat the nsbench make {self.command} that made it, which keeps the files"
        return read_record(path, way_out) if path.is_file() else None

    def identity(self, cells: Iterable[str], indices: NDArray[np.int64]) -> str:
        """A hash of the files' content, and of how `nsbench make` made them if it did.

        cells: such as `fog/3`, or the folder of a sequence. indices: of the images in the source.
        Raises NsbenchError if a file is missing.
        """
        # What later commands may change, and where the files came from, says nothing of them.
        changeable = ("source", "source_version", "images", "cells")
        made = {key: v for key, v in (self.manifest or {}).items() if key not in changeable}
        return fingerprint([made, [(cell, self._content(cell, indices)) for cell in cells]])

    def _content(self, cell: str, indices: NDArray[np.int64]) -> str:
        name, *severity = cell.split("/")
        tree = self._tree(name)
        if tree.is_dir():
            folder = tree / severity[0] if severity else tree
            paths = [self._path(folder, row) for row in indices.tolist()]
            found = files_digests(folder, paths)
            if not (read := found.any(1)).all():
                raise self._unreadable(paths[int(read.argmin())], "it is empty, or may not be read")
        else:
            first = (int(severity[0]) - 1) * len(self._source) if severity else 0
            found = rows_digests(tree, first + indices)
        if self.manifest:
            ids = [self._source.ids[row] for row in indices.tolist()]
            check_record(self._root, cell, ids, self._source.digests_of(indices), found)
        return sha256(found.tobytes())

    def _path(self, folder: Tree, index: int) -> Tree:
        """The file of an image in a cell's folder. Raises NsbenchError if there is none."""
        paths = [folder / f"{self._names[index]}.{ending}" for ending in self._endings]
        present = next((path for path in paths if path.is_file()), None)
        if present is None:
            raise self._missing(paths[0])
        return present

    def _missing(self, path: Tree) -> NsbenchError:
        return NsbenchError(
            f"there is no {path}: repeat the nsbench make {self.command} that made {self._root}, "
            "which completes what is missing, or fetch it again"
        )

    def _unreadable(self, path: Tree, reason: object) -> NsbenchError:
        return NsbenchError(
            f"{path} cannot be read ({reason}): remove it and repeat the nsbench make "
            f"{self.command} that made {self._root}, or fetch it again"
        )


class CorruptedFiles(_Files):
    """ImageNet-C as files: what `nsbench make imagenet-c` wrote, or a set as it was released.

    Folders are `ROOT/[GROUP/]CORRUPTION/SEVERITY/CLASS/STEM.JPEG` (or jpeg, jpg, png), named by
    `file_names`; the group is `noise`, `blur`, `weather`, `digital`, `extra` or left out. Or, as in
    CIFAR-10-C, `ROOT/CORRUPTION.npy` is uint8 (5 N, S, S, 3), all N images in the order of the
    source for severity 1, then for 2, and so on; `labels.npy`, if there, must be the source's.
    """

    command = "imagenet-c"
    endings = ENDINGS

    def check(self, cells: list[tuple[str, int]]) -> None:
        """Raise NsbenchError if a corruption or severity is missing, or of another source."""
        for name, severity in cells:
            tree = self._tree(name)
            if tree.is_dir():
                self._check_folder(tree, severity)
            else:
                self._rows(tree, severity)
                self._check_labels(tree, len(SEVERITIES))

    def _check_folder(self, tree: Tree, severity: int) -> None:
        if not (tree / str(severity)).is_dir():
            raise NsbenchError(
                f"{tree} has no severity {severity}; it has "
                f"{', '.join(sorted(folders(tree))) or 'none'}: let nsbench make imagenet-c add "
                "it, or fetch it"
            )
        self._check_classes(tree / str(severity))

    def read(self, corruption: str, severity: int, index: int) -> NDArray[np.uint8]:
        """Image `index` of the source, corrupted: uint8 (3, S, S), as stored.

        Raises NsbenchError naming the file that is missing or cannot be read.
        """
        tree = self._tree(corruption)
        if tree.is_dir():
            return self._decode(tree / str(severity), self._names[index])
        return np.ascontiguousarray(self._rows(tree, severity)[index].transpose(2, 0, 1))

    def _rows(self, path: Tree, severity: int) -> NDArray[np.uint8]:
        array, count = mapped(path), len(self._source)
        self._check_array(array, path, (len(SEVERITIES) * count, "S", "S", 3))
        if severity not in SEVERITIES:
            raise NsbenchError(f"{path} has no severity {severity}; it has 1 to 5")
        return array[(severity - 1) * count : severity * count]

    def _decode(self, folder: Tree, name: str) -> NDArray[np.uint8]:
        # Opened without asking first whether it exists: on a network disk that costs as much.
        for ending in self._endings:
            path = folder / f"{name}.{ending}"
            try:
                with Image.open(io.BytesIO(path.read_bytes())) as image:
                    pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
            except FileNotFoundError:
                continue
            # What Pillow's plugins raise for damaged files; SyntaxError is PNG's.
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                reason = (
                    "it is not an image" if isinstance(error, UnidentifiedImageError) else error
                )
                raise self._unreadable(path, reason) from error
            if ending != self._endings[0]:  # the other files are likely to end so too
                self._endings = sorted(self._endings, key=lambda candidate: candidate != ending)
            return np.ascontiguousarray(pixels.transpose(2, 0, 1))
        raise self._missing(folder / f"{name}.{self._endings[0]}")


class ClipFiles(_Files):
    """ImageNet-P as files: what `nsbench make imagenet-p` wrote, or a set as it was released.

    Folders are `ROOT/[GROUP/]PERTURBATION/CLASS/STEM.mp4`, named by `file_names`; or, as in
    CIFAR-10-P, `ROOT/PERTURBATION.npy` is uint8 (N, F, S, S, 3) in the order of the source. The
    names of noises of difficulty 2 and 3 end in `_2` and `_3`.
    """

    command = "imagenet-p"
    endings = ("mp4",)

    def check(self, perturbations: list[str]) -> None:
        """Raise NsbenchError if a perturbation is missing, or of another source."""
        for name in perturbations:
            tree = self._tree(name)
            if tree.is_dir():
                self._check_classes(tree)
            else:
                self._rows(tree)
                self._check_labels(tree, 1)

    def read(self, perturbation: str, index: int) -> NDArray[np.uint8]:
        """The frames of image `index` of the source: uint8 (F, 3, S, S), as stored.

        Raises NsbenchError naming the file that is missing or cannot be read.
        """
        tree = self._tree(perturbation)
        if not tree.is_dir():
            return np.ascontiguousarray(self._rows(tree)[index].transpose(0, 3, 1, 2))
        path = tree / f"{self._names[index]}.mp4"
        try:
            return decode_clip(path)
        except FileNotFoundError as error:
            raise self._missing(path) from error
        except ValueError as error:
            raise self._unreadable(path, error) from error

    def _rows(self, path: Tree) -> NDArray[np.uint8]:
        array = mapped(path)
        self._check_array(array, path, (len(self._source), "F", "S", "S", 3))
        return array
