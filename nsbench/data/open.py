"""Where images come from; `open_source` finds the kind of a source.

Every source gives the same things: the number of images, their ids, their labels (or none), the
class names, and one RGB image at a time. Nothing is decoded before it is asked for.
"""

from pathlib import Path

from nsbench.data import catalog
from nsbench.data.content import StoredSource
from nsbench.data.decode import EXTENSIONS, decode
from nsbench.data.found import found, images_below
from nsbench.data.label_files import labels_of, of_classes, origin, relabeled
from nsbench.data.readers.class_tars import ClassTarsSource, are_classes
from nsbench.data.readers.digits import DIGITS_SPLITS, DigitsSource
from nsbench.data.readers.folder import FolderSource, class_folders
from nsbench.data.readers.hub_stream import streamed
from nsbench.data.readers.npy import ArraySource
from nsbench.data.readers.parquet import TableSource, has_tables
from nsbench.data.readers.saved import SavedSource, is_saved
from nsbench.data.readers.split_files import file_of_split
from nsbench.data.readers.stl10 import STL10, Stl10Source
from nsbench.data.readers.svhn import SVHN, SvhnSource
from nsbench.data.readers.tar import TarSource
from nsbench.data.readers.webdataset import ShardSource, is_pattern, shard_files
from nsbench.data.spec import HUB, Source, SourceSpec, label_sets
from nsbench.data.subset import sample, select_per_class
from nsbench.data.tar_index import is_archive
from nsbench.util.errors import NsbenchError
from nsbench.util.files import refuse_unreadable
from nsbench.util.progress import say

__all__ = [
    "DIGITS_SPLITS",
    "EXTENSIONS",
    "DigitsSource",
    "FolderSource",
    "Source",
    "SourceSpec",
    "TableSource",
    "decode",
    "label_sets",
    "labels_of",
    "of_classes",
    "open_source",
    "origin",
    "sample",
    "select_per_class",
]


def open_source(spec: SourceSpec, opened: dict[SourceSpec, Source] | None = None) -> Source:
    """Open what `spec` names, and say so if it passes over files.

    Raises NsbenchError if it is missing, empty or of no known kind.

    opened: what was opened before, to take from and add to. A source of other labels shares its
    images with the source of its own ones, so that they are read once; see `origin`.
    """
    if spec.given:
        return spec.given
    spec, opened = _annotated(catalog.resolve(spec)), {} if opened is None else opened
    # The same images with their own labels, as the key under which they are opened once.
    bare = SourceSpec.model_validate(
        spec.model_dump() | {"labels": None, "label_space": _own_space(spec)}
    )
    if bare not in opened:
        opened[bare] = _open(spec)
        if spec.subset and not isinstance(opened[bare], TableSource):
            raise NsbenchError(
                f"{spec.source} has no subsets, which data sets of the Hugging Face hub have: "
                f"leave out subset = {spec.subset!r}"
            )
        if opened[bare].passed_over:
            say(found(opened[bare]))
    if not spec.labels:
        return opened[bare]
    if spec not in opened:
        opened[spec] = relabeled(opened[bare], spec.labels, spec.label_space)
        if opened[spec].passed_over != opened[bare].passed_over:
            say(found(opened[spec]))
    return opened[spec]


def _annotated(spec: SourceSpec) -> SourceSpec:
    """A source as Tiny ImageNet's `val`, whose classes stand in a list beside its images."""
    if spec.labels:
        return spec
    path = Path(spec.source).expanduser() / (spec.split or "")
    labels = path / "val_annotations.txt"
    if not labels.is_file() or not (path / "images").is_dir():
        return spec
    found = {"source": str(path / "images"), "split": None, "labels": str(labels)}
    return spec.model_copy(update=found)


def check_there(spec: SourceSpec) -> None:
    """Raise NsbenchError if a source is not there, as far as that shows without opening it."""
    if spec.given:
        return
    spec = catalog.resolve(spec)
    path = Path(spec.source).expanduser()
    refuse_unreadable(path)
    named = spec.source == "digits" or spec.source.startswith(HUB) or is_pattern(spec.source)
    if not named and not path.exists():
        raise NsbenchError(
            f"there is no {path}: a source is a folder of class folders, a .tar of one, Parquet "
            "files, WebDataset shards, a .npy file, hf:OWNER/NAME, data:NAME, or digits"
        )


def _open(spec: SourceSpec) -> Source:
    check_there(spec)
    # Names that are not paths come first.
    if spec.source == "digits":
        return DigitsSource(spec.split or "test")
    if spec.streaming:
        return TableSource(spec, str(streamed(spec)))
    if spec.source.startswith(HUB):
        return TableSource(spec, spec.source.removeprefix(HUB))
    if is_pattern(spec.source):
        return ShardSource(spec.source, shard_files(spec.source), _own_space(spec))
    path = Path(spec.source).expanduser()
    return _open_file(path, spec) if path.is_file() else _open_folder(path, spec)


def _own_space(spec: SourceSpec) -> str:
    """The label space of the source's own labels; with others they do not matter."""
    return "names" if spec.labels else spec.label_space


def _open_file(path: Path, spec: SourceSpec) -> Source:
    if path.suffix == ".parquet":
        return TableSource(spec, str(path))
    if path.suffix == ".mat":
        return SvhnSource(path, _own_space(spec))
    if path.suffix == ".npy":
        return ArraySource(path, _own_space(spec))
    # All suffixes, so that a .tar.gz gets the error that says what to do about it.
    if {".tar", ".tgz"} & set(path.suffixes):
        return TarSource(path, _own_space(spec), spec.split)
    if is_archive(path.name):
        raise NsbenchError(f"{path} is an archive: unpack it, and name the folder")
    raise NsbenchError(
        f"{path} is not a source: name a folder, a .parquet, .tar, .npy or .mat file, or "
        "hf:OWNER/NAME"
    )


def _open_folder(path: Path, spec: SourceSpec) -> Source:
    # By the files in it, the special kinds first. Of those a split is a file or a part of a table,
    # of the others a folder below.
    if is_saved(path):
        return SavedSource(path, spec)
    source = _open_table(path, spec)
    if source is None:
        path = path / spec.split if spec.split else path
        source = _open_special(path, _own_space(spec))
    if source is None:
        return FolderSource(path, _own_space(spec))
    # The rows of a table may name the image files.
    named = len(source.named_files) if isinstance(source, TableSource) else 0
    beside = images_below(str(path)) - named
    if beside > 0:
        reason = "in image files beside what is read"
        source.passed_over = {**source.passed_over, reason: beside}
    return source


def _open_table(path: Path, spec: SourceSpec) -> StoredSource | None:
    if has_tables(path):
        return TableSource(spec, str(path))
    if any(path.glob(f"*{SVHN}")):
        return SvhnSource(file_of_split(path, spec.split, SVHN), _own_space(spec))
    if any(path.glob(f"*{STL10}")):
        return Stl10Source(file_of_split(path, spec.split, STL10), _own_space(spec))
    return None


def _open_special(path: Path, label_space: str) -> StoredSource | None:
    if (path / "images.npy").is_file() or (path / "images.npy").is_symlink():
        return ArraySource(path / "images.npy", label_space)
    tars = shard_files(str(path)) if path.is_dir() else []
    # Tars beside as many folders or more, as left by unpacking, are not the data; beside fewer the
    # folders are strays.
    if len(tars) <= len(class_folders(path) if tars else []):
        return None
    for tar in tars:
        refuse_unreadable(tar)
    if are_classes(tars):
        return ClassTarsSource(path, tars, label_space)
    return ShardSource(str(path), tars, label_space)
