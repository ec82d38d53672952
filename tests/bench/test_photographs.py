"""The photographs of benchmarks: found without foolbox's code, or told as missing."""

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from nsbench.bench import photographs as module
from nsbench.bench.photographs import photographs
from nsbench.util.errors import NsbenchError


def test_they_are_crops_and_repeat() -> None:
    images = photographs(32, 25)
    assert images.shape == (25, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert torch.equal(images[:5], images[20:])  # there are 20
    assert len(images.flatten(1).unique(dim=0)) == 20


@pytest.mark.parametrize("installed", [False, True])
def test_missing_ones_are_told(
    installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = str(tmp_path / "foolbox" / "__init__.py")
    spec = ModuleSpec("foolbox", None, origin=origin) if installed else None
    monkeypatch.setattr(module, "find_spec", lambda name: spec)
    with pytest.raises(NsbenchError, match=r"missing: run pip install .* foolbox$"):
        photographs(32, 2)
