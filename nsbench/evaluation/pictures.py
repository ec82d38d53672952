"""The pixels that models saw, made again: single images of a suite's cells, from its sources."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nsbench.data.catalog import is_missing
from nsbench.data.label_files import origin
from nsbench.data.open import open_source
from nsbench.data.preprocessing import Preprocessing
from nsbench.evaluation.attack import AttackPasses
from nsbench.evaluation.decoded import bytes_of, view_of
from nsbench.evaluation.decoded_file import DecodedWriter
from nsbench.evaluation.fgsm import frozen
from nsbench.evaluation.forward import masked
from nsbench.evaluation.model_run import SuiteImages
from nsbench.evaluation.options import make_options
from nsbench.evaluation.plan import counted
from nsbench.evaluation.register import passes_of
from nsbench.models import Classifier
from nsbench.suites.attack import epsilon_cell
from nsbench.suites.base import Suite
from nsbench.util.config import parse
from nsbench.util.errors import NsbenchError

Picture = NDArray[np.uint8]
"""An image as (H, W, 3)."""

SHEET = 96
"""Pixels of a picture in a contact sheet, unless the suite's own are fewer."""


class Place(NamedTuple):
    """An image in a cell; of a clip the frame, from 0; elsewhere 0."""

    cell: str
    frame: int
    image: str


class Pictures:
    """The images of a suite as it was evaluated.

    manifest: the content of the suite.json of the results. Raises NsbenchError where the sources
    are gone, or the pixels were made by something else than what is here.
    """

    def __init__(self, suite: Suite, manifest: Mapping[str, Any]) -> None:
        self._suite, self._passes = suite, passes_of(suite)
        precision = manifest["identity"]["precision"]
        self._options = make_options(device="cpu", precision=precision)
        self._source = open_source(suite.source)
        self._known: dict[int, Image.Image] = {}
        self._number = {name: number for number, name in enumerate(self._source.ids)}
        made = manifest["identity"].get("generator")
        self._files = suite.released_files if str(made).startswith("the files ") else None
        here = None if self._files else suite.generator_identity()
        if self._files and is_missing(self._files):
            raise NsbenchError(f"the released files of {suite.name} are not in the data roots")
        if not self._files and made != here:
            raise NsbenchError(f"the pixels of {suite.name} were made by {made}, not by {here}")
        own = parse(Preprocessing, manifest["identity"]["preprocessing"], suite.name)
        self._crop = suite.crop or own

    def at(self, places: Sequence[Place]) -> list[Picture]:
        """The pictures at some places, in their order.

        Raises NsbenchError for an image that the source lacks or that cannot be read.
        """
        found: dict[Place, Picture] = {}
        for cell in dict.fromkeys(place.cell for place in places):
            own = [place for place in places if place.cell == cell]
            found |= dict(zip(own, self._of_cell(cell, own), strict=True))
        return [found[place] for place in places]

    def attacked(self, model: Classifier, places: Sequence[Place]) -> list[Picture]:
        """The pictures under the attack of their cells against a model, in 8 bits, in their order.

        The suite is one of attacks; the model is on the CPU, and has the results of the manifest.
        """
        passes = self._passes
        assert isinstance(passes, AttackPasses)
        epsilons = {epsilon_cell(epsilon): epsilon for epsilon in passes.suite.epsilons}
        names = [place.image for place in places]
        images = self._images(names)
        _, classes, columns = counted(self._suite, images.source, model, self._options.device)
        labels = torch.from_numpy(classes[images.labels])
        clean = images.crops(self._crop).batch(slice(0, len(names)))
        found = []
        with frozen(model.module):
            for row, place in enumerate(places):
                one = slice(row, row + 1)
                ready = masked(model, columns), clean[one], labels[one], epsilons[place.cell]
                (moved,) = passes.attacked_images(*ready, self._options)
                pixels = (255 * moved).round().to(torch.uint8)
                found.append(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
        return found

    def _of_cell(self, cell: str, places: Sequence[Place]) -> list[Picture]:
        names = list(dict.fromkeys(place.image for place in places))
        images = self._images(names)
        frames = {place.frame for place in places}
        made = self._frames(cell, images, frames)
        rows = {name: row for row, name in enumerate(names)}
        return [made[place.frame][rows[place.image]] for place in places]

    def _images(self, names: Sequence[str]) -> SuiteImages:
        """These images, decoded in the views that a cell may want."""
        lost = next((name for name in names if name not in self._number), None)
        if lost:
            raise NsbenchError(f"{self._source.name} has no image {lost} any more")
        indices = np.array([self._number[name] for name in names], dtype=np.int64)
        images = SuiteImages(self._source, indices, np.arange(len(indices)))
        decoded = [self._decoded(index) for index in indices.tolist()]
        for view in self._passes.picture_views(self._crop):
            writer = DecodedWriter(len(indices) * bytes_of(view))
            for image in decoded:
                writer.add(view_of(image, view))
            images.decoded[str(view)] = writer.done()
        return images

    def _decoded(self, index: int) -> Image.Image:
        # A contact sheet asks for the same image in every cell.
        if index not in self._known:
            source, (own,) = origin(self._source, np.array([index]))
            self._known[index] = source.image(int(own))
        return self._known[index]

    def _frames(self, cell: str, images: SuiteImages, wanted: set[int]) -> dict[int, list[Picture]]:
        """For each frame that is wanted, the pictures of all images."""
        if self._files:
            self._passes.open_files(images)
        crops = images.crops(self._crop)
        stream = self._passes.pictures(cell, images, crops, self._options)
        return {
            number: [np.ascontiguousarray(image.permute(1, 2, 0).numpy()) for image in batch]
            for number, batch in enumerate(stream)
            if number in wanted
        }

    def sheet(self, image: str) -> tuple[list[str], dict[str, list[Picture]]]:
        """Every corruption of a suite by severity, for one image: heads, and pictures by name."""
        cells = [cell for cell in self._suite.cells() if "/" in cell]
        names = list(dict.fromkeys(cell.split("/")[0] for cell in cells))
        levels = list(dict.fromkeys(cell.split("/")[1] for cell in cells))
        clean = self.at([Place("clean", 0, image)])[0]
        rows = {}
        for name in names:
            own = self.at([Place(f"{name}/{level}", 0, image) for level in levels])
            rows[name] = [_small(picture) for picture in (clean, *own)]
        return ["clean", *(f"severity {level}" for level in levels)], rows


def _small(picture: Picture) -> Picture:
    """A picture in the size of a sheet, or its own where that is less."""
    if picture.shape[1] <= SHEET:
        return picture
    return np.asarray(Image.fromarray(picture).resize((SHEET, SHEET), Image.Resampling.BILINEAR))
