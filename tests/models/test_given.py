"""Modules of a program: used as they are, and given back as they were."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

import nsbench
from nsbench.models import Classifier, ModelOptions
from nsbench.models.given import lent, wrap_given
from nsbench.util.errors import NsbenchError

CPU = torch.device("cpu")
SMALL = ModelOptions(image_size=32)


class Net(nn.Module):
    def __init__(self, outputs: int = 10) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm, self.drop = nn.BatchNorm2d(3), nn.Dropout(0.5)
        self.head = nn.Linear(3, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.norm(images).mean((2, 3))))  # type: ignore[no-any-return]


def modes(module: nn.Module) -> list[bool]:
    return [part.training for part in module.modules()]


def test_a_module_is_given_back_in_the_modes_that_it_had() -> None:
    module = Net().train()
    module.norm.eval()
    before, weights = modes(module), {k: v.clone() for k, v in module.state_dict().items()}
    with lent([module], CPU) as (ours,):
        assert ours is module
        assert not any(modes(ours))
    assert modes(module) == before
    with pytest.raises(ZeroDivisionError), lent([module], CPU):
        1 / 0  # noqa: B018 - an evaluation that fails
    assert modes(module) == before
    assert all(torch.equal(weights[name], value) for name, value in module.state_dict().items())


def test_a_module_elsewhere_is_copied() -> None:
    module = Net().to("meta")
    sentence = "Net cannot be copied to cpu.*move it to cpu first"
    with pytest.raises(NsbenchError, match=sentence), lent([module], CPU):
        pass
    assert next(module.parameters()).device.type == "meta"


def test_its_preprocessing_is_what_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    usual = wrap_given(Net().eval(), CPU, ModelOptions())
    assert (usual.name, usual.preprocessing.image_size) == ("Net", 224)
    assert "Net does not say what input it wants: images of 224 px" in capsys.readouterr().err
    about = ModelOptions(image_size=32, mean=[0.1] * 3, std=[0.2] * 3, name="mine")
    told = wrap_given(Net().eval(), CPU, about)
    assert (told.name, told.preprocessing.mean) == ("mine", [0.1] * 3)
    assert told.preprocessing.crop_pct == 1.0  # 0.875 is what ImageNet's usual 224 px go with
    assert capsys.readouterr().err == ""
    module = timm.create_model("test_resnet", pretrained=False, num_classes=10).eval()
    of_timm = wrap_given(module, CPU, ModelOptions())
    assert of_timm.preprocessing.image_size == module.pretrained_cfg["input_size"][1]


def test_classes_are_a_list_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join("abcdefghij"))
    for classes in (list("abcdefghij"), tmp_path / "names.txt"):
        about = ModelOptions(image_size=32, classes=classes)
        assert wrap_given(Net().eval(), CPU, about).classes == tuple("abcdefghij")
    wrong = {"names 2 classes, but Net has 10": ["a", "b"], "the class 'a' twice": ["a"] * 10}
    for sentence, names in wrong.items():
        with pytest.raises(NsbenchError, match=f"the argument classes .*{sentence}"):
            wrap_given(Net().eval(), CPU, ModelOptions(image_size=32, classes=names))


def test_other_weights_and_other_code_are_another_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def hashed(module: nn.Module) -> str:
        return wrap_given(module.eval(), CPU, SMALL).weights_hash

    first, other = Net(), Net()
    assert hashed(first) == hashed(other)
    with torch.no_grad():
        other.head.bias.add_(1)
    assert hashed(first) != hashed(other)
    # As in a notebook: a class that lies in no file.
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    typed = [hashed(typed_net(text)) for text in ("x", "x", "2 * x", "scaled(x)")]
    assert typed[0] == typed[1]
    assert len(set(typed)) == 3
    assert hashed(typed_net("scaled(x)", "K = 3.0")) != typed[3]


def typed_net(text: str, before: str = "K = 2.0") -> nn.Module:
    code = f"{before}\ndef scaled(x): return K * x\n"
    code += f"class Typed(Net):\n    def forward(self, x): return super().forward({text})"
    names: dict[str, Any] = {"__name__": "__main__", "Net": Net}
    exec(code, names)
    module: nn.Module = names["Typed"]()
    return module


def test_a_compiled_module_is_the_same_model() -> None:
    module = Net().eval()
    compiled: Any = torch.compile(module, backend="eager")
    made = wrap_given(compiled, CPU, SMALL)
    assert (made.name, made.weights_hash) == ("Net", wrap_given(module, CPU, SMALL).weights_hash)


def test_a_classifier_can_be_called(tiny_run: Path) -> None:
    model = nsbench.load_model(tiny_run / "generation-0", "cpu")
    assert isinstance(model, Classifier)
    size = model.preprocessing.image_size
    logits = model(torch.rand(2, 3, size, size))
    assert logits.shape == (2, model.num_classes)
    assert not logits.requires_grad
    wants = torch.rand(1, 3, size, size, requires_grad=True)
    assert model(wants).requires_grad


def test_a_model_of_other_types_is_refused() -> None:
    model = nsbench.load_model("linear:digits", "cpu")
    with pytest.raises(TypeError, match="Classifier: the argument num_classes is 'ten', but must"):
        replace(model, num_classes="ten")  # type: ignore[arg-type]
