"""Write made images as files: one an image, or one NumPy array a corruption, each written whole."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nsbench.corruptions import MIN_SIZE
from nsbench.data.content import Digests
from nsbench.data.open import Source
from nsbench.released.content import (
    check_record,
    files_digests,
    record_path,
    rows_digests,
    write_record_of,
)
from nsbench.released.manifest import check, other_images, write_or_extend
from nsbench.released.reader import MANIFEST, file_names
from nsbench.util.errors import NsbenchError
from nsbench.util.files import is_temporary, write_bytes, written_whole
from nsbench.util.locks import only_writer
from nsbench.util.parallel import run_tasks
from nsbench.util.progress import say, stage

# Images of a task: few, since each is made at all levels of all corruptions, so that processes end
# together and a killed run loses little. Files do not depend on it.
BATCH = 8


Pixels = NDArray[np.uint8]
Rows = NDArray[np.int64]


class Cell(NamedTuple):
    """One corruption at one severity, or one perturbation at one difficulty.

    folder: below the target. array: name of the .npy file. copy: which of the file's copies of the
    source this cell is.
    """

    name: str
    level: int
    folder: str
    array: str
    copy: int = 0


@dataclass(frozen=True)
class Product:
    """The files to make of a source, and how.

    clean: RGB image to uint8 (3, H, W). change: uint8 (B, 3, H, W), the cell and B ids to uint8
    (B, S, S, 3), or (B, F, S, S, 3) for clips. encode: one of these as the content of a file.
    copies: how often a .npy file holds the source.
    """

    source: Source
    target: Path
    cells: Sequence[Cell]
    clean: Callable[[Image.Image], Pixels]
    change: Callable[[torch.Tensor, Cell, list[str]], Pixels]
    encode: Callable[[Pixels, Cell], bytes]
    ending: str
    copies: int = 1

    @cached_property
    def names(self) -> list[str]:
        """Paths of the images' files below a cell's folder."""
        names = file_names(self.source, range(len(self.source)))
        return [f"{name}.{self.ending}" for name in names]

    def made(self, rows: Rows) -> Iterator[tuple[Rows, torch.Tensor]]:
        """The clean images of some rows, decoded, in batches of one shape."""
        # Crops are all alike; whole photographs, which the sequences move, are not.
        shapes: dict[tuple[int, ...], list[tuple[int, Pixels]]] = {}
        for row in rows.tolist():
            image = self._clean(row)
            shapes.setdefault(image.shape, []).append((row, image))
        for group in shapes.values():
            numbers, images = zip(*group, strict=True)
            yield np.array(numbers), torch.from_numpy(np.stack(images))

    def _clean(self, row: int) -> Pixels:
        image = self.source.image(row)
        if min(image.size) < MIN_SIZE:
            raise NsbenchError(
                f"the image {self.source.ids[row]} of {self.source.name} is {image.width} x "
                f"{image.height} px, but must be {MIN_SIZE} px or more: replace or remove it"
            )
        return self.clean(image)

    def changed(self, images: torch.Tensor, cell: Cell, rows: Rows) -> Pixels:
        """A batch in a cell."""
        return self.change(images, cell, [self.source.ids[row] for row in rows])


class _Work(NamedTuple):
    """What is missing: tasks, the function that does one, units and files in all of them."""

    tasks: list[Any]
    do: Callable[[Any], Iterator[int]]
    unit: str
    units: int
    written: int
    kept: int


def make(product: Product, settings: dict[str, Any], workers: int | None) -> dict[str, Any]:
    """Write what is missing of a product, and its manifest.

    Args:
        product: what to make.
        settings: for the manifest; `layout` says whether to write files or arrays.
        workers: processes, by default one a core; 0 or 1 is this process.

    Returns:
        A summary: `target`, `images`, `cells`, files `written` and `kept`, `seconds`.

    Raises:
        NsbenchError: see `nsbench.released.make`.

    """
    start = time.monotonic()
    product.names  # noqa: B018 - refuses images that have no name, before anything is written
    with only_writer(product.target, tidy=True):
        work = _settled(product, settings)
        _do(work, product, settings["kind"], os.cpu_count() or 1 if workers is None else workers)
        _keep(product, settings["layout"])
    return {
        "target": str(product.target),
        "images": len(product.source),
        "cells": len(product.cells),
        "written": work.written,
        "kept": work.kept,
        "seconds": time.monotonic() - start,
    }


def _check_kept(product: Product, layout: str) -> None:
    """Raise NsbenchError if what is there was made of other images, or is not as it was written."""
    for cell in product.cells:
        if record_path(product.target, cell.folder).exists():
            ids, images = product.source.ids, product.source.digests
            check_record(product.target, cell.folder, ids, images, _made(product, cell, layout))


def _keep(product: Product, layout: str) -> None:
    """Keep the digests of all that is made, once it is whole."""
    for cell in product.cells:
        ids, images = product.source.ids, product.source.digests
        files = _made(product, cell, layout)
        assert files is not None
        write_record_of(product.target, cell.folder, ids, images, files)


def _made(product: Product, cell: Cell, layout: str) -> Digests | None:
    """Digests of what was made of each image in a cell; None for an array that is not there."""
    if layout != "npy":
        folder = product.target / cell.folder
        return files_digests(folder, [folder / name for name in product.names])
    array, count = product.target / cell.array, len(product.source)
    return rows_digests(array, cell.copy * count + np.arange(count)) if array.exists() else None


def _settled(product: Product, settings: dict[str, Any]) -> _Work:
    """What is missing, once it is certain that the target is this product's."""
    cells = [cell.folder for cell in product.cells]
    if settings["layout"] == "npy":  # an array needs all images, so these must be the same ones
        check(product.target, settings)
        _check_kept(product, "npy")
        write_or_extend(product.target, settings, cells)
        _remove_temporaries(product.target)
        return _array_work(product)
    # Files of a folder stand for themselves: images may be added to the source, but none left out.
    check(product.target, settings, same_images=False)
    work = _file_work(product)  # refuses files of other images
    _check_kept(product, settings["layout"])
    write_or_extend(product.target, settings, cells, same_images=False)
    return work


