"""The combined cross-entropy on labeled and pseudo-labeled images."""

from typing import NamedTuple

import torch
from torch.nn.functional import cross_entropy


class Loss(NamedTuple):
    """Scalars: the loss that is minimised, and its two parts (nan for a part that is absent)."""

    total: torch.Tensor
    labeled: torch.Tensor
    unlabeled: torch.Tensor


def noisy_student_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    targets: torch.Tensor,
    *,
    weighting: str,
    label_smoothing: float,
    hard: bool = False,
    student_temperature: float = 1.0,
) -> Loss:
    """Cross-entropy of one batch: the first len(labels) rows are labeled, the rest pseudo-labeled.

    logits: float (B + U, C). labels: int64 (B,). targets: float (U, C), rows sum to 1.
    Labels are smoothed, soft targets never, hard ones as labels are (official code, main.py).
    With r = U / B, weighting `sum` is labeled + r * unlabeled (official code), `mean` is labeled +
    unlabeled (Algorithm 1 of Xie et al. 2020), `concat` is the mean over B + U rows (section 3.1).

    student_temperature T: the student's logits for soft targets are divided by T and their term is
    multiplied by T^2 (Hinton et al. 2015, section 2); the official code leaves them alone.
    """
    # The parts are detached as they leave here: they are for the log, and the total has the graph.
    labeled = cross_entropy(logits[: len(labels)], labels, label_smoothing=label_smoothing)
    if not len(targets):
        # nan and not 0, which would read as a perfect fit.
        return Loss(labeled, labeled.detach(), torch.full_like(labeled.detach(), torch.nan))
    pseudo = logits[len(labels) :]
    if hard:
        unlabeled = cross_entropy(pseudo, targets.argmax(1), label_smoothing=label_smoothing)
    else:
        unlabeled = student_temperature**2 * cross_entropy(pseudo / student_temperature, targets)
    # Means times U / B are sums over B: main.py divides both sums by the labeled batch.
    ratio = len(targets) / len(labels)
    total = {
        "sum": labeled + ratio * unlabeled,
        "mean": labeled + unlabeled,
        # (labeled + ratio * unlabeled) / (1 + ratio), in one launch
        "concat": torch.lerp(labeled, unlabeled, ratio / (1 + ratio)),
    }[weighting]
    return Loss(total, labeled.detach(), unlabeled.detach())
