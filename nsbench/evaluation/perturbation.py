"""Passes of perturbation suites: clips, a frame of a batch at a time, through all models."""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from nsbench import perturbations
from nsbench.data.preprocessing import Preprocessing
from nsbench.evaluation.batches import row_slices
from nsbench.evaluation.decoded import View
from nsbench.evaluation.decoded_file import Array, DecodedImages
from nsbench.evaluation.forward import logits_of
from nsbench.evaluation.model_run import ModelRun, Ranked, SuiteImages, ranked
from nsbench.evaluation.options import Options
from nsbench.evaluation.plan import Passes, SuitePlan
from nsbench.evaluation.released_files import ReleasedClips
from nsbench.suites.perturbation import PerturbationSuite
from nsbench.util.device import sent
from nsbench.util.progress import Advance


class PerturbationPasses(Passes[PerturbationSuite]):
    """Every perturbation sequence of every image."""

    _files: ReleasedClips | None = None

    @property
    def reads_files(self) -> bool:
        """Whether clips come from released files."""
        return self._files is not None

    @property
    def reads_released(self) -> bool:
        """Whether clips come from files that `nsbench make` did not make."""
        return self._files is not None and not self._files.are_made

    def open_files(self, images: SuiteImages) -> str:
        """Read the suite's `files` from now on."""
        self._files = ReleasedClips(self.suite, images)
        return self._files.identity()

    def views(self, run: ModelRun) -> list[View]:
        """Whole images, since sequences move them; none where clips are read."""
        return [] if self._files else [self.suite.short_side]

    def maker(self, cell: str, device: torch.device, count: int) -> Callable[[], object] | None:
        """A function that makes all frames of black images, to be timed."""
        if self._files:
            return None
        size, ids = self.suite.image_size, list(range(count))
        images = torch.zeros(count, 3, size, size, dtype=torch.uint8, device=device)
        return lambda: list(perturbations.frames(images, cell, ids=ids, size=size))

    def run(
        self, plan: SuitePlan, runs: list[ModelRun], options: Options, advance: Advance
    ) -> None:
        """Sequences are the outer loop, then batches, frames and models."""
        suite, images = self.suite, plan.images
        for cell in suite.cells():
            unfinished = [run for run in runs if cell in run.missing]
            if not unfinished:
                continue
            for rows in row_slices(len(images.rows), self._clips_at_once(cell, options)):
                for part in self._clips(cell, images, rows, unfinished, options, advance):
                    for run, frames in zip(unfinished, part, strict=True):
                        run.add_clips(cell, frames)
            for run in unfinished:
                run.finish(cell, images)

    def picture_views(self, crop: Preprocessing) -> list[View]:
        """Whole images too, since sequences move them."""
        return [crop, self.suite.short_side]

    def pictures(
        self, cell: str, images: SuiteImages, crops: DecodedImages, options: Options
    ) -> Iterator[torch.Tensor]:
        """The frames."""
        yield from self._frames(cell, images, slice(0, len(images.rows)), options.device)

    def _clips_at_once(self, cell: str, options: Options) -> int:
        # A clip in a file is decoded whole, so that as many are held as memory allows.
        held = self._files.clips_at_once(cell) if self._files else options.batch_size
        return min(options.batch_size, held)

    def _clips(
        self,
        cell: str,
        images: SuiteImages,
        rows: slice,
        runs: list[ModelRun],
        options: Options,
        advance: Advance,
    ) -> list[list[list[Ranked]]]:
        """The clips of a batch, in parts as memory allows: for each run, what is kept of frames."""

        def ranks(part: slice) -> list[list[Ranked]]:
            # Draws belong to the image ids, so that a part has the frames that the batch had.
            those = slice(rows.start + part.start, rows.start + part.stop)
            return _ranked(
                self._frames(cell, images, those, options.device), runs, options, advance
            )

        return options.batches.parts(ranks, rows.stop - rows.start)

    def _frames(
        self, cell: str, images: SuiteImages, rows: slice, device: torch.device
    ) -> Iterator[torch.Tensor]:
        """The frames of some clips one after the other, uint8 (B, 3, S, S)."""
        if self._files:
            return (sent(frame, device) for frame in self._files.frames(cell, rows))
        return self._made(cell, images.wholes(self.suite.short_side), rows, images.own_ids, device)

    def _made(
        self, name: str, wholes: DecodedImages, rows: slice, ids: list[str], device: torch.device
    ) -> Iterator[torch.Tensor]:
        """Images of one shape are a batch of their own; each frame joins them again."""
        images = [wholes.image(row) for row in range(rows.start, rows.stop)]
        groups = _of_one_shape(images)
        sequences = [
            perturbations.frames(
                sent(torch.from_numpy(np.stack([images[row] for row in group])), device),
                name,
                ids=[ids[rows.start + row] for row in group],
                seed=self.suite.seed,
                difficulty=self.suite.difficulty_of(name),
                size=self.suite.image_size,
            )
            for group in groups
        ]
        if len(groups) == 1:
            yield from sequences[0]
            return
        # Into the order of the rows, whatever group an image was in.
        order = sent(torch.from_numpy(np.argsort(np.concatenate(groups))), device)
        for frames in zip(*sequences, strict=True):
            yield torch.cat(frames).index_select(0, order)


def _ranked(
    frames: Iterator[torch.Tensor], runs: list[ModelRun], options: Options, advance: Advance
) -> list[list[Ranked]]:
    """For each run, what is kept of every frame.

    A frame goes through all models before the next is made: all 31 frames of 250 images of 224 px
    would be 1.2 GB.
    """
    kept: list[list[Ranked]] = [[] for _ in runs]
    done = 0
    try:
        for frame in frames:
            for run, ranks in zip(runs, kept, strict=True):
                ranks.append(ranked(logits_of(run, frame, options)))
                advance(len(frame))
                done += len(frame)
    except Exception:
        # A clip is begun again where memory runs out.
        advance(-done)
        raise
    return kept


def _of_one_shape(images: list[Array]) -> list[list[int]]:
    # Whole images differ in their long side, and a tensor has one shape.
    groups: dict[tuple[int, ...], list[int]] = {}
    for row, image in enumerate(images):
        groups.setdefault(image.shape, []).append(row)
    return list(groups.values())
