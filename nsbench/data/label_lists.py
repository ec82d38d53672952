"""Lists of files and their classes, as text or CSV, matched with images by path."""

import csv
import io
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nsbench.data.class_names import same_text
from nsbench.data.decode import EXTENSIONS
from nsbench.util.errors import NsbenchError
from nsbench.util.files import read_text
from nsbench.util.progress import counted, say

FILE_COLUMNS = {"file", "filename", "image", "imageid", "imagename", "imagepath", "path", "name"}
"""What headers call the column of files, in small letters without anything between words."""

CLASS_COLUMNS = {
    "class", "classname", "classid", "label", "labels", "category", "target", "wnid", "synset",
    "predictionstring",
}  # fmt: skip
"""What headers call the column of classes; the last one is Kaggle's, of ImageNet."""

# A class and the corners of a box, once or more: a cell of LOC_val_solution.csv.
_BOXES = re.compile(r"\S+(?: -?\d+){4}(?: \S+(?: -?\d+){4})*")


WIDE = 8
"""Columns that are searched for the names of images, more than lists have in use."""


class Entry(NamedTuple):
    """A line of a list: its number from 1, the file as it is named there, and its class."""

    line: int
    file: str
    label: str


class _Row(NamedTuple):
    line: int
    cells: list[str]


def classes_in(path: Path, ids: Sequence[str], root: str) -> list[str]:
    """The class that a list of lines `FILE CLASS` or `CLASS FILE` gives each image, in order.

    Columns are split by tabs, commas or spaces, with or without a header and quotes; see
    `SourceSpec.labels`. A file matches an image as far as the shorter of the two paths goes, with
    or without its ending; of several lines that match, the one that matches furthest counts.
    root: the folder that ids count from, which paths of the list may go through.

    Raises NsbenchError if an image has no line or several classes, or a name is that of several
    images.
    """
    images = _Images(ids, root)
    entries = _entries(path, images)
    matches = images.matched(entries)
    labels, used = [], set()
    for image, found in enumerate(matches.of_image):
        if not found:
            raise NsbenchError(
                f"{path} has no line for the image {ids[image]} of {root}: add it, or take the "
                "image off the data"
            )
        label = _the_class(path, ids[image], [entries[number] for number in found])
        for number in found:
            _refuse_several(path, entries[number], [ids[i] for i in matches.of_entry[number]])
        labels.append(label)
        used.update(found)
    left = len(entries) - len(used)
    if left:
        say(f"{path}: {counted(left, 'line')} of {len(entries):,} for files that {root} lacks")
    return labels


def _the_class(path: Path, image: str, found: list[Entry]) -> str:
    first = found[0]
    other = next((entry for entry in found if entry.label != first.label), None)
    if other:
        raise NsbenchError(
            f"{path} gives the image {image} two classes, '{first.label}' in line {first.line} and "
            f"'{other.label}' in line {other.line}: keep one, or name files with their folders"
        )
    return first.label


def _refuse_several(path: Path, entry: Entry, images: list[str]) -> None:
    if len(images) > 1:
        raise NsbenchError(
            f"{path}, line {entry.line}: '{entry.file}' may be {images[0]} or {images[1]}: name "
            "files with their folders and endings"
        )


class _Matches(NamedTuple):
    """For each image the entries that name it, and for each entry the images that it names."""

    of_image: list[list[int]]
    of_entry: dict[int, list[int]]


