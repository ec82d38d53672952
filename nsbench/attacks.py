"""The fast gradient sign method (Goodfellow et al. 2015): a whole curve from one gradient."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch.nn.functional import cross_entropy

Logits = Callable[[torch.Tensor], torch.Tensor]


def fgsm_images(
    logits: Logits, images: torch.Tensor, labels: torch.Tensor, epsilons: Sequence[float]
) -> Iterator[torch.Tensor]:
    """For each epsilon the attacked images, equal bit for bit to foolbox's clipped result.

    logits: a differentiable map of images to (B, C), in evaluation mode. images: float
    (B, 3, H, W) in [0, 1]. labels: int64 (B,). epsilons: in the unit of the images (8/255).
    The sign of the gradient does not depend on epsilon, so one backward pass serves them all.
    """
    sign = _clean_pass(logits, images, labels)[1]
    return (_move(images, sign, epsilon) for epsilon in epsilons)


def fgsm_logits(
    logits: Logits, images: torch.Tensor, labels: torch.Tensor, epsilons: Sequence[float]
) -> Iterator[torch.Tensor]:
    """For each epsilon the logits (B, C) of the attacked images. Arguments as for fgsm_images."""
    clean, sign = _clean_pass(logits, images, labels)
    for epsilon in epsilons:
        if epsilon == 0:
            yield clean
        else:
            with torch.inference_mode():
                yield logits(_move(images, sign, epsilon))


def _clean_pass(
    logits: Logits, images: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the clean images, and the sign of the loss's gradient by their pixels."""
    with torch.enable_grad():
        start = images.clone().requires_grad_()
        clean = logits(start)
        loss = cross_entropy(clean, labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, start)
    return clean.detach(), gradient.sign()


def _move(images: torch.Tensor, sign: torch.Tensor, epsilon: float) -> torch.Tensor:
    moved = (images + epsilon * sign).clamp(0, 1)
    # foolbox projects onto the ball once more, which changes the last bits
    return images + (moved - images).clamp(-epsilon, epsilon)
