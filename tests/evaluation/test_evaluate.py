"""`nsbench.evaluate` as a program uses it: modules and images in, numbers out."""

import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import nsbench
from nsbench.data import catalog
from nsbench.run_folder import RESULTS
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.models.test_given import Net, modes

torch.manual_seed(0)
IMAGES, LABELS = torch.rand(30, 3, 32, 32), torch.arange(30) % 10
INPUT: dict[str, Any] = {"device": "cpu", "image_size": 32, "mean": [0.5] * 3, "std": [0.25] * 3}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def by_hand(module: nn.Module, images: torch.Tensor = IMAGES) -> float:
    """Top-1 in percent, in plain torch."""
    module.eval()
    with torch.no_grad():
        pixels = (images * 255).round() / 255
        return float(100 * (module((pixels - 0.5) / 0.25).argmax(1) == LABELS).float().mean())


def test_a_module_and_tensors_give_the_number_of_plain_torch() -> None:
    module = Net().train()
    found = nsbench.evaluate(module, (IMAGES, LABELS), **INPUT)
    assert all(modes(module))
    assert found["images"]["top1"].value == pytest.approx(by_hand(module), abs=1e-4)
    assert found.models == ["Net"]
    again = nsbench.evaluate(module, TensorDataset(IMAGES, LABELS), name="mine", **INPUT)
    assert again["mine"]["tensordataset"]["top1"].value == found["images"]["top1"].value


def test_one_or_several_of_everything(tiny_run: Path, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "few.toml", 'kind = "accuracy"\nsource = "digits"\n')
    one = nsbench.evaluate(str(tiny_run / "generation-0"), str(suite), device="cpu", limit=20)
    assert (len(one), one.suites) == (1, ["few"])
    loaded = nsbench.load_model(tiny_run / "generation-0", "cpu")
    several = nsbench.evaluate(
        [tiny_run / "generation-1", loaded, Net()],
        [suite, nsbench.load_suite("digits"), (IMAGES, LABELS)],
        device="cpu",
        limit=20,
        image_size=32,
    )
    assert len(several) == 9
    assert several.suites == ["few", "digits", "images"]
    assert several[0].suite.name == several[2].suite.name == "few"


def test_suites_of_every_kind_are_made_of_images() -> None:
    data, module = (IMAGES, LABELS), Net()
    few: dict[str, Any] = {"jpeg_quality": 0, "severities": [1], "corruptions": ["fog", "contrast"]}
    suites = [
        nsbench.suite_of("corruption", data, **few),
        nsbench.suite_of("perturbation", data, perturbations=["brightness"]),
        nsbench.suite_of("attack", data, epsilons=[0.0, 2.0], headline=2.0),
        nsbench.suite_of("accuracy", data, name="mine", images_per_class=2),
    ]
    found = nsbench.evaluate(module, suites, **INPUT)
    assert found.suites == ["corruption", "perturbation", "attack", "mine"]
    wrong = 100 - found["attack"]["fgsm_0"].value
    assert wrong == pytest.approx(100 - by_hand(module), abs=1e-4)
    assert len(found["mine"]["top1"].ids) == 20
    foggy = nsbench.corruptions.corrupt(
        (IMAGES * 255).round().byte(), "fog", 1, ids=[f"{n:08d}" for n in range(30)], seed=0
    )
    expected = 100 - by_hand(module, foggy.float() / 255)
    assert found["corruption"][0].tables["error"]["fog"] == [pytest.approx(expected, abs=1e-4)]


def test_nothing_is_done_twice_and_another_module_is_done(
    capsys: pytest.CaptureFixture[str],
) -> None:
    nsbench.evaluate(Net(), (IMAGES, LABELS), **INPUT)
    capsys.readouterr()
    nsbench.evaluate(Net(), (IMAGES, LABELS), **INPUT)
    assert "nothing left to do" in capsys.readouterr().err
    other = Net()
    with torch.no_grad():
        other.head.weight.neg_()
    nsbench.evaluate(other, (IMAGES, LABELS), **INPUT)
    nsbench.evaluate(Net(), (IMAGES.flip(0), LABELS), **INPUT)
    assert "nothing left to do" not in capsys.readouterr().err


