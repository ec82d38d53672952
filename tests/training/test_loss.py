"""The combined loss against values worked by hand."""

import math

import pytest
import torch

from nsbench.pseudo_labels.targets import SparseTargets, dense
from nsbench.recipes.generation import Generation
from nsbench.training.loss import Loss, noisy_student_loss

# One labeled image with logits (0, ln 3): probabilities 1/4 and 3/4.
# Two unlabeled ones with logits (0, 0) and (ln 3, 0).
LOGITS = torch.tensor([[0.0, math.log(3)], [0.0, 0.0], [math.log(3), 0.0]])
LABELS = torch.tensor([1])
TARGETS = torch.tensor([[0.5, 0.5], [1.0, 0.0]])
LABELED = math.log(4 / 3)
UNLABELED = (math.log(2) + math.log(4 / 3)) / 2


def loss(weighting: str = "sum", smoothing: float = 0.0, hard: bool = False) -> Loss:
    return noisy_student_loss(
        LOGITS, LABELS, TARGETS, weighting=weighting, label_smoothing=smoothing, hard=hard
    )


@pytest.mark.parametrize(
    ("weighting", "expected"),
    [
        ("sum", LABELED + 2 * UNLABELED),
        ("mean", LABELED + UNLABELED),
        ("concat", (LABELED + math.log(2) + math.log(4 / 3)) / 3),
    ],
)
def test_weightings(weighting: str, expected: float) -> None:
    found = loss(weighting)
    assert found.total.item() == pytest.approx(expected, rel=1e-6)
    assert found.labeled.item() == pytest.approx(LABELED, rel=1e-6)
    assert found.unlabeled.item() == pytest.approx(UNLABELED, rel=1e-6)


def test_labels_are_smoothed_and_soft_targets_are_not() -> None:
    # smoothing 0.2 over two classes: 0.9 on the label and 0.1 on the other
    smoothed = 0.9 * math.log(4 / 3) + 0.1 * math.log(4)
    found = loss(smoothing=0.2)
    assert found.labeled.item() == pytest.approx(smoothed, rel=1e-6)
    assert found.unlabeled.item() == pytest.approx(UNLABELED, rel=1e-6)


def test_hard_targets_are_the_top_class_smoothed() -> None:
    # the tie of the first row goes to class 0
    first = math.log(2)
    second = 0.9 * math.log(4 / 3) + 0.1 * math.log(4)
    found = loss(smoothing=0.2, hard=True)
    assert found.unlabeled.item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_labeled_images_alone() -> None:
    found = noisy_student_loss(
        LOGITS[:1], LABELS, torch.empty(0, 0), weighting="sum", label_smoothing=0.0, hard=False
    )
    assert found.total.item() == pytest.approx(LABELED, rel=1e-6)
    assert math.isnan(found.unlabeled.item())


def test_distillation_softens_both_sides_and_keeps_the_size_of_gradients() -> None:
    student, teacher = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    store = SparseTargets(
        torch.arange(5).expand(4, 5), teacher.softmax(1), torch.zeros(4)
    )  # the whole distribution
    targets = dense(store, 5, temperature=3.0)
    torch.testing.assert_close(targets, (teacher / 3).softmax(1))
    logits = torch.cat([torch.zeros(2, 5), student]).requires_grad_()
    found = noisy_student_loss(
        logits, torch.tensor([0, 1]), targets,
        weighting="mean", label_smoothing=0.1, student_temperature=3.0,
    )  # fmt: skip
    soft = -((teacher / 3).softmax(1) * (student / 3).log_softmax(1)).sum(1).mean()
    assert abs(float(found.unlabeled) - 9 * float(soft)) < 1e-5
    # the gradient of T^2 CE is T (q - p), section 2.1 of Hinton et al.
    found.total.backward()
    assert logits.grad is not None
    expected = 3 * ((student / 3).softmax(1) - (teacher / 3).softmax(1)) / 4
    torch.testing.assert_close(logits.grad[2:], expected)


def test_by_default_a_students_gradient_is_of_the_size_of_its_teachers() -> None:
    """Where all images are alike, so that only the weighting can make it larger."""
    weighting = Generation(arch="x").loss
    logits = torch.tensor([[0.0, 1.0]])
    gradients: list[torch.Tensor] = []
    for copies in (1, 4):
        rows = logits.repeat(copies, 1).requires_grad_()
        targets = torch.tensor([[0.0, 1.0]]).repeat(copies - 1, 1)
        found = noisy_student_loss(rows, LABELS, targets, weighting=weighting, label_smoothing=0.0)
        gradients.append(torch.autograd.grad(found.total, rows)[0].sum(0))
    assert torch.allclose(gradients[0], gradients[1])
