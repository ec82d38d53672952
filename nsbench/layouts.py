"""Corrupted and perturbed images from files, in the layouts of the released sets.

These are ImageNet-C and ImageNet-P, one file an image, and CIFAR-10-C and CIFAR-10-P, one array a
corruption.
"""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.clips import decode_clip
from nsbench.data.sources import EXTENSIONS, Source
from nsbench.errors import NsbenchError
from nsbench.names import SEVERITIES
from nsbench.randomness import stable_hash
from nsbench.run import fingerprint, read_json, sha256

MANIFEST = "nsbench.json"
GROUPS = ("", "noise", "blur", "weather", "digital", "extra")
ENDINGS = ("JPEG", "jpeg", "jpg", "png")

# What Windows or Linux refuse, or what hides a file or leads out of its folder.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]|^\.+|[. ]+$')
_LONGEST = 200  # bytes, which leaves room for endings below the usual 255


def file_names(source: Source, indices: Iterable[int]) -> list[str]:
    """The path without ending, `class/stem`, of each image in a set of files.

    The stem is the file name of the image's id without an image ending. A class or stem that no
    file system should get is changed, and gets a hash of what it was.

    Raises NsbenchError for a source without labels, or if two images share a name.
    """
    if source.labels is None:
        raise NsbenchError(f"{source.name} has no labels, but its files are named by class")
    taken: dict[str, str] = {}
    for index in map(int, indices):
        label = int(source.labels[index])
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
    kept = changed.encode()[: _LONGEST // 2].decode(errors="ignore")
    return f"{kept}-{stable_hash(text):032x}"


class _Files:
    """A folder of files made from the images of a source, one folder or .npy file a name."""

    command: str

    def __init__(self, root: Path, source: Source) -> None:
        self._root, self._source = root, source
        self._places: dict[str, Path] = {}

    @cached_property
    def _names(self) -> list[str]:
        return file_names(self._source, range(len(self._source)))

    def _place(self, name: str) -> Path:
        """The folder or .npy file of a corruption or perturbation."""
        if name not in self._places:
            folders = [self._root / group / name for group in GROUPS]
            found = [folder for folder in folders if folder.is_dir()]
            files = [file for file in [self._root / f"{name}.npy"] if file.is_file()]
            if not found + files:
                self._refuse_name(name)
            self._places[name] = (found + files)[0]
        return self._places[name]

    def _refuse_name(self, name: str) -> NoReturn:
        if not self._root.is_dir():
            raise NsbenchError(
                f"there is no folder {self._root}: nsbench make {self.command} "
                f"{self._source.name} {self._root} makes it"
            )
        there = {entry.stem for entry in self._root.iterdir() if entry.suffix == ".npy"}
        for group in GROUPS:
            there |= _folders(self._root / group)
        names = sorted(there - {"labels", *GROUPS})
        raise NsbenchError(
            f"{self._root} has no folder or file for '{name}'; it has "
            f"{', '.join(names[:30]) or 'none'}: let nsbench make {self.command} add it, or fetch "
            "it"
        )

    def _check_classes(self, folder: Path) -> None:
        wanted = {name.split("/")[0] for name in self._names}
        there = _folders(folder)
        if there.isdisjoint(wanted):
            raise NsbenchError(
                f"{folder} has no folder for any class of {self._source.name} (such as "
                f"{min(wanted)}); it has {', '.join(sorted(there)[:3]) or 'none'}: name the source "
                "that these files were made from"
            )

    def _check_array(
        self, array: NDArray[np.uint8], path: Path, shape: Sequence[int | str]
    ) -> None:
        pairs = list(zip(array.shape, shape, strict=False))
        wrong = [found for found, wanted in pairs if isinstance(wanted, int) and found != wanted]
        if array.dtype != np.uint8 or array.ndim != len(shape) or wrong:
            text = ", ".join(map(str, shape))
            raise NsbenchError(
                f"{path} holds {array.dtype} {array.shape}, but the {len(self._source)} images of "
                f"{self._source.name} need uint8 ({text}): name the source it was made from"
            )

    def _check_labels(self, copies: int) -> None:
        path = self._root / "labels.npy"
        if self._source.labels is None or not path.is_file():
            return
        stored, own = np.asarray(_mapped(path)).tolist(), self._source.labels.tolist() * copies
        pairs = len(set(zip(stored, own, strict=False)))  # classes may be numbered otherwise
        if len(stored) != len(own) or not pairs == len(set(stored)) == len(set(own)):
            raise NsbenchError(
                f"the labels in {path} are not those of {self._source.name}: name the source it "
                "was made from, with its images in the same order"
            )

    def _identity(self, folder: str) -> str:
        manifest = self._root / MANIFEST
        if manifest.is_file():
            content = dict(read_json(manifest))
            growing = ("source", "cells")  # a path, and what later commands add to
            return fingerprint({key: content[key] for key in content if key not in growing})
        place = self._place(folder.split("/")[0])
        if place.is_dir():
            place = place.joinpath(*folder.split("/")[1:])
            files = sorted((f.relative_to(place).as_posix(), f) for f in place.glob("*/*"))
            return fingerprint([(name, file.stat().st_size) for name, file in files])
        array = _mapped(place)
        return fingerprint([place.name, list(array.shape), sha256(array[0].tobytes())])

    def _missing(self, path: Path) -> NsbenchError:
        return NsbenchError(
            f"there is no {path}: repeat the nsbench make {self.command} that made {self._root}, "
            "which completes what is missing, or fetch it again"
        )

    def _unreadable(self, path: Path, reason: object) -> NsbenchError:
        return NsbenchError(
            f"{path} cannot be read ({reason}): remove it and repeat the nsbench make "
            f"{self.command} that made {self._root}, or fetch it again"
        )


def _folders(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir() if entry.is_dir()} if path.is_dir() else set()


def _mapped(path: Path) -> NDArray[np.uint8]:
    """An array mapped into memory. Raises NsbenchError naming the file if that cannot be."""
    try:
        return _map(path, path.stat().st_mtime_ns)
    except (OSError, ValueError, EOFError) as error:
        raise NsbenchError(
            f"{path} cannot be read ({error}): remove it and make or fetch it again"
        ) from error


@lru_cache(maxsize=64)
def _map(path: Path, _: int) -> NDArray[np.uint8]:
    # kept here and not in an object, so that objects sent to worker processes hold no pixels
    array: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    if not array.size:
        raise ValueError("it is empty")
    return array


class CorruptedFiles(_Files):
    """ImageNet-C as files: what `nsbench make imagenet-c` wrote, or a set as it was released.

    Folders are `ROOT/[GROUP/]CORRUPTION/SEVERITY/CLASS/STEM.JPEG` (or jpeg, jpg, png), named by
    `file_names`; the group is `noise`, `blur`, `weather`, `digital`, `extra` or left out. Or, as in
    CIFAR-10-C, `ROOT/CORRUPTION.npy` is uint8 (5 N, S, S, 3), all N images in the order of the
    source for severity 1, then for 2, and so on; `labels.npy`, if there, must be the source's.
    """

    command = "imagenet-c"

    def __init__(self, root: Path, source: Source) -> None:
        super().__init__(root, source)
        self._endings = list(ENDINGS)

    def check(self, cells: list[tuple[str, int]]) -> None:
        """Raise NsbenchError if a corruption or severity is missing, or of another source."""
        for name, severity in cells:
            place = self._place(name)
            if place.is_dir():
                self._check_folder(place, severity)
            else:
                self._rows(place, severity)
                self._check_labels(len(SEVERITIES))

    def _check_folder(self, place: Path, severity: int) -> None:
        if not (place / str(severity)).is_dir():
            raise NsbenchError(
                f"{place} has no severity {severity}; it has "
                f"{', '.join(sorted(_folders(place))) or 'none'}: let nsbench make imagenet-c add "
                "it, or fetch it"
            )
        self._check_classes(place / str(severity))

    def identity(self, cells: list[tuple[str, int]]) -> str:
        """A hash that changes with the files: of the manifest, or of the first cell's sizes."""
        name, severity = cells[0]
        return self._identity(f"{name}/{severity}")

    def read(self, corruption: str, severity: int, index: int) -> NDArray[np.uint8]:
        """Image `index` of the source, corrupted: uint8 (3, S, S), as stored.

        Raises NsbenchError naming the file that is missing or cannot be read.
        """
        place = self._place(corruption)
        if place.is_dir():
            return self._decode(place / str(severity) / self._names[index])
        return np.ascontiguousarray(self._rows(place, severity)[index].transpose(2, 0, 1))

    def _rows(self, path: Path, severity: int) -> NDArray[np.uint8]:
        array, count = _mapped(path), len(self._source)
        self._check_array(array, path, (len(SEVERITIES) * count, "S", "S", 3))
        if severity not in SEVERITIES:
            raise NsbenchError(f"{path} has no severity {severity}; it has 1 to 5")
        return array[(severity - 1) * count : severity * count]

    def _decode(self, stem: Path) -> NDArray[np.uint8]:
        for ending in self._endings:
            path = stem.with_name(f"{stem.name}.{ending}")
            try:
                with Image.open(path) as image:
                    pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
            except FileNotFoundError:
                continue
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                raise self._unreadable(path, error) from error
            if ending != self._endings[0]:  # the other files are likely to end so too
                self._endings = sorted(self._endings, key=lambda other: other != ending)
            return np.ascontiguousarray(pixels.transpose(2, 0, 1))
        raise self._missing(stem.with_name(f"{stem.name}.{self._endings[0]}"))


class ClipFiles(_Files):
    """ImageNet-P as files: what `nsbench make imagenet-p` wrote, or a set as it was released.

    Folders are `ROOT/[GROUP/]PERTURBATION/CLASS/STEM.mp4`, named by `file_names`; or, as in
    CIFAR-10-P, `ROOT/PERTURBATION.npy` is uint8 (N, F, S, S, 3) in the order of the source. The
    names of noises of difficulty 2 and 3 end in `_2` and `_3`.
    """

    command = "imagenet-p"

    def check(self, perturbations: list[str]) -> None:
        """Raise NsbenchError if a perturbation is missing, or of another source."""
        for name in perturbations:
            place = self._place(name)
            if place.is_dir():
                self._check_classes(place)
            else:
                self._rows(place)
                self._check_labels(1)

    def identity(self, perturbations: list[str]) -> str:
        """A hash that changes with the files: of the manifest, or of the first one's sizes."""
        return self._identity(perturbations[0])

    def read(self, perturbation: str, index: int) -> NDArray[np.uint8]:
        """The frames of image `index` of the source: uint8 (F, 3, S, S), as stored.

        Raises NsbenchError naming the file that is missing or cannot be read.
        """
        place = self._place(perturbation)
        if not place.is_dir():
            return np.ascontiguousarray(self._rows(place)[index].transpose(0, 3, 1, 2))
        path = place / f"{self._names[index]}.mp4"
        try:
            return decode_clip(path)
        except FileNotFoundError as error:
            raise self._missing(path) from error
        except ValueError as error:
            raise self._unreadable(path, error) from error

    def _rows(self, path: Path) -> NDArray[np.uint8]:
        array = _mapped(path)
        self._check_array(array, path, (len(self._source), "F", "S", "S", 3))
        return array
