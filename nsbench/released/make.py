"""ImageNet-C and ImageNet-P of any labeled images as files, in the layouts they were released in.

A repeated command makes exactly what is missing.
"""

import io
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from nsbench import corruptions as corruptions_module
from nsbench import perturbations as perturbations_module
from nsbench.corruptions import MIN_SIZE, SIZES, corrupt
from nsbench.data.open import Source, SourceSpec, labels_of, open_source
from nsbench.data.preprocessing import fixed_crop
from nsbench.data.transforms import center_crop, resized
from nsbench.names import (
    CORRUPTIONS,
    DIFFICULTIES,
    EXTRA_CORRUPTIONS,
    EXTRA_PERTURBATIONS,
    LAYOUTS,
    PERTURBATION_SIZES,
    PERTURBATIONS,
    SEVERITIES,
    clip_folder,
    is_noise,
)
from nsbench.perturbations import frames
from nsbench.released.mp4 import encode_clip
from nsbench.released.writer import Cell, Pixels, Product, make
from nsbench.util.config import refuse_unknown
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint
from nsbench.util.progress import say

JPEG_QUALITY = 85
"""Of the released ImageNet-C (make_imagenet_c.py). Compression changes accuracy, above all under
noise (hendrycks/robustness#14)."""


def make_imagenet_c(
    source: SourceSpec | str,
    target: Path | str,
    *,
    corruptions: Sequence[str] = CORRUPTIONS,
    severities: Sequence[int] = SEVERITIES,
    image_size: int | None = None,
    resize_size: int | None = None,
    seed: int = 0,
    lossless: bool = False,
    layout: str | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Write a source's images under corruptions, as `released.reader.CorruptedFiles` reads them.

    Args:
        source: labeled images; a string is short for `SourceSpec(source=...)`.
        target: a new or empty folder, or one made before with the same settings.
        corruptions: the 15 of ImageNet-C or the four extra ones.
        severities: 1 to 5; the layout `npy` needs all.
        image_size: pixels, from 32; by default 32 or 64 if the first image has that size, else 224.
        resize_size: of the short side before the crop, by default 256 for 224 px, else image_size.
        seed: of all draws; they depend on the images' ids besides.
        lossless: PNG, and not JPEG of quality 85 as ImageNet-C has.
        layout: `folder`, one file an image, or `npy`, one array a corruption, which is always
            lossless; by default `npy` for 32 px.
        workers: processes, by default one a core; 0 or 1 is this process.

    Returns:
        `target`, numbers of `images` and `cells`, of files `written` and `kept`, and `seconds`.

    Raises:
        NsbenchError: for settings that cannot be, images that cannot be read, a target with other
            content, or a full disk. What was finished is kept.

    """
    cells = _corruption_cells(corruptions, severities)
    target = Path(target)
    images = _open(source, target)
    size = _size(images, image_size, resize_size)
    stored = _storage(size, layout, "png" if lossless else f"jpeg-{JPEG_QUALITY}")
    _check_whole(stored, severities)
    if size.image not in SIZES:
        say(f"corruptions of {size.image} px have the constants of the nearest of {SIZES} px")
    generator = f"nsbench corruptions {corruptions_module.VERSION}"
    settings = _settings("imagenet-c", images, size, seed, generator, stored)
    return make(_corrupting(images, target, cells, size, seed, lossless), settings, workers)


def make_imagenet_p(
    source: SourceSpec | str,
    target: Path | str,
    *,
    perturbations: Sequence[str] = PERTURBATIONS,
    difficulty: int = 1,
    image_size: int | None = None,
    resize_size: int | None = None,
    seed: int = 0,
    lossless: bool = False,
    layout: str | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Write a source's images under perturbations, as `released.reader.ClipFiles` reads them.

    Arguments, results and errors are those of `make_imagenet_c`, but for these.

    Args:
        source: see there.
        target: see there.
        perturbations: the ten of ImageNet-P or the four validation ones.
        difficulty: of the noises, 1 to 3; at 2 and 3 their names in the target end in `_2` and
            `_3`. The other sequences have one difficulty only, and are made as ever.
        image_size: 32, 64 or 224 px.
        resize_size: see there; the sequences cut the crop themselves.
        seed: see there.
        lossless: H.264 of exact RGB, and not lossy H.264 as ImageNet-P has.
        layout: `folder`, one clip an image, or `npy`, one array a perturbation.
        workers: see there.

    """
    cells = _perturbation_cells(perturbations, difficulty)
    target = Path(target)
    images = _open(source, target)
    size = _size(images, image_size, resize_size)
    if size.image not in PERTURBATION_SIZES:
        raise NsbenchError(f"the image size is {size.image}, but sequences are of 32, 64 or 224 px")
    stored = _storage(size, layout, "h264-lossless" if lossless else "h264")
    generator = f"nsbench perturbations {perturbations_module.VERSION}"
    settings = _settings("imagenet-p", images, size, seed, generator, stored)
    return make(_perturbing(images, target, cells, size, seed, lossless), settings, workers)


class _Size(NamedTuple):
    image: int
    resize: int


class _Storage(NamedTuple):
    layout: str
    kind: str


def _corruption_cells(names: Sequence[str], severities: Sequence[int]) -> list[Cell]:
    _check_names(names, CORRUPTIONS + EXTRA_CORRUPTIONS, "corruption")
    _check_levels(severities, SEVERITIES, "severity")
    return [
        Cell(name, severity, f"{name}/{severity}", f"{name}.npy", severity - 1)
        for name in dict.fromkeys(names)  # each once, in the order given
        for severity in sorted(set(severities))
    ]


def _perturbation_cells(names: Sequence[str], difficulty: int) -> list[Cell]:
    _check_names(names, PERTURBATIONS + EXTRA_PERTURBATIONS, "perturbation")
    _check_levels([difficulty], DIFFICULTIES, "difficulty")
    cells = []
    for name in dict.fromkeys(names):
        # The other sequences have one difficulty, so that one command can make all ten.
        level = difficulty if is_noise(name) else 1
        folder = clip_folder(name, level)
        cells.append(Cell(name, level, folder, f"{folder}.npy"))
    return cells


def _check_names(names: Sequence[str], valid: Sequence[str], what: str) -> None:
    if isinstance(names, str):  # a sequence too, of its letters
        raise NsbenchError(f"give the name of a {what} in a list: ['{names}']")
    refuse_unknown(what, names, valid)
    if not names:
        raise NsbenchError(f"name at least one {what}")


def _check_levels(levels: Sequence[int], valid: Sequence[int], what: str) -> None:
    # True is equal to 1.
    wrong = [level for level in levels if level not in valid or isinstance(level, bool)]
    if wrong or not levels:
        raise NsbenchError(
            f"the {what} is {wrong[0] if wrong else 'missing'}, but must be a whole number from "
            f"{valid[0]} to {valid[-1]}"
        )


def _open(source: SourceSpec | str, target: Path) -> Source:
    spec = SourceSpec(source=source) if isinstance(source, str) else source
    opened = open_source(spec)
    if opened.labels is not None:
        labels_of(opened, "nsbench make")  # refuses labels that name no class; arrays need none
    # Made files would be taken for images of the source by the next command.
    if Path(opened.name).is_dir() and target.resolve().is_relative_to(Path(opened.name).resolve()):
        raise NsbenchError(
            f"the target {target} lies in the source {opened.name}: choose a folder outside"
        )
    return opened


def _size(source: Source, image_size: int | None, resize_size: int | None) -> _Size:
    if image_size is None:
        # Images of CIFAR and Tiny ImageNet keep their size; photographs get that of ImageNet-C.
        first = source.image(0).size
        image_size = first[0] if first in ((32, 32), (64, 64)) else 224
    if image_size < MIN_SIZE:
        raise NsbenchError(f"the image size is {image_size}, but must be {MIN_SIZE} px or more")
    if resize_size is None:
        # 256 as in make_imagenet_c.py and make_imagenet_p.py; smaller images stay whole.
        resize_size = 256 if image_size == 224 else image_size
    if resize_size < image_size:
        raise NsbenchError(
            f"the resize size is {resize_size} px, but a crop of {image_size} px needs as much"
        )
    return _Size(image_size, resize_size)


def _storage(size: _Size, layout: str | None, kind: str) -> _Storage:
    layout = layout or ("npy" if size.image == 32 else "folder")  # as CIFAR-10-C
    refuse_unknown("layout", [layout], LAYOUTS)
    return _Storage(layout, "npy" if layout == "npy" else kind)


def _check_whole(stored: _Storage, severities: Sequence[int]) -> None:
    if stored.layout == "npy" and set(severities) != set(SEVERITIES):
        raise NsbenchError(
            "a .npy file holds all five severities: leave the severities out, or set the layout to "
            "folder"
        )


def _settings(
    kind: str, source: Source, size: _Size, seed: int, generator: str, stored: _Storage
) -> dict[str, Any]:
    labels = None if source.labels is None else source.labels.tolist()
    return {
        "kind": kind,
        "source": source.name,
        "source_version": source.version,
        # A hash, since a list of 50,000 names would be most of the manifest.
        "images": fingerprint([list(source.ids), labels, source.classes]),
        "image_size": size.image,
        "resize_size": size.resize,
        "seed": seed,
        "generator": generator,
        "layout": stored.layout,
        "storage": stored.kind,
    }


def _corrupting(
    source: Source, target: Path, cells: list[Cell], size: _Size, seed: int, lossless: bool
) -> Product:
    return Product(
        source,
        target,
        cells,
        clean=partial(center_crop, preprocessing=fixed_crop(size.image, size.resize)),
        change=partial(_corrupted, seed=seed),
        encode=partial(_encode_image, lossless=lossless),
        ending="png" if lossless else "JPEG",
        copies=len(SEVERITIES),
    )


def _perturbing(
    source: Source, target: Path, cells: list[Cell], size: _Size, seed: int, lossless: bool
) -> Product:
    return Product(
        source,
        target,
        cells,
        clean=partial(resized, size=size.resize),
        change=partial(_perturbed, seed=seed, size=size.image),
        encode=partial(_encode_clip, lossless=lossless),
        ending="mp4",
    )


def _corrupted(images: torch.Tensor, cell: Cell, ids: list[str], *, seed: int) -> Pixels:
    with warnings.catch_warnings():  # said once, before the first image
        warnings.simplefilter("ignore", UserWarning)
        changed = corrupt(images, cell.name, cell.level, ids=ids, seed=seed)
    return changed.permute(0, 2, 3, 1).numpy()


def _encode_image(pixels: Pixels, cell: Cell, *, lossless: bool) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if lossless:
        image.save(file, "PNG")
    else:
        # As make_imagenet_c.py; `optimize` makes files smaller and changes no pixel.
        image.save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return file.getvalue()


def _perturbed(images: torch.Tensor, cell: Cell, ids: list[str], *, seed: int, size: int) -> Pixels:
    sequence = frames(images, cell.name, ids=ids, seed=seed, difficulty=cell.level, size=size)
    return torch.stack(list(sequence), 1).permute(0, 1, 3, 4, 2).numpy()


def _encode_clip(pixels: Pixels, cell: Cell, *, lossless: bool) -> bytes:
    return encode_clip(pixels, noise=is_noise(cell.name), lossless=lossless)
