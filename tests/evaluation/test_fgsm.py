"""The FGSM curve against foolbox, image by image and epsilon by epsilon."""

import os
import subprocess
import sys

import foolbox
import pytest
import torch

from nsbench.data.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from nsbench.data.transforms import normalize
from nsbench.evaluation.attack import AttackPasses
from nsbench.evaluation.fgsm import fgsm_images, fgsm_logits, frozen, pgd_logits
from nsbench.evaluation.options import make_options
from nsbench.models import build
from nsbench.suites.attack import AttackSuite
from nsbench.suites.load import load_suite
from nsbench.util.device import AdaptiveBatchSize

EPSILONS = [0.0, 0.5 / 255, 1 / 255, 2 / 255, 4 / 255, 8 / 255, 16 / 255, 64 / 255]


@pytest.fixture(scope="module", params=["resnet10t", "test_vit"])
def case(request: pytest.FixtureRequest) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    size = 64 if request.param == "resnet10t" else 160
    model = build(request.param, 7).eval()
    images = torch.randint(0, 256, (24, 3, size, size)) / 255
    with torch.inference_mode():
        guess = model(normalize(images, IMAGENET_MEAN, IMAGENET_STD)).argmax(1)
    labels = guess.clone()
    labels[:3] = (labels[:3] + 1) % 7  # some are wrong from the start
    return model, images, labels


def logits_of(model: torch.nn.Module):  # type: ignore[no-untyped-def]
    return lambda images: model(normalize(images, IMAGENET_MEAN, IMAGENET_STD))


def test_the_curve_equals_foolbox(
    case: tuple[torch.nn.Module, torch.Tensor, torch.Tensor],
) -> None:
    model, images, labels = case
    wrapped = foolbox.PyTorchModel(
        model,
        bounds=(0, 1),
        device="cpu",
        preprocessing={"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "axis": -3},
    )
    attack = foolbox.attacks.LinfFastGradientAttack()
    _, clipped, success = attack(wrapped, images, labels, epsilons=EPSILONS)
    ours = list(fgsm_images(logits_of(model), images, labels, EPSILONS))
    answers = list(fgsm_logits(logits_of(model), images, labels, EPSILONS))
    for k in range(len(EPSILONS)):
        assert torch.equal(ours[k], clipped[k])
        assert torch.equal(answers[k].argmax(1) != labels, success[k])
    assert 0 < success.sum() < success.numel()


def test_the_model_is_left_as_it_was(
    case: tuple[torch.nn.Module, torch.Tensor, torch.Tensor],
) -> None:
    model, images, labels = case
    model.zero_grad(set_to_none=True)
    list(fgsm_logits(logits_of(model), images, labels, EPSILONS))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_pixels_move_by_epsilon_and_stay_valid() -> None:
    weight = torch.tensor([[1.0, -1.0, 0.0]])
    images = torch.tensor([0.5, 0.5, 0.5]).view(1, 3, 1, 1)

    def logits(x: torch.Tensor) -> torch.Tensor:
        score = (x.flatten(1) * weight).sum(1, keepdim=True)
        return torch.cat([score, -score], 1)

    # the loss of class 0 grows as the score falls: down, up, and no way at all
    (moved,) = fgsm_images(logits, images, torch.tensor([0]), [0.25])
    assert moved.flatten().tolist() == [0.25, 0.75, 0.5]
    (far,) = fgsm_images(logits, images, torch.tensor([0]), [2.0])
    assert far.flatten().tolist() == [0.0, 1.0, 0.5]


def test_every_image_is_attacked_alone(
    case: tuple[torch.nn.Module, torch.Tensor, torch.Tensor],
) -> None:
    model, images, labels = case
    (whole,) = fgsm_images(logits_of(model), images, labels, [8 / 255])
    (part,) = fgsm_images(logits_of(model), images[:5], labels[:5], [8 / 255])
    assert (part == whole[:5]).float().mean() > 0.99  # a batch's size may change rounding


def test_pgd_is_foolboxs(case: tuple[torch.nn.Module, torch.Tensor, torch.Tensor]) -> None:
    model, images, labels = case
    images, labels = images[:8], labels[:8]
    wrapped = foolbox.PyTorchModel(
        model,
        bounds=(0, 1),
        device="cpu",
        preprocessing={"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "axis": -3},
    )
    attack = foolbox.attacks.LinfPGD(rel_stepsize=0.25, steps=5, random_start=False)
    epsilons = [0.0, 0.5 / 255, 64 / 255]
    _, moved, success = attack(wrapped, images, labels, epsilons=epsilons)
    found = list(pgd_logits(logits_of(model), images, labels, epsilons, 5, 0.25))
    for k, epsilon in enumerate(epsilons):
        assert (moved[k] - images).abs().max() <= epsilon + 1e-6
        with torch.inference_mode():
            assert torch.equal(found[k], logits_of(model)(moved[k]))
        assert torch.equal(found[k].argmax(1) != labels, success[k])
    again = list(pgd_logits(logits_of(model), images, labels, epsilons, 5, 0.25))
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))
    assert success[2].sum() > success[0].sum()


