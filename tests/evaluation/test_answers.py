"""Every batch of answers is checked, in every kind of suite: one sentence, and no table."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nsbench.evaluation.make_reference import make_reference
from nsbench.models import Classifier, load_model
from nsbench.predictions import read_cell
from nsbench.suites.base import Suite
from nsbench.suites.load import parse_suite
from nsbench.util.errors import NsbenchError
from tests.evaluating import evaluate

DIGITS = {"source": {"source": "digits", "split": "test"}, "images_per_class": 1}
ATTACK = {"kind": "attack", "epsilons": [0.0, 8.0], "headline": 8.0}
PGD = {"attack": "pgd", "steps": 2, "relative_step": 0.5, "random_start": False}
SIZED = {"image_size": 32}
KINDS: dict[str, dict[str, Any]] = {
    "accuracy": {"kind": "accuracy"},
    "detection": {"kind": "detection", "clean": DIGITS["source"]},
    "corruption": {"kind": "corruption", **SIZED, "corruptions": ["fog"], "severities": [1]},
    "perturbation": {"kind": "perturbation", **SIZED, "perturbations": ["translate"]},
    "fgsm": ATTACK,
    "pgd": {**ATTACK, **PGD},
}


class Spoiled(nn.Module):
    """A model whose answers are wrong from its second batch on."""

    def __init__(self, inner: nn.Module, spoil: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.inner, self.spoil, self.batches = inner, spoil, 0

    def forward(self, images: torch.Tensor) -> Any:
        self.batches += 1
        logits = self.inner(images)
        return self.spoil(logits) if self.batches > 1 else logits


def linear(spoil: Callable[[torch.Tensor], Any]) -> Classifier:
    model = load_model("linear:digits", "cpu")
    return replace(model, name="mine", module=Spoiled(model.module, spoil))


def suite(kind: str) -> Suite:
    return parse_suite({"name": kind, **DIGITS, **KINDS[kind]}, kind)


def one(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Another value in one place of the logits, of a class that is not the first one."""
    place = torch.zeros(10)
    place[7] = value
    return lambda logits: torch.cat([logits[:-1], logits[-1:] + place])


def raises(error: BaseException) -> Callable[[torch.Tensor], Any]:
    def spoil(_: torch.Tensor) -> Any:
        raise error

    return spoil


SPOILS: dict[str, tuple[Callable[[torch.Tensor], Any], str]] = {
    "more rows": (lambda x: x.repeat(2, 1), "shape (8, 10) for 4 images: it must return float"),
    "fewer rows": (lambda x: x[1:], "shape (3, 10) for 4 images: it must return float logits"),
    "no rows": (lambda x: x[:0], "shape (0, 10) for 4 images"),
    "columns": (lambda x: x[:, :9], "shape (4, 9) for 4 images: it must return float logits of"),
    "8 bits": (lambda x: x.to(torch.float8_e4m3fn), "float8_e4m3fn tensor of shape (4, 10)"),
    "sparse": (lambda x: x.to_sparse(), "mine returns a sparse tensor: make it a dense one"),
    "nested": (lambda x: torch.nested.nested_tensor(list(x)), "mine returns a nested tensor: make"),
    "None": (lambda x: None, "mine returns None: wrap it in a module"),
    "tuple": (lambda x: (x, x), "mine returns a tuple: wrap it in a module"),
    "list": (lambda x: [x], "mine returns a list: wrap it in a module"),
    "dict": (lambda x: {"logits": x}, "mine returns a dict: wrap it in a module"),
    "3 dimensions": (lambda x: x[..., None], "shape (4, 10, 1) for 4 images"),
    "integers": (lambda x: x.long(), "mine returns a torch.int64 tensor"),
    "device": (lambda x: x.to("meta"), "of shape (4, 10) on meta for 4 images: it must return"),
    "nan": (one(torch.nan), "mine gives outputs that are not finite in the cell"),
    "inf": (one(torch.inf), "mine gives outputs that are not finite in the cell"),
    "-inf": (one(-torch.inf), "mine gives outputs that are not finite in the cell"),
    "half": (lambda x: (1e6 * x).half(), "mine gives outputs that are not finite in the cell"),
    "error": (raises(KeyError("x")), "mine cannot take 4 images of 32 px: KeyError: 'x'"),
    "lines": (raises(RuntimeError("a\nb")), "mine cannot take 4 images of 32 px: RuntimeError: a"),
    "exit": (raises(SystemExit(0)), "mine cannot take 4 images of 32 px: SystemExit: 0"),
}


