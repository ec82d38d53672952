"""Images to pixels: every image decoded once, in every view that any suite or model asks for."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.decode import refuse_many
from nsbench.data.open import Source
from nsbench.data.prefetch import prefetch_map
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.transforms import center_crop, resized
from nsbench.evaluation.decoded_file import Array, DecodedImages, DecodedWriter, cached
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint
from nsbench.util.progress import counted, say, stage

View = Preprocessing | int
"""A centre crop, or the short side in pixels of a whole image."""

WIDE = 1.6
"""A whole photograph has about this many times the pixels of the square of its short side. It
decides only where decoded images are kept."""


def load_images(
    source: Source, indices: NDArray[np.int64], views: Sequence[View], cache: Path | None = None
) -> list[DecodedImages]:
    """The images in each view, each decoded once, by several threads.

    They go to memory if they fit in half of what is free, else to a temporary file; with `cache`,
    to files in that folder, which later commands read again. An image that cannot be read is
    replaced by a black one and listed as unreadable.

    Raises NsbenchError where there is no room, or where too many images cannot be read.
    """
    kept = [cache / _key(source, indices, view) if cache else None for view in views]
    known = [cached(path) if path else None for path in kept]
    missing = [(v, path) for v, path, had in zip(views, kept, known, strict=True) if had is None]
    writers = [DecodedWriter(len(indices) * bytes_of(view), path) for view, path in missing]
    try:
        if missing:
            _decode(source, indices, [view for view, _ in missing], writers)
        made = iter([writer.done() for writer in writers])
    # After success too, where there is nothing left to remove.
    finally:
        for writer in writers:
            writer.discard()
    whole = [pixels if pixels is not None else next(made) for pixels in known]
    _check(source, indices, whole)
    return whole


def _key(source: Source, indices: NDArray[np.int64], view: View) -> str:
    # Without std, which has no part in the pixels; the mean fills the border of some crops.
    size = view if isinstance(view, int) else view.model_dump(exclude={"std"})
    # By what is decoded, whatever else the source holds and however it is labeled.
    content = hashlib.sha256(source.digests_of(indices).data).hexdigest()
    return fingerprint([content, size])[:16]


def bytes_of(view: View) -> int:
    """Roughly how many bytes an image takes."""
    return int(3 * WIDE * view**2) if isinstance(view, int) else 3 * view.image_size**2


def _decode(
    source: Source, indices: NDArray[np.int64], views: list[View], writers: list[DecodedWriter]
) -> None:
    def views_of(index: int) -> list[Array] | str:
        # As a value: one bad file must not end the reading of all the others.
        try:
            image = source.image(index)
        except NsbenchError as error:
            return str(error)
        return [view_of(image, view) for view in views]

    with stage(f"images of {source.name}", len(indices)) as advance:
        for images in prefetch_map(views_of, indices.tolist()):
            for number, (view, writer) in enumerate(zip(views, writers, strict=True)):
                if isinstance(images, str):
                    writer.add(_black(view), images)
                else:
                    writer.add(images[number])
            advance()


def view_of(image: Image.Image, view: View) -> Array:
    """The image in a view, uint8 (3, H, W)."""
    return resized(image, view) if isinstance(view, int) else center_crop(image, view)


def _black(view: View) -> Array:
    # A placeholder, so that rows keep their numbers: the image counts as an error in any case.
    side = view if isinstance(view, int) else view.image_size
    return np.zeros((3, side, side), np.uint8)


def _check(source: Source, indices: NDArray[np.int64], views: list[DecodedImages]) -> None:
    """Report unreadable images. Raises NsbenchError if they are too many."""
    # By the first view: an image that cannot be read is missing from all of them.
    reasons = [reason for pixels in views[:1] for reason in pixels.unreadable.values()]
    if not reasons:
        return
    refuse_many(reasons, len(indices), source.name)
    lost = counted(len(reasons), "image")
    say(f"{lost} of {source.name} cannot be read, which counts as errors: {reasons[0]}")