def test_foolbox_needs_no_git_on_the_machine() -> None:
    code = "from nsbench.evaluation.fgsm import load_foolbox; load_foolbox()"
    own = {key: value for key, value in os.environ.items() if not key.startswith("GIT_PYTHON")}
    command = [sys.executable, "-c", code]
    subprocess.run(command, env={**own, "PATH": ""}, check=True)


def test_attacks_leave_no_mode_behind(
    case: tuple[torch.nn.Module, torch.Tensor, torch.Tensor],
) -> None:
    model, images, labels = case
    one = fgsm_logits(model, images, labels, [0.0, 0.01, 0.02])
    other = pgd_logits(model, images, labels, [0.0, 0.01], 1, 0.5)
    for curve in (one, other, one, other, one):  # by turns, and neither to its end
        next(curve)
        assert not torch.is_inference_mode_enabled()


def test_frozen_parameters_take_no_gradients(
    case: tuple[torch.nn.Module, torch.Tensor, torch.Tensor],
) -> None:
    model, images, labels = case
    model.zero_grad(set_to_none=True)
    first = next(model.parameters()).requires_grad_(False)
    with frozen(model):
        list(pgd_logits(logits_of(model), images[:2], labels[:2], [8 / 255], 2, 0.5))
    assert all(parameter.grad is None for parameter in model.parameters())
    wanted = [parameter is not first for parameter in model.parameters()]
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
    first.requires_grad_(True)


@pytest.mark.parametrize("name", ["imagenet-fgsm", "imagenet-pgd"])
def test_attacks_in_parts_and_in_half_precision(
    name: str, case: tuple[torch.nn.Module, torch.Tensor, torch.Tensor]
) -> None:
    model, images, labels = case
    suite, images, labels = load_suite(name), (images[:6] * 255).byte(), labels[:6]
    assert isinstance(suite, AttackSuite)
    found = {}
    for precision, size in (("float32", 6), ("float32", 2), ("bfloat16", 6)):
        options = make_options(device="cpu", precision=precision)
        batches = AdaptiveBatchSize()
        batches.size = size
        with frozen(model):
            logits = AttackPasses(suite).attacked(
                logits_of(model), images, labels, suite.epsilons, options, batches
            )
        assert logits.shape == (6, len(suite.epsilons), 7)
        found[precision, size] = logits.float()
    whole, parts, half = found.values()
    assert torch.allclose(whole, parts, atol=1e-2, rtol=1e-2)  # rounding may turn a gradient's sign
    assert torch.isfinite(half).all()


@pytest.mark.parametrize("name", ["imagenet-fgsm", "imagenet-pgd"])
def test_strengths_are_255ths(name: str) -> None:
    """Of a linear model, whose logits tell how far pixels were moved."""
    suite = load_suite(name)
    assert isinstance(suite, AttackSuite)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16, 2))
    images, labels = torch.full((3, 3, 4, 4), 128, dtype=torch.uint8), torch.tensor([0, 1, 0])
    options, passes = make_options(device="cpu"), AttackPasses(suite)
    with frozen(model):
        moved = passes.attacked_images(model, images, labels, 8.0, options)
        logits = passes.attacked(model, images, labels, [8.0], options, AdaptiveBatchSize())
    distance = (moved - 128 / 255).abs()
    torch.testing.assert_close(distance, torch.full_like(distance, 8 / 255))
    torch.testing.assert_close(logits[:, 0], model(moved).detach())


def test_float16_does_not_spare_very_confident_images() -> None:
    """Their gradients, of 1e-8 and less, are 0 in float16, and with it the sign that moves them."""
    torch.manual_seed(0)
    head = torch.nn.Linear(3 * 64, 4)
    model = torch.nn.Sequential(torch.nn.Flatten(), head)
    images, labels = torch.rand(5, 3, 8, 8), torch.zeros(5, dtype=torch.int64)
    with torch.no_grad():
        head.bias.add_(torch.tensor([20.0, 0, 0, 0]))  # sure of the right class
    assert model(images).softmax(1)[:, 0].min() > 1 - 1e-6
    expected = next(iter(fgsm_images(model, images, labels, [8 / 255])))
    with torch.autocast("cpu", torch.float16):
        found = next(iter(fgsm_images(model, images, labels, [8 / 255])))
        clean, moved = fgsm_logits(model, images, labels, [0.0, 8 / 255])
    assert torch.equal(found, expected)
    assert clean.dtype == moved.dtype == torch.float16