@pytest.mark.parametrize("spoiled", SPOILS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_wrong_answer_counts(
    kind: str, spoiled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spoil, sentence = SPOILS[spoiled]
    with pytest.raises(NsbenchError) as caught:
        evaluate([linear(spoil)], [suite(kind)], device="cpu", batch_size=4)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("suite.json"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_shortage_of_memory_halves_batches_of_any_kind(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(logits: torch.Tensor) -> torch.Tensor:
        if len(logits) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return logits

    monkeypatch.chdir(tmp_path)
    (folder,) = evaluate([linear(short)], [suite(kind)], device="cpu", batch_size=4)
    (whole,) = evaluate(["linear:digits"], [suite(kind)], device="cpu", batch_size=4)
    for cell in suite(kind).cells():
        assert (read_cell(folder, cell).top == read_cell(whole, cell).top).all()


def test_ctrl_c_stays_what_it_is() -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluate([linear(raises(KeyboardInterrupt()))], [suite("fgsm")], device="cpu", batch_size=4)


class Buffered(nn.Module):
    """A model that changes its input, and answers in the same tensor every time."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.kept = inner, torch.zeros(99, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images *= 1  # in place, as some normalise
        answer = self.kept[: len(images)].detach().copy_(self.inner(images))
        images.detach().zero_()
        return answer


@pytest.mark.parametrize("kind", ["accuracy", "fgsm", "perturbation"])
def test_one_buffer_for_all_answers_does_no_harm(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = load_model("linear:digits", "cpu")
    buffered = replace(plain, module=Buffered(plain.module), results=tmp_path / "buffered")
    folders = evaluate([plain, buffered], [suite(kind)], device="cpu", batch_size=4)
    for cell in suite(kind).cells():
        first, second = (read_cell(folder, cell) for folder in folders)
        assert (first.top == second.top).all()
        np.testing.assert_array_equal(first.confidence, second.confidence)


class Cut(nn.Module):
    """A model without gradients, or with some that are not finite."""

    def __init__(self, inner: nn.Module, broken: bool) -> None:
        super().__init__()
        self.inner, self.broken = inner, broken

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.inner(images.nan_to_num())
        # The root of 0 has an infinite slope, and 0 times that is nan.
        return logits + 0 * (images - images).sqrt().sum() if self.broken else logits.detach()


@pytest.mark.parametrize("kind", ["fgsm", "pgd"])
def test_gradients_are_checked_too(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = load_model("linear:digits", "cpu")
    for broken, sentence in [
        (False, f"mine gives no gradients for {kind}: RuntimeError: "),
        (True, "mine gives outputs that are not finite in the cell eps=8"),
    ]:
        model = replace(plain, name="mine", module=Cut(plain.module, broken))
        with pytest.raises(NsbenchError) as caught:
            evaluate([model], [suite(kind)], device="cpu", batch_size=4)
        assert sentence in str(caught.value)


def test_a_missing_foolbox_is_not_the_models_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "foolbox", None)
    with pytest.raises(NsbenchError, match=r"^foolbox cannot be imported .*: run pip install"):
        evaluate(["linear:digits"], [suite("pgd")], device="cpu")


def test_a_model_in_training_mode_is_put_into_evaluation_mode() -> None:
    plain = load_model("linear:digits", "cpu")
    module = nn.Sequential(plain.module, nn.Dropout(0.5)).train()
    evaluate([replace(plain, module=module)], [suite("accuracy")], device="cpu")
    assert not module.training


def test_no_reference_of_wrong_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "class Mine(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return x.flatten(1)[:, :10].repeat(1 + (len(x) > 2), 1)\n"
    )
    (tmp_path / "s.toml").write_text(
        'kind = "corruption"\nsource = { source = "small.npy", label_space = "indices" }\n'
        'images_per_class = 1\nimage_size = 32\ncorruptions = ["fog"]\n'
    )
    np.save("small.npy", np.zeros((10, 32, 32, 3), np.uint8))
    np.save("labels.npy", np.arange(10))
    with pytest.raises(NsbenchError, match=r"shape \(20, 10\) for 10 images"):
        make_reference(["s.toml"], "python:mine:Mine", tmp_path / "out.json", device="cpu")
    assert not (tmp_path / "out.json").exists()
