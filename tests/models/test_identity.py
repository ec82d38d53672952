"""A model of the user's own code is another one as soon as anything that it is made of changes."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from nsbench.models import ModelOptions, load_model

FILES = {
    "home.py": """
import importlib
import numpy as np
import torch
from torch import nn
from helper import SCALE
from package.deep import shift
import elsewhere

W = torch.ones(3)
TABLE = {"bias": np.zeros(3)}

class Mine(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        nn.init.ones_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("hidden", torch.zeros(3), persistent=False)
        self.plain = np.load("plain.npy")
        self.temperature = 1.0
        self.parts = [nn.BatchNorm1d(3).eval()]

    def forward(self, x):
        from late import later
        x = self.parts[0](later(self.linear(shift(x.mean((2, 3)) * SCALE))))
        return x * W + self.hidden + torch.from_numpy(self.plain).float()

def make():
    importlib.import_module("dynamic")
    import late
    return Mine()
""",
    "helper.py": "SCALE = 2.0\n",
    "package/__init__.py": "from package import sibling\n",
    "package/deep.py": "from .sibling import shift\n",
    "package/sibling.py": "def shift(x): return x + 1\n",
    "late.py": "def later(x): return x\n",
    "dynamic.py": "ON = True\n",
    "lib/elsewhere.py": "import nested\n",
    "lib/nested.py": "A = 1\n",
    "unrelated.py": "A = 1\n",
}


NAMES = {
    Path(name).parts[-1 if name.startswith("lib") else 0].removesuffix(".py") for name in FILES
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    np.save(tmp_path / "plain.npy", np.zeros(3))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path), str(tmp_path / "lib"), *sys.path])
    # Files that change within a second would be taken from the cache of Python's bytecode.
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    yield tmp_path
    forget()


def forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in NAMES]:
        del sys.modules[name]
    importlib.invalidate_caches()


def loaded() -> str:
    """The hash as a process finds it that has imported nothing before."""
    forget()
    return load_model("python:home:make", "cpu", ModelOptions(image_size=8)).weights_hash


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("helper.py", "2.0", "3.0"),
        ("package/__init__.py", "import", "import  "),
        ("package/deep.py", "import", "import  "),
        ("package/sibling.py", "x + 1", "x + 2"),
        ("late.py", "return x", "return -x"),
        ("dynamic.py", "True", "False"),
        ("lib/elsewhere.py", "nested", "nested  # changed"),
        ("lib/nested.py", "1", "2"),
        ("home.py", "torch.ones(3)", "torch.zeros(3)"),
    ],
)
def test_every_source_that_it_leads_to_counts(name: str, old: str, new: str, home: Path) -> None:
    before = loaded()
    (home / name).write_text(FILES[name].replace(old, new))
    assert loaded() != before
    (home / name).write_text(FILES[name])
    assert loaded() == before


def test_what_it_does_not_lead_to_does_not_count(home: Path) -> None:
    before = loaded()
    (home / "unrelated.py").write_text("A = 2\n")
    assert loaded() == before
    forget()
    importlib.import_module("unrelated")  # for another model of the same command
    assert load_model("python:home:make", "cpu", ModelOptions(image_size=8)).weights_hash == before


@pytest.mark.parametrize(
    "spoil",
    [
        "made.plain[0] = 2",  # an array that was read from a file
        "made.hidden[0] = 2",  # a buffer that no state dict has
        "made.temperature = 2.0",
        "made.parts[0].bias.data[0] = 2",  # a module in a plain list
        "made.names = ['a', {'b': 1}]",
        "made.linear.weight.data[0, 0] = 2",
        "made.itself = [made, (made,)]; made.itself.append(made.itself)",
        "home.W[0] = 2",
        "home.TABLE['bias'][0] = 2",
        "home.helper.ARRAY = np.ones(2)",
    ],
)
def test_data_that_files_hold_count(
    spoil: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = loaded()
    module = importlib.import_module("home")
    module.helper = importlib.import_module("helper")  # type: ignore[attr-defined]
    make = module.make

    def changed() -> object:
        made = make()
        exec(spoil, {"made": made, "home": module, "np": np})
        return made

    monkeypatch.setattr(module, "make", changed)
    after = load_model("python:home:make", "cpu", ModelOptions(image_size=8)).weights_hash
    assert after != before


def test_code_in_a_torchscript_file_counts(home: Path) -> None:
    (home / "home.py").write_text("import torch\ndef make(): return torch.jit.load('m.ts')\n")
    hashes = set()
    for scale in (1, 2):

        class Scaled(torch.nn.Module):
            factor: int

            def __init__(self, factor: int) -> None:
                super().__init__()
                self.factor = factor

            def forward(self, images: torch.Tensor) -> torch.Tensor:
                return images.mean((2, 3)) * self.factor

        torch.jit.trace(Scaled(scale), torch.ones(1, 3, 8, 8)).save("m.ts")
        hashes.add(loaded())
    assert len(hashes) == 2
