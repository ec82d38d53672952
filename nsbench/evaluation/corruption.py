"""Passes of corruption suites: each batch is made once and goes through all models."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from nsbench.corruptions import corrupt, jpeg, package
from nsbench.evaluation.accuracy import run_clean
from nsbench.evaluation.batches import Batch, on_device, row_slices
from nsbench.evaluation.decoded_file import Array, DecodedImages
from nsbench.evaluation.forward import logits_of
from nsbench.evaluation.model_run import ModelRun, SuiteImages
from nsbench.evaluation.options import Options
from nsbench.evaluation.plan import Passes, SuitePlan, crop_for
from nsbench.evaluation.released_files import CellRows, ReleasedCorruptions
from nsbench.suites.corruption import CorruptionSuite, parse_cell
from nsbench.util.device import sent
from nsbench.util.progress import Advance

LOADERS = 2
"""Processes in which the package corrupts images; the models need the other cores."""


class CorruptionPasses(Passes[CorruptionSuite]):
    """The cell `clean`, then every corruption at every severity."""

    _files: ReleasedCorruptions | None = None

    @property
    def reads_files(self) -> bool:
        """Whether corrupted images come from released files."""
        return self._files is not None

    @property
    def reads_released(self) -> bool:
        """Whether corrupted images come from files that `nsbench make` did not make."""
        return self._files is not None and not self._files.are_made

    def open_files(self, images: SuiteImages) -> str:
        """Read the suite's `files` from now on."""
        self._files = ReleasedCorruptions(self.suite, images)
        return self._files.identity()

    def maker(self, cell: str, device: torch.device, count: int) -> Callable[[], object] | None:
        """A function that corrupts black images, to be timed."""
        if cell == "clean" or self._files:
            return None
        name, severity = parse_cell(cell)
        size, ids = self.suite.image_size, list(range(count))
        images = torch.zeros(count, 3, size, size, dtype=torch.uint8, device=device)
        return lambda: corrupt(images, name, severity, ids=ids)

    def run(
        self, plan: SuitePlan, runs: list[ModelRun], options: Options, advance: Advance
    ) -> None:
        """Cells are the outer loop, batches the inner one, models the innermost."""
        # So a corrupted batch is made once, goes through every model that still needs the cell, and
        # is dropped: the corrupted images of a cell are never all in memory.
        suite, images = self.suite, plan.images
        for run in runs:
            if "clean" in run.missing:
                run_clean("clean", images, suite, run, options, advance)
        cells = [cell for cell in suite.cells() if any(cell in run.missing for run in runs)]
        if not cells:
            return
        # Any model will do to name the crop, which a corruption suite fixes for all of them.
        crops = None if self._files else images.crops(crop_for(suite, runs[0].model))
        # One stream over all cells, so that the next cell's first batch is made ahead, too.
        stream = self.corrupted(crops, images.own_ids, cells, options)
        batches_a_cell = len(row_slices(len(images.rows), options.batch_size))
        for cell in cells:
            unfinished = [run for run in runs if cell in run.missing]
            for batch in islice(stream, batches_a_cell):
                for run in unfinished:
                    run.add(cell, logits_of(run, batch.images, options))
                    advance(len(batch.images))
            for run in unfinished:
                run.finish(cell, images)

    def pictures(
        self, cell: str, images: SuiteImages, crops: DecodedImages, options: Options
    ) -> Iterator[torch.Tensor]:
        """The corrupted images."""
        if cell == "clean":
            yield from super().pictures(cell, images, crops, options)
        else:
            made = self.corrupted(crops, images.own_ids, [cell], options)
            yield torch.cat([batch.images for batch in made])

    def corrupted(
        self, crops: DecodedImages | None, ids: list[str], cells: Sequence[str], options: Options
    ) -> Iterator[Batch]:
        """Every batch of every cell, in order: read, by the package, or made on the device.

        crops: the clean images of these ids, None where files are read. Reading and generating run
        ahead of the models.
        """
        slices = row_slices(len(ids), options.batch_size)
        wanted = [CellRows(cell, rows) for cell in cells for rows in slices]
        # Files come before the generator: their authors prefer the released JPEGs to corruptions
        # computed in memory (README of hendrycks/robustness).
        made: Iterator[torch.Tensor]
        if self._files:
            made = (sent(images, options.device) for images in self._files.batches(wanted))
        elif crops is None:
            raise ValueError("without files the clean crops are needed")
        elif self.suite.generator == "imagecorruptions":
            by_package = _by_package(self.suite, crops, ids, wanted)
            made = (sent(images, options.device) for images in by_package)
        else:
            made = self._made_on_device(crops, ids, wanted, options)
        yield from map(Batch, [rows for _, rows in wanted], made)

    def _made_on_device(
        self, crops: DecodedImages, ids: list[str], wanted: list[CellRows], options: Options
    ) -> Iterator[torch.Tensor]:
        clean = on_device(crops, [rows for _, rows in wanted], options.device)
        for (cell, rows), images in zip(wanted, clean, strict=True):
            yield self._corrupt(cell, images, ids[rows], options)

    def _corrupt(
        self, cell: str, images: torch.Tensor, ids: list[str], options: Options
    ) -> torch.Tensor:
        (name, severity), suite = parse_cell(cell), self.suite

        def change(rows: slice) -> torch.Tensor:
            # The draws belong to the image ids, so that batches may be cut as memory allows. JPEG
            # comes last, as the released images were saved once they were corrupted.
            changed = corrupt(images[rows], name, severity, ids=ids[rows], seed=suite.seed)
            return jpeg(changed, suite.jpeg_quality) if suite.jpeg_quality else changed

        return options.batches.in_parts(change, len(images))


def _by_package(
    suite: CorruptionSuite, crops: DecodedImages, ids: list[str], wanted: list[CellRows]
) -> Iterator[torch.Tensor]:
    """Corrupted batches by the package, one image at a time, in worker processes that run ahead."""
    # Numba compiles glass blur once here, before the workers are forked from this process.
    package.corrupt(np.zeros((3, 32, 32), np.uint8), "glass_blur", 1, "warm-up")
    yield from DataLoader(
        _PackageBatches(suite, crops, ids, wanted),
        batch_size=None,  # items are whole batches already
        num_workers=LOADERS,
        multiprocessing_context="fork",  # shares the decoded images and what Numba compiled
    )


class _PackageBatches(Dataset[torch.Tensor]):
    """The batches by index, whose order DataLoader keeps, whichever worker is done first."""

    def __init__(
        self, suite: CorruptionSuite, crops: DecodedImages, ids: list[str], wanted: list[CellRows]
    ) -> None:
        self._suite, self._crops, self._ids, self._wanted = suite, crops, ids, wanted

    def __len__(self) -> int:
        return len(self._wanted)

    def __getitem__(self, index: int) -> torch.Tensor:
        cell, rows = self._wanted[index]
        images = [self._corrupted(row, *parse_cell(cell)) for row in range(rows.start, rows.stop)]
        batch, quality = torch.from_numpy(np.stack(images)), self._suite.jpeg_quality
        return jpeg(batch, quality) if quality else batch

    def _corrupted(self, row: int, name: str, severity: int) -> Array:
        image, image_id = self._crops.image(row), self._ids[row]
        return package.corrupt(image, name, severity, image_id, self._suite.seed)
