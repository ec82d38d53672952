"""Images in folders."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nsbench.data.class_names import by_name, no_folders
from nsbench.data.content import Storage, StoredSource, read_whole
from nsbench.data.decode import is_hidden, is_image, utf8
from nsbench.data.found import entries, images_below, in_folders, is_folder, not_images, shown
from nsbench.data.layout import layout
from nsbench.data.tar_index import packed_inside
from nsbench.util.errors import NsbenchError
from nsbench.util.files import leads_nowhere
from nsbench.util.progress import counted

BESIDE = "in folders beside the images"
DEEPER = "deeper than class folders"


class FolderSource(StoredSource):
    """Images in one folder a class, named by the class; or unlabeled images in a flat folder.

    Class folders may have their images in a folder `images`, and may all lie in one folder further
    down; images in folders within folders that tell no class are unlabeled.
    Ids are the paths below the folder that holds the class folders, `class/file` or `file`. In the
    label space `indices` the folders' names are class indices, as in ImageNetV2. Hidden files and
    folders are passed over; and of a few images beside class folders, or folders beside many
    images, the fewer.
    """

    def __init__(self, path: Path, label_space: str = "names") -> None:
        if not path.is_dir():
            raise NsbenchError(f"there is no folder {path}")
        self.name, self._path = str(path), path
        top = _listed(path)
        folders = {name: _listed(path / name) for name in _inside(path, top)}
        if _is_flat(path, top, folders):
            names = top.images
            self.passed_over = _passed_over(top) | _below(path, top.folders, [], BESIDE)
        elif any(listed.images for listed in folders.values()):
            # Folder by folder, as by torchvision's ImageFolder.
            names = [f"{name}/{file}" for name, held in folders.items() for file in held.images]
            self.passed_over = _beside_classes(path, top, folders)
        else:
            everything = _everything(path)
            names, self.passed_over = everything.images, _passed_over(everything)
        if not names:
            instead = packed_inside(everything.others, path, folder=True)
            usual = ": expected one folder a class with images"
            raise NsbenchError(f"{path} holds no images{instead or usual}")
        found = layout([tuple(name.split("/")[:-1]) for name in names])
        self._path = path.joinpath(*found.base)
        self.ids = [utf8("/".join(name.split("/")[len(found.base) :]), str(path)) for name in names]
        self.no_labels = found.why
        self.classes, self.labels = None, None
        if found.classes is not None:
            _refuse_empty(self._path, {name.partition("/")[0] for name in self.ids})
            self.classes, self.labels = by_name(found.classes, label_space, self.name)
        elif label_space == "indices":
            raise no_folders(self.name)

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


@dataclass(frozen=True)
class _Listed:
    """The names in a folder, sorted: a file system's order is chance.

    broken: links that lead nowhere, and are not named as files.
    """

    images: list[str]
    folders: list[str]
    others: list[str]
    broken: list[str]


def _listed(path: Path) -> _Listed:
    listed = _Listed([], [], [], [])
    for entry in entries(str(path)):
        if is_folder(entry):
            (listed.others if is_hidden(entry.name) else listed.folders).append(entry.name)
        elif is_image(entry.name) and (entry.is_symlink() or entry.is_file()):
            # Links that lead nowhere too: an image that is missing must not go unnoticed.
            listed.images.append(entry.name)
        elif not Path(entry.name).suffix and leads_nowhere(path / entry.name):
            listed.broken.append(entry.name)
        else:
            listed.others.append(entry.name)
    return listed


def _inside(path: Path, listed: _Listed) -> list[str]:
    """The folders in a folder, but for links to itself or to one above it, which are no classes."""
    above = {path.resolve(), *path.resolve().parents}
    return [name for name in listed.folders if (path / name).resolve() not in above]


def _everything(path: Path) -> _Listed:
    """The images below a folder at any depth, by their paths from it; each folder is read once."""
    found, visited = _Listed([], [], [], []), set()

    def enter(folder: str) -> None:
        stat = (path / folder).stat()
        if (stat.st_dev, stat.st_ino) in visited:  # links may lead up again
            return
        visited.add((stat.st_dev, stat.st_ino))
        listed = _listed(path / folder)
        for into, names in (
            (found.images, listed.images), (found.others, listed.others),
            (found.broken, listed.broken),
        ):  # fmt: skip
            into += [f"{folder}/{name}".lstrip("/") for name in names]
        for name in listed.folders:
            enter(f"{folder}/{name}".lstrip("/"))

    enter("")
    return found


def _passed_over(listed: _Listed) -> dict[str, int]:
    broken = {f"links that lead nowhere ({shown(listed.broken)})": len(listed.broken)}
    return not_images(PurePosixPath(name).name for name in listed.others) | (
        broken if listed.broken else {}
    )


def _is_flat(path: Path, top: _Listed, folders: dict[str, _Listed]) -> bool:
    """Whether the images at the top are the data, and not those of class folders."""
    inside = sum(len(listed.images) for listed in folders.values())
    filled = sum(bool(listed.images) for listed in folders.values())
    if not top.images or not inside:
        return bool(top.images)
    # One folder is rather a stray than a class, and a few images are strays beside many.
    if 2 * inside <= len(top.images) or (filled == 1 and inside <= len(top.images)):
        return True
    if 2 * len(top.images) <= inside:
        return False
    raise NsbenchError(
        f"{path} holds {counted(len(top.images), 'image')} at the top and {inside:,} in "
        f"{counted(filled, 'folder')}, and either may be the data: move the others elsewhere"
    )


def _beside_classes(path: Path, top: _Listed, folders: dict[str, _Listed]) -> dict[str, int]:
    others = top.others + [
        name for listed in folders.values() for name in (*listed.others, *listed.broken)
    ]
    deeper = [f"{name}/{more}" for name, listed in folders.items() for more in listed.folders]
    at_top = {"at the top (beside class folders)": len(top.images)} if top.images else {}
    return at_top | not_images(others) | _below(path, deeper, list(folders), DEEPER)


def _below(path: Path, folders: list[str], read: list[str], why: str) -> dict[str, int]:
    """The images in folders; what is read, and the folder itself, may be linked to from there."""
    stats = [folder.stat() for folder in (path, *(path / name for name in read))]
    visited = {(stat.st_dev, stat.st_ino) for stat in stats}
    return in_folders({name: images_below(str(path / name), visited) for name in folders}, why)


def _refuse_empty(path: Path, filled: set[str]) -> None:
    """Raise NsbenchError for a class folder without images, or a link to one that is gone.

    Its class would be missing, and shift the numbers of those after it.
    """
    top = _listed(path)
    if top.broken:
        gone = path / top.broken[0]
        raise NsbenchError(
            f"{gone}, beside the class folders, is {leads_nowhere(gone)}: restore it or remove it"
        )
    for name in _inside(path, top):
        if name not in filled:
            deeper = images_below(str(path / name))
            reason = "holds no images" if _listed(path / name).others else "is empty"
            if deeper:
                reason = f"holds images only in folders below it ({deeper:,})"
            raise NsbenchError(f"the class folder {path / name} {reason}: fill or remove it")


def class_folders(path: Path) -> list[Path]:
    """The folders in a folder that are not hidden, sorted."""
    return [path / name for name in _listed(path).folders]
