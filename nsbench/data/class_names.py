"""Class names: from folders' names and lists, those of ImageNet, and the same class elsewhere."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_text
from nsbench.util.progress import counted

Labels = tuple[tuple[str, ...] | None, NDArray[np.int64]]


def by_name(names: Sequence[str], label_space: str, where: str) -> Labels:
    """Classes and int64 labels (N,) of images from the name of each one's class.

    Classes are sorted by name. In the label space `indices` the names are the labels, and there are
    no classes; raises NsbenchError naming `where` if one is not a whole number.
    """
    # Sorted, as torchvision's ImageFolder numbers folders, which released code counts on.
    refuse_alike(sorted(set(names)), where)
    names = [same_text(name) for name in names]
    classes = tuple(sorted(set(names)))
    if label_space == "indices":
        wrong = [name for name in classes if not is_class_number(name)]
        if wrong:
            raise NsbenchError(
                f'label_space is "indices", but the classes of {where} are not named by class '
                f"index: '{wrong[0]}'"
            )
        return None, np.array([int(name) for name in names], dtype=np.int64)
    position = {name: index for index, name in enumerate(classes)}
    return classes, np.array([position[name] for name in names], dtype=np.int64)


def is_class_number(text: str) -> bool:
    """Whether a text is the number of a class: whole, from 0, and of no more than 18 digits."""
    # isascii, because int() would read the digits of other scripts too; 19 may not fit into int64.
    return text.isascii() and text.isdecimal() and len(text) <= 18


def same_text(name: str) -> str:
    """A name in the one of Unicode's forms that class names are kept and compared in.

    macOS stores the names of folders in another one than keyboards write: é as e and an accent.
    """
    return unicodedata.normalize("NFC", name)


def refuse_alike(classes: Sequence[str], where: str) -> None:
    """Raise NsbenchError if two class names differ only as they are written.

    Those are one class in two spellings: of an accent in Unicode, of case, or of spaces around it.
    """
    seen: dict[str, str] = {}
    for name in classes:
        # Letters of alphabets, as of EMNIST, may be classes of both cases.
        plain = name.strip().casefold() if len(name) > 1 else name
        first = seen.setdefault(same_text(plain), name)
        if first != name:
            raise NsbenchError(
                f"{where} has classes that differ only in case, spaces or Unicode's form, "
                f"{first!a} and {name!a}: make them one, or rename one"
            )


def no_folders(where: str) -> NsbenchError:
    """The error for a source without class folders whose folders' names should be the labels."""
    return NsbenchError(
        f'label_space is "indices", but {where} has no folders named by class index'
    )


def listed_classes(
    folder: Path, labels: NDArray[np.int64] | None, label_space: str
) -> tuple[str, ...] | None:
    """Class names from the lines of a `classnames.txt` in a folder or above it, if there is one.

    None in the label space `indices`. Raises NsbenchError if a label has no line.
    """
    files = [above / "classnames.txt" for above in (folder, folder.parent)]
    present = [file for file in files if file.is_file() or file.is_symlink()]
    if not present or label_space == "indices" or labels is None:
        return None
    classes = read_class_names(present[0])
    if labels.max() >= len(classes):
        raise NsbenchError(
            f"{present[0]} lists {counted(len(classes), 'name')}, but the labels beside it go up "
            f"to {labels.max()}: correct it, or remove it"
        )
    refuse_twice(classes, str(present[0]), 'set label_space = "indices" to go by numbers alone')
    return classes


def refuse_twice(classes: Sequence[str], where: str | Path, way_out: str) -> None:
    """Raise NsbenchError for a name that stands for two classes, of which one would not be found.

    way_out: what else can be done than to rename one, as a clause.
    """
    numbers: dict[str, int] = {}
    for number, name in enumerate(classes):
        if (first := numbers.setdefault(same_text(name), number)) != number:
            raise NsbenchError(
                f"{where} names the class '{name}' twice, as numbers {first} and {number}: rename "
                f"one, as '{name} 2' does, or {way_out}"
            )


def read_class_names(path: Path, *, skip_blank: bool = False) -> tuple[str, ...]:
    """The lines of a list of class names, without the spaces around them or a byte order mark.

    Blank lines at the end are no classes. Raises NsbenchError for one in between, unless they are
    skipped, and for a file that cannot be read or is not UTF-8.
    """
    text = read_text(path, "save them as UTF-8, one a line", "the class names ")
    # Not splitlines, to which some letters of names would end a line.
    lines = text.replace("\r\n", "\n").rstrip().split("\n")
    names = [same_text(line.strip()) for line in lines]
    if skip_blank:
        names = list(filter(None, names))
    if "" in names:
        raise NsbenchError(
            f"{path}, line {names.index('') + 1} is blank, but each line is the class of its "
            "number: fill or remove it"
        )
    return tuple(names)


def imagenet_classes() -> tuple[str, ...]:
    """The WordNet ids of the 1,000 classes of ImageNet-1k in the usual order."""
    from timm.data import ImageNetInfo  # with torch, which those who only name sources do without

    return tuple(ImageNetInfo().label_names())


def match_classes(wanted: Sequence[str], known: Sequence[str]) -> NDArray[np.int64]:
    """Where each wanted class stands in `known` by name, int64 (N,); -1 for one that does not."""
    position = {same_text(name): index for index, name in enumerate(known)}
    return np.array([position.get(same_text(name), -1) for name in wanted], dtype=np.int64)
