"""The pictures of a report, made again from the sources of its suites."""

import io
from collections.abc import Mapping, Sequence

import torch
from PIL import Image

from nsbench.evaluation.pictures import Picture, Pictures, Place
from nsbench.models.generation import load_checkpoint
from nsbench.reporting.gallery import Choice, Gallery, PictureFile, Sheet, Shot, choices, pair_shown
from nsbench.reporting.results import Entry
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import stage

LOSSLESS = 64
"""Pixels up to which a picture is stored without loss, where it takes 10 KB at most."""

QUALITY = 80
"""Of larger pictures, in WebP: differences to the original are not seen."""


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
                _add(gallery, pair, suite, own)
            except NsbenchError as error:
                gallery.notes.append(f"{suite} has no pictures: {error}.")
            advance()
    return gallery


def _add(gallery: Gallery, pair: tuple[Entry, Entry], name: str, chosen: Sequence[Choice]) -> None:
    scores = pair[1].scores[name]
    made = Pictures(scores.suite, scores.manifest)
    places = [Place(c.cell, c.frame, c.image) for c in chosen]
    views = {"": made.at(places)}
    if scores.suite.kind == "attack":
        views = {"before the attack": views[""]}
        for who, entry in zip(("teacher", "student"), pair, strict=True):
            if entry.folder:
                own = entry.scores[name]
                # The teacher's images may be of another crop.
                again = made if entry is pair[1] else Pictures(own.suite, own.manifest)
                model = load_checkpoint(entry.folder, torch.device("cpu"))
                views[f"against the {who}"] = again.attacked(model, places)
            else:
                gallery.notes.append(
                    f"{name} has no pictures of attacks on {entry.name}, which is no generation of "
                    "a run."
                )
    for number, choice in enumerate(chosen):
        gallery.shots.append(_shot(choice, {view: own[number] for view, own in views.items()}))
    if "error" in scores.tables and chosen:
        image = min(choice.image for choice in chosen)
        heads, pictures = made.sheet(image)
        rows = {name: [_file(picture) for picture in own] for name, own in pictures.items()}
        gallery.sheets.append(Sheet(name, image, heads, rows))


def _shot(choice: Choice, views: Mapping[str, Picture]) -> Shot:
    return Shot(choice, {name: _file(picture) for name, picture in views.items()})


def _file(picture: Picture) -> PictureFile:
    kind = "png" if max(picture.shape) <= LOSSLESS else "webp"
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, quality=QUALITY)
    return PictureFile(kind, buffer.getvalue())