def test_the_program_is_left_as_it_was(
    tmp_path: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.set_roots(None)
    module = Net().train().to(memory_format=torch.channels_last)
    strides = [p.stride() for p in module.parameters()]
    roots, filters = catalog.roots(), list(warnings.filters)
    loaded = nsbench.load_model(tiny_run / "generation-0", "cpu")
    inside = loaded.module
    before = [p.stride() for p in inside.parameters()]
    nsbench.evaluate(
        [module, loaded], (IMAGES, LABELS), data=tmp_path, channels_last=False, **INPUT
    )
    assert all(modes(module))
    assert [p.stride() for p in module.parameters()] == strides
    assert loaded.module is inside
    assert loaded.channels_last
    assert [p.stride() for p in inside.parameters()] == before
    assert catalog.roots() == roots
    assert warnings.filters == filters
    assert RESULTS.is_dir()
    monkeypatch.setenv("NSBENCH_DATA", str(tmp_path / "later"))  # which still counts
    assert catalog.roots() == [tmp_path / "later"]


def test_memory_that_is_short_for_one_model_is_not_short_for_the_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[int] = []

    class Greedy(Net):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) > 7:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
            return super().forward(images)

    class Counting(Net):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(len(images))
            return super().forward(images)

    found = nsbench.evaluate([Greedy(), Counting()], (IMAGES, LABELS), **INPUT)
    assert "going on with 7 images at once" in capsys.readouterr().err
    assert max(seen) == 30
    values = [score.metrics["top1"].value for score in found]
    assert values[0] == values[1]


def test_data_sets_of_one_class_get_names_of_their_own() -> None:
    pair = [TensorDataset(IMAGES, LABELS), TensorDataset(IMAGES.flip(3), LABELS)]
    assert nsbench.evaluate(Net(), pair, **INPUT).suites == ["tensordataset", "tensordataset-2"]


WRONG: dict[str, dict[str, Any]] = {
    "the argument batch_size is '8', but must be int": {"batch_size": "8"},
    "the argument quick is 'no', but must be bool": {"quick": "no"},
    "the argument device is 3, but must be str or device or None": {"device": 3},
    r"the argument models is \[3\], but must be str or Path or Module": {"models": [3]},
    "the argument models is None, but must be str or Path or Module": {"models": None},
    "suites has an int": {"suites": 3},
    "suites has None": {"suites": [None]},
}


@pytest.mark.parametrize("sentence", WRONG)
def test_a_wrong_type_names_the_argument(sentence: str) -> None:
    arguments: dict[str, Any] = {"models": Net(), "suites": "digits", **INPUT, **WRONG[sentence]}
    with pytest.raises(TypeError, match=sentence):
        nsbench.evaluate(**arguments)


BAD: dict[str, dict[str, Any]] = {
    "batch_size is 0, but must be at least 1": {"batch_size": 0},
    "limit is -1, but must be at least 1": {"limit": -1},
    "there is no suite digit; did you mean 'digits'": {"suites": "digit"},
    "there is no model nowhere": {"models": "nowhere"},
    "models are none": {"models": []},
    "the name 'a' is for one model, but there are 2": {"models": [Net(), Net(7)], "name": "a"},
    "the key 'mean' is": {"mean": [0.5]},
}


@pytest.mark.parametrize("sentence", BAD)
def test_what_cannot_be_is_one_sentence(sentence: str) -> None:
    arguments: dict[str, Any] = {"models": Net(), "suites": "digits", **INPUT, **BAD[sentence]}
    with pytest.raises(NsbenchError, match=sentence):
        nsbench.evaluate(**arguments)


def test_importing_changes_nothing_of_others() -> None:
    code = (
        "import sys, warnings; before = list(warnings.filters), warnings.showwarning\n"
        "import nsbench\n"
        "assert not {'torch', 'timm', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "assert nsbench.__version__ and {'evaluate', '__version__'} <= set(dir(nsbench))\n"
        "import timm, torch, matplotlib; backend = matplotlib.rcParams._get('backend')\n"
        "safe = torch.serialization.get_safe_globals()\n"
        "for name in nsbench.__all__: getattr(nsbench, name)\n"
        "import nsbench.reporting.report\n"
        "assert matplotlib.rcParams._get('backend') is backend\n"
        "assert torch.serialization.get_safe_globals() == safe\n"
        "assert (list(warnings.filters)[-len(before[0]):], warnings.showwarning) == before\n"
    )
    home = {**os.environ, "PYTHONPATH": str(Path(nsbench.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=home)
    assert done.returncode == 0, done.stderr
