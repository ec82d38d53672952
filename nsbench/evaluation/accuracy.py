"""Passes of accuracy and detection suites: clean images through each model."""

import torch

from nsbench.data.spec import label_sets
from nsbench.evaluation.batches import clean_batches
from nsbench.evaluation.forward import logits_of
from nsbench.evaluation.model_run import ModelRun, SuiteImages
from nsbench.evaluation.options import Options
from nsbench.evaluation.plan import Passes, SuitePlan, crop_for
from nsbench.suites.base import Suite
from nsbench.util.device import sent
from nsbench.util.progress import Advance


class AccuracyPasses(Passes[Suite]):
    """Every cell is a list of images as they are."""

    def run(
        self, plan: SuitePlan, runs: list[ModelRun], options: Options, advance: Advance
    ) -> None:
        """One model after the other, as each may have its own crop."""
        # Not batch by batch: the images are decoded already, and reading them again costs little.
        for cell in self.suite.cells():
            for run in runs:
                if cell in run.missing:
                    run_clean(cell, plan.images_of(cell), self.suite, run, options, advance)


def run_clean(
    cell: str,
    images: SuiteImages,
    suite: Suite,
    run: ModelRun,
    options: Options,
    advance: Advance,
) -> None:
    """Run a cell of clean images through one model."""
    # Also the cell `clean` of corruption suites.
    labels = _labels(run, images, options)
    for batch in clean_batches(images.crops(crop_for(suite, run.model)), options):
        own = None if labels is None else labels[batch.rows]
        run.add(cell, logits_of(run, batch.images, options), own)
        advance(len(batch.images))
    run.finish(cell, images)


def _labels(run: ModelRun, images: SuiteImages, options: Options) -> torch.Tensor | None:
    """The labels of this process's images on the device; None where an image has not just one."""
    if images.unknown_classes or label_sets(images.source) is not None:
        return None
    return sent(torch.from_numpy(run.labels(images)[images.rows]), options.device)
