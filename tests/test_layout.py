"""What the layout promises: no torch below a report, and shipped suites wherever nsbench runs."""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.conftest import ROOT

TORCH_FREE = ("metrics", "reporting")
MODULES = [
    "nsbench." + ".".join(path.relative_to(ROOT / "nsbench").with_suffix("").parts)
    for package in TORCH_FREE
    for path in sorted((ROOT / "nsbench" / package).glob("*.py"))
]
HEAVY = ("torch", "torchvision", "timm")
FIND = (
    "import nsbench; from nsbench.suites.load import load_suite, shipped; "
    "load_suite('imagenet-c'); print(nsbench.__file__, shipped()['imagenet-c'])"
)


def python(*arguments: str, executable: Path | str = sys.executable, **environment: str) -> str:
    done = subprocess.run(
        [executable, *arguments],
        capture_output=True,
        text=True,
        cwd=Path(executable).parent,
        env={**os.environ, "PYTHONPATH": "", **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", MODULES)
def test_a_report_needs_no_torch(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    assert python("-c", code, PYTHONPATH=str(ROOT)).strip() == "[]"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout, so that building leaves nothing in this one."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("nsbench", "suites"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture
def interpreter(tmp_path: Path) -> Path:
    """A new environment that finds the packages of this one, but not its nsbench."""
    venv.create(tmp_path / "venv", with_pip=False)
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    # the `.pth` files of a folder that is named in a `.pth` file are not read
    (site / "packages.pth").write_text("\n".join(p for p in sys.path if "site-packages" in p))
    return tmp_path / "venv" / "bin" / "python"


def pip(interpreter: Path, *arguments: str) -> None:
    python(
        "-m", "pip", "--python", str(interpreter), "install", "--no-deps", "--no-index",
        "--no-build-isolation", *arguments,
    )  # fmt: skip


@pytest.mark.parametrize("editable", [False, True])
def test_an_installation_finds_the_shipped_suites(
    checkout: Path, interpreter: Path, editable: bool
) -> None:
    pip(interpreter, *(["--editable"] if editable else []), str(checkout))
    package, suite = python("-c", FIND, executable=interpreter).split()
    assert Path(package).is_relative_to(checkout if editable else interpreter.parents[1])
    assert Path(suite).is_relative_to(checkout if editable else Path(package).parent)


def test_an_installation_checks_its_machine(checkout: Path, interpreter: Path) -> None:
    pip(interpreter, str(checkout))
    steps = ["environment", "sequences", "draws", "out_of_memory"]
    out = interpreter.parent / "out"
    printed = python(
        "-m", "nsbench", "doctor", "--device", "cpu", "--tiny", "--out", str(out), "--only", *steps,
        executable=interpreter, OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert printed.splitlines()[-1].startswith("all is right on ")
    assert (out / "doctor.json").is_file()


def test_a_bare_checkout_finds_the_shipped_suites(checkout: Path, interpreter: Path) -> None:
    package, suite = python("-c", FIND, executable=interpreter, PYTHONPATH=str(checkout)).split()
    assert package == str(checkout / "nsbench" / "__init__.py")
    assert suite == str(checkout / "suites" / "imagenet-c.toml")
