"""Passes of attack suites: each model is attacked by itself, at its own input size."""

import torch

from nsbench.evaluation.batches import clean_batches
from nsbench.evaluation.deterministic import deterministic
from nsbench.evaluation.fgsm import (
    Logits,
    fgsm_images,
    fgsm_logits,
    frozen,
    pgd_images,
    pgd_logits,
)
from nsbench.evaluation.forward import masked
from nsbench.evaluation.model_run import ModelRun
from nsbench.evaluation.options import Options
from nsbench.evaluation.plan import Passes, SuitePlan, crop_for
from nsbench.models.foreign import foreign_code
from nsbench.suites.attack import AttackSuite, epsilon_cell
from nsbench.util.device import AdaptiveBatchSize, sent
from nsbench.util.progress import Advance


class AttackPasses(Passes[AttackSuite]):
    """Attack each batch at all missing epsilons at once."""

    def forward_passes(self, run: ModelRun) -> float:
        """Forward passes that an attacked image is worth, counting a gradient as three.

        A backward pass takes about two forward passes, after its own. One gradient serves all
        epsilons of FGSM. PGD takes one a step; foolbox checks its result, and so do we.
        """
        steps = self.suite.steps
        # FGSM's gradient is shared by the missing epsilons; PGD makes its own for each.
        return 2.0 + 3 * steps if steps else 1 + 3 / max(1, len(run.missing))

    def run(
        self, plan: SuitePlan, runs: list[ModelRun], options: Options, advance: Advance
    ) -> None:
        """One model after the other, as an attack is made against one model."""
        suite, images = self.suite, plan.images
        for run in runs:
            epsilons = [e for e in suite.epsilons if epsilon_cell(e) in run.missing]
            # The true labels, as in foolbox's untargeted attacks, in the numbers of the outputs.
            labels = sent(torch.from_numpy(run.labels(images)[images.rows]), options.device)
            for batch in clean_batches(images.crops(crop_for(suite, run.model)), options):
                with (
                    frozen(run.model.module),
                    foreign_code(
                        f"{run.model.name} gives no gradients for {suite.name}",
                        "; leave the suite out, or remove what cuts them off",
                    ),
                ):
                    model = masked(run.model, run.columns)
                    ready = (model, batch.images, labels[batch.rows], epsilons, options)
                    curve = self.attacked(*ready, run.model.batches)
                for epsilon, logits in zip(epsilons, curve.unbind(1), strict=True):
                    run.add(epsilon_cell(epsilon), logits)
                    advance(len(batch.images))
            for epsilon in epsilons:
                run.finish(epsilon_cell(epsilon), images)

    def attacked(
        self,
        logits: Logits,
        images: torch.Tensor,
        labels: torch.Tensor,
        epsilons: list[float],
        options: Options,
        batches: AdaptiveBatchSize,
    ) -> torch.Tensor:
        """Logits (B, K, C) of uint8 images (B, 3, S, S) under K epsilons in units of 1/255."""
        suite, scaled = self.suite, [epsilon / 255 for epsilon in epsilons]

        def curve(rows: slice) -> torch.Tensor:
            # Float pixels in [0, 1], not rounded to bytes after the attack, and before the model's
            # normalisation.
            arguments = logits, images[rows] / 255, labels[rows], scaled
            with options.autocast():
                if suite.steps and suite.relative_step:
                    attacked = pgd_logits(*arguments, suite.steps, suite.relative_step)
                else:
                    attacked = fgsm_logits(*arguments)
                return torch.stack(list(attacked), 1)

        # No image's attack depends on the others, so that a batch may be cut as memory allows.
        with deterministic():
            return batches.in_parts(curve, len(images))

    def attacked_images(
        self,
        logits: Logits,
        images: torch.Tensor,
        labels: torch.Tensor,
        epsilon: float,
        options: Options,
    ) -> torch.Tensor:
        """The images (B, 3, S, S) in [0, 1] under one epsilon, of which `attacked` has the logits.

        Arguments as there.
        """
        suite = self.suite
        arguments = logits, images / 255, labels, [epsilon / 255]
        with deterministic(), options.autocast():
            if suite.steps and suite.relative_step:
                return next(pgd_images(*arguments, suite.steps, suite.relative_step))
            return next(fgsm_images(*arguments))
