"""Where memory is short an evaluation goes on with fewer images at once, and gives the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nsbench import perturbations
from nsbench.corruptions import jpeg
from nsbench.evaluation import accuracy, corruption
from nsbench.models import loading
from nsbench.predictions import read_cell
from nsbench.util.errors import NsbenchError
from tests.conftest import write_suite
from tests.evaluating import evaluate

FEW = 'source = "digits"\nimages_per_class = 2\nimage_size = 32\n'
NAMES = ["gaussian_noise", "rotate", "brightness"]
ENOUGH = 5
"""Images at once for which there is memory."""


@pytest.fixture
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of models without a folder go into a folder of the test."""
    monkeypatch.chdir(tmp_path)


def predictions(suite: str, cells: list[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    (folder,) = evaluate(["linear:digits"], [suite], device="cpu", batch_size=20)
    return [(rows.top, rows.confidence) for rows in (read_cell(folder, cell) for cell in cells)]


def assert_same(found: list[Any], expected: list[Any]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert (one[0] == other[0]).all()
        np.testing.assert_allclose(one[1], other[1], rtol=1e-5)


@pytest.mark.usefixtures("_here")
def test_sequences_are_begun_again_in_halves(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    head = f'kind = "perturbation"\n{FEW}perturbations = {NAMES}\nseed = '
    make, tried = perturbations.frames, []

    def short(images: torch.Tensor, name: str, **settings: Any) -> Iterator[torch.Tensor]:
        tried.append(len(images))
        for number, frame in enumerate(make(images, name, **settings)):
            if number == 7 and len(images) > ENOUGH:
                raise torch.OutOfMemoryError("CUDA out of memory")
            yield frame

    expected = predictions(write_suite(Path("whole.toml"), f"{head}3\n"), NAMES)
    monkeypatch.setattr(perturbations, "frames", short)
    assert_same(predictions(write_suite(Path("halves.toml"), f"{head}3\n"), NAMES), expected)
    assert tried == [20, 10, *[5] * 12]  # the size that fits stays for the other sequences
    said = capfd.readouterr().err
    assert "going on with 5 images at once" in said
    assert said.count(" 1,860 images in ") == 2  # what was made twice is counted once


@pytest.mark.usefixtures("_here")
def test_corruptions_and_their_jpeg_are_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    text = f'kind = "corruption"\n{FEW}corruptions = ["fog"]\nseverities = [1]\njpeg_quality = 85\n'
    tried = []

    def short(images: torch.Tensor, quality: int) -> torch.Tensor:
        tried.append(len(images))
        if len(images) > ENOUGH:
            raise RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED")
        return jpeg(images, quality)

    expected = predictions(write_suite(Path("whole.toml"), text), ["fog/1"])
    monkeypatch.setattr(corruption, "jpeg", short)
    assert_same(predictions(write_suite(Path("halves.toml"), text), ["fog/1"]), expected)
    assert tried == [20, 10, 5, 5, 5, 5]


@pytest.mark.usefixtures("_here")
def test_what_is_not_halved_ends_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: Any) -> None:
        raise RuntimeError("CUDA error: out of memory")

    suite = write_suite(Path("s.toml"), f'kind = "accuracy"\n{FEW}'.replace("image_size = 32", ""))
    with monkeypatch.context() as patch:
        patch.setattr(accuracy, "clean_batches", short)
        with pytest.raises(
            NsbenchError, match=r"^there is too little .*lower --batch-size \(now 20"
        ):
            predictions(suite, ["images"])
    monkeypatch.setattr(loading, "load_linear", short)
    with pytest.raises(NsbenchError, match=r"memory for the model linear:digits: free some"):
        predictions(suite, ["images"])
