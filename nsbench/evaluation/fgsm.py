"""The fast gradient sign method (Goodfellow et al. 2015): a whole curve from one gradient.

Projected gradient descent (Madry et al. 2018) too, by foolbox.
"""

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from nsbench.util.errors import NsbenchError, first_line

Logits = Callable[[torch.Tensor], torch.Tensor]


def fgsm_images(
    logits: Logits, images: torch.Tensor, labels: torch.Tensor, epsilons: Sequence[float]
) -> Iterator[torch.Tensor]:
    """For each epsilon the attacked images, equal bit for bit to foolbox's clipped result.

    logits: a differentiable map of images to (B, C), in evaluation mode. images: float
    (B, 3, H, W) in [0, 1]. labels: int64 (B,). epsilons: in the unit of the images (8/255).
    The sign of the gradient does not depend on epsilon, so one backward pass serves them all.
    """
    _, sign = _clean_pass(logits, images, labels)
    return (_move(images, sign, epsilon) for epsilon in epsilons)


def fgsm_logits(
    logits: Logits, images: torch.Tensor, labels: torch.Tensor, epsilons: Sequence[float]
) -> Iterator[torch.Tensor]:
    """For each epsilon the logits (B, C) of the attacked images, nan for a broken gradient.

    Arguments as for fgsm_images.
    """
    clean, sign = _clean_pass(logits, images, labels)
    for epsilon in epsilons:
        # The pass that gave the gradient has these logits already, unless it was of another type.
        known = epsilon == 0 and not _is_half(images.device)
        yield clean if known else _attacked(logits, images, sign, epsilon)


def _attacked(
    logits: Logits, images: torch.Tensor, sign: torch.Tensor, epsilon: float
) -> torch.Tensor:
    # In a function, as the mode would last from a `yield` until the caller goes on.
    with torch.inference_mode():
        moved = _move(images, sign, epsilon)
        return _of_finite(moved, logits(moved))


def _clean_pass(
    logits: Logits, images: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of the clean images, and the sign of the loss's gradient by their pixels, or nan."""
    # Gradients also where the caller has switched them off.
    with torch.enable_grad(), _with_range(images.device):
        start = images.clone().requires_grad_()
        clean = logits(start)
        # The sum, as in foolbox: an image's gradient does not depend on how many others there are.
        loss = cross_entropy(clean, labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, start)
    # torch gives nan the sign 0, by which a broken gradient would pass for a model that withstands.
    return clean.detach(), torch.where(gradient.isfinite(), gradient.sign(), torch.nan)


def _is_half(device: torch.device) -> bool:
    """Whether autocast computes in float16 on a device."""
    kind = device.type
    return torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16


def _with_range(device: torch.device) -> AbstractContextManager[object]:
    """A context for gradients: in float32 where autocast would take float16.

    float16 ends at 6e-8: below it the gradients of very confident images are 0, and so is their
    sign. Training scales its loss; here the images of a batch would need a scale each.
    """
    return torch.autocast(device.type, enabled=False) if _is_half(device) else nullcontext()


def _move(images: torch.Tensor, sign: torch.Tensor, epsilon: float) -> torch.Tensor:
    moved = (images + epsilon * sign).clamp(0, 1)
    # Projected onto the ball once more, as foolbox does: it changes the last bits.
    return images + (moved - images).clamp(-epsilon, epsilon)


def _of_finite(images: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The logits (B, C), nan for images that a gradient which is not finite has moved."""
    # A model may give such images a finite answer. Marked, and checked later with all others: a
    # look at the values would wait for the device.
    finite = images.isfinite().flatten(1).all(1, keepdim=True)
    return torch.where(finite, logits, torch.nan)


def pgd_images(
    logits: Logits,
    images: torch.Tensor,
    labels: torch.Tensor,
    epsilons: Sequence[float],
    steps: int,
    relative_step: float,
) -> Iterator[torch.Tensor]:
    """For each epsilon the images that foolbox's LinfPGD attacked, nan for a broken gradient.

    steps: how many gradients are taken. relative_step: how far a step moves a pixel, as a share of
    epsilon. PGD starts at the image itself, so that nothing is random. The other arguments are as
    for fgsm_images.
    Gradients reach parameters too, unless they are `frozen`. Raises NsbenchError without foolbox.
    """
    foolbox = load_foolbox()

    attack = foolbox.attacks.LinfPGD(rel_stepsize=relative_step, steps=steps, random_start=False)
    module = _Module(logits).eval()
    model = foolbox.PyTorchModel(module, bounds=(0, 1), device=images.device)
    for epsilon in epsilons:
        # An epsilon of 0 leaves the image as it is, which needs no gradients.
        moved = images
        if epsilon > 0:
            with torch.enable_grad(), _with_range(images.device):
                # The second value: the images within epsilon, whether or not the attack succeeded.
                _, moved, _ = attack(model, images, labels, epsilons=epsilon)
            moved = torch.where(module.finite(images), moved, torch.nan)
        yield moved


def pgd_logits(
    logits: Logits,
    images: torch.Tensor,
    labels: torch.Tensor,
    epsilons: Sequence[float],
    steps: int,
    relative_step: float,
) -> Iterator[torch.Tensor]:
    """For each epsilon the logits (B, C) of the images that foolbox's LinfPGD attacked, as above.

    Arguments as for pgd_images.
    """
    for moved in pgd_images(logits, images, labels, epsilons, steps, relative_step):
        with torch.inference_mode():
            answers = _of_finite(moved, logits(moved))
        yield answers


def load_foolbox() -> Any:
    """The package foolbox. Raises NsbenchError if it, or what it imports, is missing.

    It is imported only here: it takes a second, and most suites do without.
    """
    # It imports GitPython, to download models, which by default refuses machines without git.
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    try:
        return importlib.import_module("foolbox")
    except ImportError as error:
        raise NsbenchError(
            f"foolbox cannot be imported ({first_line(error)}): run pip install foolbox"
        ) from error


@contextmanager
def frozen(module: torch.nn.Module) -> Iterator[None]:
    """A context in which parameters take no gradients, which an attack has no use for."""
    # Only those that took gradients get them back.
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


class _Module(torch.nn.Module):
    """A function of images as a module, which foolbox's PyTorchModel insists on.

    It remembers which images had gradients that are not finite, whose sign foolbox would use.
    """

    def __init__(self, logits: Logits) -> None:
        super().__init__()
        self._logits = logits
        self._finite: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if images.requires_grad:
            images.register_hook(
                lambda gradient: self._finite.append(gradient.isfinite().flatten(1).all(1))
            )
        return self._logits(images)

    def finite(self, images: torch.Tensor) -> torch.Tensor:
        """Whether all gradients so far were finite, for each image, (B, 1, 1, 1)."""
        found = [images.new_ones(len(images), dtype=torch.bool), *self._finite]
        return torch.stack(found).all(0)[:, None, None, None]
