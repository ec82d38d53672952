import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from nsbench.data.cache import VARIABLE as CACHE
from nsbench.data.catalog import VARIABLE, set_roots
from nsbench.training.generations import train

ROOT = Path(__file__).parents[1]

TINY_RECIPE = """
name = "tiny"
workers = 0

[data]
labeled = { source = "digits", split = "labeled" }
unlabeled = { source = "digits", split = "unlabeled" }

[pseudo_labels]
min_confidence = 0.0
balance = false

[defaults]
arch = "test_efficientnet"
image_size = 32
crop = "pad"
flip = 0.0
epochs = 1
batch_size = 50
unlabeled_ratio = 1
optimizer = "adamw"
lr = 2e-3

[[generations]]
epochs = 8

[[generations]]
"""


DEVICE = "NSBENCH_TEST_DEVICE"
"""Names the device of tests marked `cuda`, by default `cuda`; `cpu` proves the tests themselves."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need a GPU where there is none."""
    name = os.environ.get(DEVICE, "cuda")
    if not item.get_closest_marker("cuda"):
        return
    if name.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip(f"no CUDA device; {DEVICE}=cpu runs this test on the CPU")


@pytest.fixture
def device() -> torch.device:
    """Where tests marked `cuda` do what they compare with the CPU."""
    # with its number, which some of torch's functions insist on
    return torch.empty(0, device=os.environ.get(DEVICE, "cuda")).device


@pytest.fixture
def gpu(device: torch.device) -> torch.device:
    """The same, for what only a GPU can do."""
    if device.type != "cuda":
        pytest.skip("a CPU has nothing of the kind")
    return device


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _no_data_roots(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test names by --data, or the machine by NSBENCH_DATA, is not another test's."""
    monkeypatch.delenv(VARIABLE, raising=False)
    yield
    set_roots(None)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What tests keep is not in the user's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Data and reference outputs beside the checkout, where there are any."""
    path = Path(os.environ.get("NSBENCH_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip("no shared data beside the checkout")
    return path


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two generations, trained for seconds; tests only read it, but for its results."""
    folder = tmp_path_factory.mktemp("tiny")
    recipe = folder / "tiny.toml"
    recipe.write_text(TINY_RECIPE)
    return train(str(recipe), folder / "run", device="cpu")


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(TINY_RECIPE)
    return path


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two classes, `cat` and `dog`, of three random 40 by 36 pictures each."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        for index in range(3):
            path = tmp_path / "images" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (36, 40, 3), dtype=np.uint8)).save(path)
    return tmp_path / "images"


@pytest.fixture
def small_folder(tmp_path: Path) -> Path:
    """Two classes, `cat` and `dog`, of five smooth 32 by 32 pictures each."""
    across, down = np.meshgrid(np.arange(32), np.arange(32))
    for number in range(10):
        path = tmp_path / "small" / ("cat", "dog")[number % 2] / f"{number // 2}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        planes = [5 * across + 9 * number, 6 * down, 3 * (across + down)]
        Image.fromarray(np.stack(planes, -1).astype(np.uint8)).save(path)
    return tmp_path / "small"


def write_suite(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)
