"""The answers to attacked images."""

import torch

from nsbench.evaluation.fgsm import Logits, fgsm_logits, pgd_logits
from nsbench.evaluation.options import Options
from nsbench.suites.load import AttackSuite


def attacked(
    suite: AttackSuite,
    logits: Logits,
    images: torch.Tensor,
    labels: torch.Tensor,
    epsilons: list[float],
    options: Options,
) -> torch.Tensor:
    """Logits (B, K, C) of uint8 images (B, 3, S, S) under each of K epsilons in units of 1/255."""
    scaled = [epsilon / 255 for epsilon in epsilons]

    def curve(some: slice) -> torch.Tensor:
        arguments = logits, images[some] / 255, labels[some], scaled
        with options.autocast():
            if suite.steps and suite.relative_step:
                found = pgd_logits(*arguments, suite.steps, suite.relative_step)
            else:
                found = fgsm_logits(*arguments)
            return torch.stack(list(found), 1)

    return options.memory.in_parts(curve, len(images))