class _Images:
    """The paths of images, to look lines of a list up in."""

    def __init__(self, ids: Sequence[str], root: str) -> None:
        ids = [same_text(name) for name in ids]
        self._ids = ids
        self._root = _parts(same_text(os.path.abspath(root)))
        self._paths = [_parts(_bare(name)) for name in ids]
        self.names = {name.rpartition("/")[2] for name in ids}
        self.stems = {_bare(name) for name in self.names}

    def matched(self, entries: Sequence[Entry]) -> _Matches:
        """The pairs of an image and an entry of which neither has a better match."""
        depths = set(map(len, self._paths))
        paths = [_parts(_bare(entry.file)) for entry in entries]
        # Entries by their last parts, as many as an id has, or all where they have fewer.
        tails: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for number, parts in enumerate(paths):
            for tail in {parts[-depth:] for depth in depths}:
                tails[tail].append(number)
        found = [
            {n: self._score(image, entries[n], paths[n]) for n in _candidates(parts, tails, paths)}
            for image, parts in enumerate(self._paths)
        ]
        best: dict[int, _Score] = {}  # how far an entry matches any image
        for scores in found:
            for number, score in scores.items():
                best[number] = max(score, best.get(number, score))
        matches = _Matches([], defaultdict(list))
        for image, scores in enumerate(found):
            # An entry that matches another image further is not for this one.
            scores = {number: score for number, score in scores.items() if score == best[number]}
            matches.of_image.append(_chosen(scores))
            for number in matches.of_image[-1]:
                matches.of_entry[number].append(image)
        return matches

    def _score(self, image: int, entry: Entry, theirs: tuple[str, ...]) -> "_Score":
        own, listed = (name.rpartition("/")[2] for name in (self._ids[image], entry.file))
        ending = 2 if own == listed else 0 if listed != theirs[-1] else 1
        mine, same = (*self._root, *self._paths[image]), 0
        while same < min(len(mine), len(theirs)) and mine[-1 - same] == theirs[-1 - same]:
            same += 1
        return _Score(same, ending, whole=same == len(theirs))


class _Score(NamedTuple):
    """How well an entry matches an image; more is better, from the left.

    parts: how many last parts of their paths are the same. ending: 2 for the same, 1 where the
    entry has none, 0 for another. whole: whether all parts of the entry are among them.
    """

    parts: int
    ending: int
    whole: bool


def _candidates(
    parts: tuple[str, ...],
    tails: dict[tuple[str, ...], list[int]],
    paths: list[tuple[str, ...]],
) -> list[int]:
    """The entries whose path, or its last parts, may be that of an image."""
    found = []
    for depth in range(1, len(parts) + 1):
        # Longer entries count only where they have all parts of the id.
        numbers = tails.get(parts[-depth:], [])
        found += [n for n in numbers if depth == len(parts) or len(paths[n]) == depth]
    return found


def _chosen(scores: dict[int, _Score]) -> list[int]:
    """The entries for an image: all that name it whole, or else those that match it furthest."""
    # All, so that two lines of one image are noticed, whichever of them says more.
    whole = {number: score for number, score in scores.items() if score.whole}
    furthest = max((score.parts for score in scores.values()), default=0)
    group = whole or {n: score for n, score in scores.items() if score.parts == furthest}
    fitting = [number for number, score in group.items() if score.ending]
    return fitting or list(group)


def _parts(path: str) -> tuple[str, ...]:
    return tuple(part for part in path.split("/") if part not in ("", "."))


def _bare(name: str) -> str:
    """A path without the ending of an image; other dots, as in v1.2, are part of a name."""
    stem, ending = os.path.splitext(name)
    return stem if ending.lower() in EXTENSIONS else name


def _entries(path: Path, images: _Images) -> list[Entry]:
    """The lines of a list, read the way in which the most of them name images."""
    text = read_text(path, "name a text file in UTF-8 of lines FILE CLASS", "the labels ")
    # In the form that names are compared in.
    rows, spaces = _best_rows(path, same_text(text), images)
    file, label = _columns(path, rows, images)
    entries = []
    for row in rows:
        if len(row.cells) <= max(file, label) or not row.cells[file] or not row.cells[label]:
            raise _unreadable(path, row)
        name = "/".join(_parts(row.cells[file].replace("\\", "/")))
        entries.append(Entry(row.line, name, _label(path, row, label, spaces=spaces)))
    return entries


def _best_rows(path: Path, text: str, images: _Images) -> tuple[list[_Row], bool]:
    """The rows as split in the way that finds most images, and whether spaces split them."""
    best: tuple[list[_Row], bool] = [], False
    most, failed = (0, 0), None
    for delimiter in ("\t", ",", " "):
        try:
            rows = _rows(path, text, delimiter)
        except NsbenchError as error:  # quotes between commas are none between spaces
            failed = error
            continue
        named = max(_named(rows, images))
        if named > most or not best[0]:
            best, most = (rows, delimiter == " "), max(named, most)
    if failed and not any(most):
        raise failed
    if not best[0]:
        raise NsbenchError(f"{path} is empty: write lines FILE CLASS")
    return best


