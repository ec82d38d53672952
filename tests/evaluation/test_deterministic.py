"""Attacks take the algorithms that give the same result each time, and leave no setting behind."""

import os
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from nsbench.evaluation import deterministic as module
from nsbench.evaluation import options as evaluation_options
from nsbench.evaluation.attack import AttackPasses
from nsbench.evaluation.options import Options, make_options
from nsbench.suites.load import parse_suite
from nsbench.util.device import AdaptiveBatchSize

IMAGES = torch.full((2, 3, 8, 8), 100, dtype=torch.uint8)
LABELS = torch.zeros(2, dtype=torch.int64)
MEMORY: Any = torch.utils.deterministic
CUDNN = torch.backends.cudnn


def settings() -> tuple[bool, ...]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        MEMORY.fill_uninitialized_memory,
        CUDNN.deterministic,
        CUDNN.benchmark,
    )


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)
    MEMORY.fill_uninitialized_memory = True
    CUDNN.deterministic = CUDNN.benchmark = False
    module._say.cache_clear()


def attack(logits: Any, **pgd: Any) -> torch.Tensor:
    text = {
        "kind": "attack",
        "name": "a",
        "source": "digits",
        "epsilons": [8.0],
        "headline": 8.0,
        **pgd,
    }
    suite: Any = parse_suite(text, "a")
    about = (Options(torch.device("cpu")), AdaptiveBatchSize())
    made = AttackPasses(suite).attacked(logits, IMAGES, LABELS, [8.0], *about)
    return made


@pytest.mark.parametrize(
    "pgd", [{}, {"attack": "pgd", "steps": 2, "relative_step": 0.5, "random_start": False}]
)
@pytest.mark.parametrize("user", [False, True])
def test_settings_are_those_of_the_user_again(pgd: dict[str, Any], user: bool) -> None:
    CUDNN.deterministic, CUDNN.benchmark = not user, user
    torch.use_deterministic_algorithms(user)
    MEMORY.fill_uninitialized_memory = user
    before, during = settings(), set()

    def logits(images: torch.Tensor) -> torch.Tensor:
        during.add(settings())
        return images.mean((2, 3))

    attack(logits, **pgd)
    assert during == {(True, True, False, True, False)}
    assert settings() == before

    def fails(images: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attack(fails, **pgd)
    assert settings() == before


def test_an_operation_without_such_an_algorithm_is_named_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    places = torch.arange(4).view(1, 1, 2, 2).expand(2, 3, 2, 2)

    def logits(images: torch.Tensor) -> torch.Tensor:
        warnings.warn("one of the model's own", stacklevel=1)
        torch.nn.functional.max_unpool2d(images[:, :, :2, :2], places, [2, 2])
        return images.mean((2, 3))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        attack(logits)
    assert {str(warning.message) for warning in caught} == {"one of the model's own"}
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*deterministic")
        attack(logits)
    said = capfd.readouterr().err
    assert said.count("attacks may differ a little from run to run") == 1
    assert "torch has no deterministic max_unpooling2d" in said
    assert len(said.splitlines()) == 1


def test_matrices_on_gpus_are_prepared_before_the_first_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(module.WORKSPACE, raising=False)
    make_options(device="cpu")
    assert module.WORKSPACE not in os.environ
    monkeypatch.setattr(evaluation_options, "resolve_device", lambda _: torch.device("cuda", 0))
    make_options(device="cuda")
    assert os.environ[module.WORKSPACE] == ":4096:8"
    monkeypatch.setenv(module.WORKSPACE, ":16:8")  # the user's own choice
    make_options(device="cuda")
    assert os.environ[module.WORKSPACE] == ":16:8"