def _do(work: _Work, product: Product, kind: str, workers: int) -> None:
    if not work.tasks:
        say(f"{product.target} is complete: nothing left to do")
        return
    counts = run_tasks(work.tasks, work.do, workers)
    # `closing` stops the processes also where the loop is left by an error or Ctrl-C.
    with closing(counts), stage(kind, work.units, work.unit) as advance:
        for count in counts:
            advance(count)


def _file_work(product: Product) -> _Work:
    missing = _missing_files(product)
    # A task for each batch that lacks a file in any cell: it decodes an image once for all cells.
    absent = np.stack(list(missing.values()))
    tasks = [rows for rows in _batches(len(product.source)) if absent[:, rows].any()]
    count = int(absent.sum())
    unit = "clips" if product.ending == "mp4" else "files"
    do = partial(_write_files, product, missing)
    return _Work(tasks, do, unit, count, count, absent.size - count)


def _array_work(product: Product) -> _Work:
    _write_labels(product)
    arrays = list(dict.fromkeys(cell.array for cell in product.cells))
    tasks = [array for array in arrays if not (product.target / array).is_file()]
    unit = "clips" if product.ending == "mp4" else "images"
    units = len(tasks) * product.copies * len(product.source)
    kept = len(arrays) - len(tasks)
    return _Work(tasks, partial(_write_array, product), unit, units, len(tasks), kept)


def _batches(count: int) -> list[Rows]:
    """The rows of a source in batches."""
    return [np.arange(first, min(first + BATCH, count)) for first in range(0, count, BATCH)]


def _missing_files(product: Product) -> dict[Cell, NDArray[np.bool_]]:
    """Whether each image's file is missing, for each cell; what a killed run left is removed."""
    missing, own = {}, set(product.names)
    for cell in product.cells:
        # One listing of each folder: 50,000 questions for single files take far longer.
        present = _files_below(product.target / cell.folder)
        if not present <= own and (product.target / MANIFEST).is_file():
            example = f"such as {min(present - own)}"
            raise other_images(product.target, example, product.source.name)
        missing[cell] = np.array([name not in present for name in product.names])
    return missing


def _files_below(folder: Path) -> set[str]:
    classes = [entry for entry in folder.iterdir() if entry.is_dir()] if folder.is_dir() else []
    return {f"{folder.name}/{name}" for folder in classes for name in _remove_temporaries(folder)}


def _remove_temporaries(folder: Path) -> list[str]:
    """Remove what a killed run left half-written in a folder; returns the other files in it.

    Empty files, which a crash of the machine may leave, count as missing.
    """
    names = []
    # scandir knows names and kinds without a question for each file.
    for entry in os.scandir(folder) if folder.is_dir() else []:
        if is_temporary(entry.name):
            Path(entry.path).unlink(missing_ok=True)
        elif entry.stat().st_size:
            names.append(entry.name)
    return names


def _write_files(
    product: Product, missing: dict[Cell, NDArray[np.bool_]], rows: Rows
) -> Iterator[int]:
    """Write the missing files of a batch of images; yields 1 for each."""
    wanted = np.stack([absent[rows] for absent in missing.values()]).any(0)
    for group, images in product.made(rows[wanted]):
        for cell, absent in missing.items():
            lacking = absent[group]
            chosen = group[lacking]
            if not len(chosen):
                continue
            changed = product.changed(images[torch.from_numpy(lacking)], cell, chosen)
            for row, pixels in zip(chosen.tolist(), changed, strict=True):
                path = product.target / cell.folder / product.names[row]
                # No fsync for millions of files: those that a crash leaves empty are made again.
                write_bytes(path, product.encode(pixels, cell), sync=False)
                yield 1


def _write_array(product: Product, array: str) -> Iterator[int]:
    """Write one .npy file whole, never holding more than a batch; yields 1 for each image."""
    chunks = _chunks(product, [cell for cell in product.cells if cell.array == array])
    # The first chunk tells the shape of the array, which its header needs.
    first = next(chunks)
    shape = (product.copies * len(product.source), *first[1].shape[1:])
    with written_whole(product.target / array) as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        start, size = file.tell(), int(np.prod(shape[1:]))
        for rows, changed in chain([first], chunks):
            for row, pixels in zip(rows.tolist(), changed, strict=True):
                file.seek(start + row * size)  # writing, unlike a map, reports a full disk
                file.write(np.ascontiguousarray(pixels).data)
                yield 1


def _chunks(product: Product, cells: Iterable[Cell]) -> Iterator[tuple[Rows, Pixels]]:
    count = len(product.source)
    for batch in _batches(count):
        for rows, images in product.made(batch):
            for cell in cells:
                yield cell.copy * count + rows, product.changed(images, cell, rows)


def _write_labels(product: Product) -> None:
    """Write `labels.npy`, uint8 or int64 (copies N,), unless it is there."""
    path, labels = product.target / "labels.npy", product.source.labels
    if labels is None or path.is_file():
        return
    kind = np.uint8 if labels.max() < 256 else np.int64  # uint8 as in CIFAR-10-C
    with written_whole(path) as file:
        np.save(file, np.tile(labels.astype(kind), product.copies))