def _rows(path: Path, text: str, delimiter: str) -> list[_Row]:
    """The rows that are not blank, and their lines."""
    text = text.replace("\t", " ") if delimiter == " " else text
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    rows, line = [], 1
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if delimiter == " ":  # several of them between two words, or at the end
                cells = list(filter(None, cells))
            if any(cells):
                rows.append(_Row(line, cells))
            line = reader.line_num + 1  # a quoted cell may go over several lines
    except csv.Error as error:
        raise NsbenchError(
            f"{path}, line {line}: its quotes cannot be read ({error}): close or remove them"
        ) from error
    return rows


def _named(rows: list[_Row], images: _Images) -> list[tuple[int, int]]:
    """How many cells of each of the first columns name images, exactly and at all."""
    exact, bare = [0] * WIDE, [0] * WIDE
    for row in rows:
        # With one cell alone there is no class, whatever it names.
        for column, cell in enumerate(row.cells[:WIDE] if len(row.cells) > 1 else []):
            name = cell.replace("\\", "/").rpartition("/")[2]
            exact[column] += name in images.names
            bare[column] += _bare(name) in images.stems
    return list(zip(exact, bare, strict=True))


def _columns(path: Path, rows: list[_Row], images: _Images) -> tuple[int, int]:
    """The columns of files and of classes; takes a header off the rows."""
    words = [re.sub(r"[^a-z]", "", cell.lower()) for cell in rows[0].cells]
    files = [column for column, word in enumerate(words) if word in FILE_COLUMNS]
    labels = [column for column, word in enumerate(words) if word in CLASS_COLUMNS]
    # Also without known words: a first line that names no image, before others, is a header.
    header = not any(map(any, _named(rows[:1], images))) and len(rows) > 1
    if header and (files or labels or not any(cell.isdecimal() for cell in rows[0].cells)):
        head = rows.pop(0)
        if files and labels:
            return files[0], labels[0]
        if len(head.cells) > 2:
            raise NsbenchError(
                f"{path}, line {head.line}: its columns are {', '.join(head.cells[:5])}: call that "
                "of the files 'file' and that of the classes 'class'"
            )
    first, second = _named(rows, images)[:2]
    if second <= first:
        return 0, 1
    wide = next((row for row in rows if len(row.cells) > 2), None)
    if wide:  # a number of the row, perhaps, before the file and its class
        raise NsbenchError(
            f"{path}, line {wide.line}: no header says which of {len(wide.cells)} columns is the "
            "class: begin the list with a line such as class,file"
        )
    return 1, 0


def _label(path: Path, row: _Row, column: int, *, spaces: bool) -> str:
    """The class of a row, which boxes may follow, each with its class before it."""
    text = row.cells[column]
    after = row.cells[column + 1 :]
    if spaces and after and column:  # and not before the file
        text = " ".join([text, *after])
        if not _BOXES.fullmatch(text):
            if any(re.search("[^0-9.+-]", word) for word in after):
                raise _unreadable(path, row)
            text = row.cells[column]  # numbers such as a score
    if not _BOXES.fullmatch(text):
        return text
    labels = text.split()[::5]
    if len(set(labels)) > 1:
        other = next(label for label in labels if label != labels[0])
        raise NsbenchError(
            f"{path}, line {row.line}: {row.cells[0]} has boxes of two classes, '{labels[0]}' and "
            f"'{other}': keep one"
        )
    return labels[0]


def _unreadable(path: Path, row: _Row) -> NsbenchError:
    shown = " ".join(row.cells)[:60]
    if len(row.cells) == 1 and row.cells[0].isdecimal():
        return NsbenchError(
            f"{path}, line {row.line}: '{shown}' is a number without a file, as in ILSVRC's ground "
            "truth, whose numbers are those of its development kit: write lines FILE CLASS"
        )
    return NsbenchError(
        f"{path}, line {row.line}: write a file and its class, not '{shown}'; with spaces in one "
        "of them, put a tab between the two"
    )
