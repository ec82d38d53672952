"""The pictures of a report, made again from the sources of its suites."""

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from nsbench.evaluation.pictures import Picture, Pictures, Place
from nsbench.reporting.gallery import Choice, Gallery, Sheet, Shot, choices, pair_shown
from nsbench.reporting.results import Entry
from nsbench.suites.base import SuiteScores
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import stage

LOSSLESS = 64
"""Pixels up to which a picture is stored without loss, where it takes 10 KB at most."""

QUALITY = 80
"""Of larger pictures and of sheets, in WebP: differences to the original are not seen."""


def make_gallery(entries: Sequence[Entry], count: int) -> Gallery | None:
    """Up to `count` pictures of each kind, by the rule of `nsbench.reporting.gallery`.

    A suite whose sources are gone is told in the notes. None for a report of a single model.
    """
    pair = pair_shown(entries)
    if pair is None:
        return None
    teacher, student = pair
    wanted = choices(teacher, student, count)
    gallery = Gallery(teacher.name, student.name)
    suites = list(dict.fromkeys(choice.suite for choice in wanted))
    with stage("pictures", len(suites), "suites") as advance:
        for suite in suites:
            own = [choice for choice in wanted if choice.suite == suite]
            try:
                _add(gallery, student.scores[suite], own)
            except NsbenchError as error:
                gallery.notes.append(f"{suite} has no pictures: {error}.")
            advance()
    return gallery


def _add(gallery: Gallery, scores: SuiteScores, chosen: Sequence[Choice]) -> None:
    made = Pictures(scores.suite, scores.manifest)
    pictures = made.at([Place(c.cell, c.frame, c.image) for c in chosen])
    gallery.shots.extend(_shot(c, p) for c, p in zip(chosen, pictures, strict=True))
    if "error" in scores.tables and chosen:
        image = min(choice.image for choice in chosen)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "sheet.png"
            made.write_sheet(image, out)
            with Image.open(out) as sheet:
                gallery.sheets.append(Sheet(scores.suite.name, image, _encoded(sheet, "webp")))


def _shot(choice: Choice, picture: Picture) -> Shot:
    kind = "png" if max(picture.shape) <= LOSSLESS else "webp"
    return Shot(choice, _encoded(Image.fromarray(picture), kind), kind)


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=QUALITY)
    return buffer.getvalue()
