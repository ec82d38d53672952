"""Models from the user's own functions."""

import sys
import warnings
from pathlib import Path

import pytest
import timm
import torch

from nsbench.models import ModelOptions, load_model, load_models
from nsbench.util.errors import NsbenchError

CODE = """
import timm, torch
from torch import nn

class Mine(nn.Module):
    def __init__(self, side=32):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.linear = nn.Linear(4 * side * side, 5)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        return self.dropout(self.linear(self.conv(x).view(len(x), -1)))

class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(3, 3)
        self.b = nn.Linear(3, 3)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(self.a(x.mean((2, 3))))

class Answers(nn.Module):
    def __init__(self, answer, repeated=False):
        super().__init__()
        self.answer, self.repeated = answer, repeated

    def forward(self, x):
        return self.answer.expand(len(x), -1) if self.repeated else self.answer

def make():
    torch.manual_seed(0)
    return Mine()

def of_timm():
    torch.manual_seed(0)
    return timm.create_model("test_resnet.r160_in1k")

def classifier():
    from nsbench.models import load_model
    return load_model("linear:digits", "cpu")

class Noisy(Answers):
    def forward(self, x):
        return nn.functional.dropout(x.mean((2, 3)), 0.5, training=True)

class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = [nn.BatchNorm2d(3)]  # not a module to torch, which .eval() does not reach

    def forward(self, x):
        return self.parts[0](x).mean((2, 3))

class Left(nn.Module):
    def forward(self, x):
        raise SystemExit(0)

class Stuck(nn.Module):
    def eval(self):
        raise SystemExit(0)

def noisy(): return Noisy(None)
def nan(): return Answers(torch.full((1, 2), torch.nan), True)
def inf(): return Answers(torch.tensor([[0.0, torch.inf]]), True)
def nothing(): return Answers(None)
def no_classes(): return Answers(torch.zeros(1, 0), True)
tied = Tied
def wrong(): return "resnet50"
def fails(): raise RuntimeError("no weights here\\nsecond line")
def leaves(): raise SystemExit(3)
def a_dict(): return Answers({"logits": 1})
def integers(): return Answers(torch.zeros(1, 3, dtype=torch.int64))
def pixels(): return Answers(torch.zeros(1, 3, 4, 4))
def softmax(): return Answers(torch.tensor([[0.25, 0.75]]), True)
number = 3
"""
SMALL = ModelOptions(image_size=32)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the present folder, of a name of its own in every test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    name = f"mine_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(CODE)
    return f"python:{name}"


def test_a_function_makes_the_model(mine: str) -> None:
    model = load_model(f"{mine}:make", "cpu", SMALL)
    assert (model.num_classes, model.classes, model.module.training) == (5, None, False)
    assert (model.preprocessing.image_size, model.preprocessing.crop_pct) == (32, 0.875)
    assert model.preprocessing.interpolation == "bicubic"
    assert model.name == f"{mine}:make"
    images = torch.rand(2, 3, 32, 32)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    with torch.inference_mode():
        assert torch.allclose(model.logits(images), model.module((images - mean) / std))


def test_changed_code_is_another_model(mine: str, tmp_path: Path) -> None:
    before = load_model(f"{mine}:make", "cpu", SMALL)
    assert load_model(f"{mine}:make", "cpu", SMALL).results == before.results
    path = tmp_path / f"{mine.removeprefix('python:')}.py"
    path.write_text(CODE.replace("padding=1", "padding=1, padding_mode='reflect'"))
    assert load_model(f"{mine}:make", "cpu", SMALL).results == before.results  # still the old one
    del sys.modules[mine.removeprefix("python:")]
    after = load_model(f"{mine}:make", "cpu", SMALL)
    assert after.weights_hash != before.weights_hash
    assert after.results != before.results


