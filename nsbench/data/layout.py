"""Which folders are the classes, of images that lie in folders within folders."""

from collections.abc import Sequence
from typing import NamedTuple

INNER = {"images", "image", "imgs", "img", "jpegimages", "jpegs", "jpeg", "jpgs", "jpg", "photos"}
"""Folders that are no classes, in small letters: Tiny ImageNet has `images` in each class folder,
and in `val`."""

SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
"""What parts of a data set are called: where all names are among these, they are no classes."""

Parts = tuple[str, ...]


class Layout(NamedTuple):
    """How images in folders are read.

    base: the folders above that tell nothing. classes: of each image, None without labels. why:
    what is said where labels are asked for, and there are none.
    """

    base: Parts
    classes: list[str] | None
    why: str = ""


def layout(folders: Sequence[Parts]) -> Layout:
    """The layout of images by the folder of each: `[base/…]class`, or `[base/…]class/images`.

    Images in no folder, and in folders within folders that tell no class, are unlabeled. folders:
    all are empty, or none.
    """
    first, places = folders[0], list(dict.fromkeys(folders))
    if places == [()]:
        return Layout((), None)
    no_class = {place[-1] for place in places} == {first[-1]} and first[-1].lower() in INNER
    if len({place[:-1] for place in places}) == 1 and not no_class:
        return Layout(first[:-1], [place[-1] for place in folders])
    above = {place[-2:-1] for place in places}
    if no_class and len({place[:-2] for place in places}) == 1 and not _are_parts(above):
        return Layout(first[:-2], [place[-2] for place in folders])
    if len(places) == 1:
        return Layout((), None, f": a folder called {first[-1]} is no class")
    one, other = ("/".join(place) for place in (places[0], places[-1]))
    return Layout(
        (),
        None,
        f": its images lie in several places, such as {one} and {other}, of which none tells the "
        "class; name a folder that holds class folders, or set split to it",
    )


def _are_parts(names: set[Parts]) -> bool:
    """Whether folders are no classes: none, or those of a data set's splits."""
    return all(not name or name[0].lower() in SPLITS for name in names)
