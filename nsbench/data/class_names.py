"""Class names: from folders' names and lists, those of ImageNet, and the same class elsewhere."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsbench.util.errors import NsbenchError

Labels = tuple[tuple[str, ...] | None, NDArray[np.int64]]


def by_name(names: Sequence[str], label_space: str, where: str) -> Labels:
    """Classes and int64 labels (N,) of images from the name of each one's class.

    Classes are sorted by name. In the label space `indices` the names are the labels, and there are
    no classes; raises NsbenchError naming `where` if one is not a whole number.
    """
    # Sorted, as torchvision's ImageFolder numbers folders, which released code counts on.
    classes = tuple(sorted(set(names)))
    if label_space == "indices":
        # isascii, because int() would read the digits of other scripts too.
        wrong = [name for name in classes if not (name.isascii() and name.isdecimal())]
        if wrong:
            raise NsbenchError(
                f'label_space is "indices", but the folders of {where} are not named by class '
                f"index: '{wrong[0]}'"
            )
        return None, np.array([int(name) for name in names], dtype=np.int64)
    position = {name: index for index, name in enumerate(classes)}
    return classes, np.array([position[name] for name in names], dtype=np.int64)


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
    present = [file for file in files if file.is_file()]
    if not present or label_space == "indices" or labels is None:
        return None
    classes = tuple(present[0].read_text(encoding="utf-8").splitlines())
    # A name that is listed twice could not be matched with a model's class.
    if labels.max() >= len(classes) or len(set(classes)) < len(classes):
        raise NsbenchError(
            f"{present[0]} lists {len(set(classes))} different classes, but the labels beside it "
            f"go up to {labels.max()}: correct it, or remove it"
        )
    return classes


def imagenet_classes() -> tuple[str, ...]:
    """The WordNet ids of the 1,000 classes of ImageNet-1k in the usual order."""
    from timm.data import ImageNetInfo  # with torch, which those who only name sources do without

    return tuple(ImageNetInfo().label_names())


def match_classes(wanted: Sequence[str], known: Sequence[str]) -> NDArray[np.int64]:
    """Where each wanted class stands in `known` by name, int64 (N,); -1 for one that does not."""
    position = {name: index for index, name in enumerate(known)}
    return np.array([position.get(name, -1) for name in wanted], dtype=np.int64)