def test_a_module_of_timm_keeps_its_preprocessing(mine: str) -> None:
    model = load_model(f"{mine}:of_timm", "cpu")
    assert model.preprocessing.image_size == 160
    assert model.preprocessing.interpolation == "bilinear"
    assert model.classes is not None
    torch.manual_seed(0)
    module = timm.create_model("test_resnet").eval()
    images = torch.rand(2, 3, 160, 160)
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in (model.preprocessing.mean, model.preprocessing.std)
    )
    with torch.inference_mode():
        assert torch.allclose(model.logits(images), module((images - mean) / std), atol=1e-5)


def test_a_classifier_stays_what_it_is(mine: str, tmp_path: Path) -> None:
    model = load_model(f"{mine}:classifier", "cpu")
    assert model.name == "linear:digits"
    assert model.classes == tuple("0123456789")
    (tmp_path / "names.txt").write_text("\n".join("abcdefghij"))
    named = load_model(f"{mine}:classifier", "cpu", ModelOptions(classes=tmp_path / "names.txt"))
    assert named.classes == tuple("abcdefghij")


def test_tied_weights_have_a_hash(mine: str) -> None:
    assert load_model(f"{mine}:tied", "cpu").num_classes == 3


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (":mak", "has no function 'mak'; did you mean 'make'?"),
        (":number", "has no function 'number'"),
        (":wrong", ":wrong returns a str, not a torch.nn.Module"),
        (":fails", ":fails raises RuntimeError: no weights here"),
        (":leaves", ":leaves raises SystemExit: 3"),
        (":a_dict", ":a_dict returns a dict: wrap it"),
        (":integers", "a torch.int64 tensor of shape (1, 3) for one image: it must return float"),
        (":pixels", "returns a torch.float32 tensor of shape (1, 3, 4, 4) for one image"),
        (":make", ":make cannot take an image of 224 px: "),
        (":noisy", ":noisy gives an image other logits when another one is beside it: put all of"),
        (":Hidden", ":Hidden gives an image other logits when another one is beside it: put all"),
        (":Left", ":Left cannot take an image of 224 px: SystemExit: 0"),
        (":Stuck", "Stuck cannot be used: SystemExit: 0"),
        (":nan", ":nan gives a black image outputs that are not finite: check its weights"),
        (":inf", ":inf gives a black image outputs that are not finite: check its weights"),
        (":nothing", ":nothing returns None: wrap it"),
        (":no_classes", "a torch.float32 tensor of shape (1, 0) for one image"),
        ("", "must be python:MODULE:FUNCTION"),
        (".inner:make", "there is no Python module mine_"),
    ],
)
def test_functions_that_make_no_model(function: str, sentence: str, mine: str) -> None:
    with pytest.raises(NsbenchError) as caught:
        load_model(mine + function, "cpu")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import surely_not_installed", "raises ModuleNotFoundError: No module named 'surely"),
        ("raise ValueError('bad day')", "raises ValueError: bad day"),
        ("def broken(:", "raises SyntaxError: "),
    ],
)
def test_modules_that_cannot_be_imported(
    code: str, sentence: str, mine: str, tmp_path: Path
) -> None:
    (tmp_path / "broken_one.py").write_text(code)
    with pytest.raises(NsbenchError) as caught:
        load_model("python:broken_one:make", "cpu")
    assert f"the import of broken_one {sentence}" in str(caught.value)


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(NsbenchError, match="there is no Python module surely_not here or among"):
        load_model("python:surely_not.there:make", "cpu")


def test_probabilities_are_told(mine: str) -> None:
    with pytest.warns(UserWarning, match="probabilities, not logits"):
        load_model(f"{mine}:softmax", "cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_model(f"{mine}:make", "cpu", SMALL)


def test_models_of_different_sizes_load_together(mine: str) -> None:
    found = load_models([f"{mine}:of_timm", f"{mine}:tied"], torch.device("cpu"))
    assert [model.preprocessing.image_size for model in found] == [160, 224]
