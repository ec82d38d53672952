"""The negative log-likelihood and the Brier score, against torch's and a sum over classes."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from nsbench.data.open import open_source
from nsbench.data.spec import SourceSpec
from nsbench.data.transforms import center_crop
from nsbench.evaluation.model_run import ModelRun, SuiteImages, proper_scores, ranked
from nsbench.models import load_model
from nsbench.predictions import read_cell
from nsbench.suites.scores import score
from tests.conftest import write_suite
from tests.evaluating import evaluate


def test_hand_worked_values() -> None:
    # Probabilities 0.5, 0.25 and 0.25.
    logits = torch.tensor([[1.0, 0.5, 0.5]]).log()
    first, second = (proper_scores(logits, torch.tensor([label]))[0] for label in (0, 1))
    assert first.tolist() == pytest.approx([np.log(2), 0.25 + 2 * 0.0625])
    assert second.tolist() == pytest.approx([np.log(4), 0.25 + 0.75**2 + 0.0625])
    sure = proper_scores(torch.tensor([[200.0, 0.0]]), torch.tensor([1]))[0]
    assert sure.tolist() == [200.0, 2.0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_logits_of_half_precision_are_ranked_and_scored_in_float32(dtype: torch.dtype) -> None:
    logits = (4 * torch.randn(50, 1000, generator=torch.Generator().manual_seed(0))).to(dtype)
    top, confidence = ranked(logits)
    wanted = logits.double().softmax(1)
    assert confidence.dtype == torch.float32
    torch.testing.assert_close(confidence.double(), wanted.max(1).values, rtol=1e-5, atol=0)
    # Of equal logits any may come first.
    ranks = logits.double().sort(1, descending=True).values[:, :5]
    assert torch.equal(logits.double().gather(1, top.long()), ranks)
    labels = torch.arange(50)
    nll, brier = proper_scores(logits, labels).double().T
    own = wanted[labels, labels]
    torch.testing.assert_close(nll, -own.log(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(brier, wanted.square().sum(1) - 2 * own + 1, rtol=1e-5, atol=1e-6)


def test_the_right_label_of_several_is_in_the_numbers_of_the_model() -> None:
    """As of ImageNet-ReaL, for a model whose outputs are in another order."""
    source = SimpleNamespace(
        labels=np.array([0, 1, 2]), label_sets=((0, 1), (1,), (2, 3)), ids=["a", "b", "c"]
    )
    images = SuiteImages(source, np.arange(3), np.arange(3))
    outputs = np.array([7, 5, 6, 1])  # of the source's classes 0 to 3
    run = ModelRun(None, None, outputs, None, [])  # type: ignore[arg-type]
    #       its second label; none; only in the numbers of the source
    top = np.array([[9, 5, 7, 0, 2], [1, 0, 2, 3, 4], [2, 3, 8, 9, 4]], np.int32)
    assert run._right_labels(images, top).tolist() == [5, 5, 6]
    images = replace(images, indices=np.array([2, 0]), rows=np.arange(2))
    assert run._right_labels(images, top[[0, 0]]).tolist() == [6, 5]


def test_they_are_those_of_the_model_and_its_images(tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run, ignore=shutil.ignore_patterns("results"))
    text = 'kind = "accuracy"\nsource = "digits"\nimages_per_class = 5\n'
    suite = write_suite(tmp_path / "plain.toml", text)
    (folder,) = evaluate([str(run / "generation-0")], [suite], device="cpu", batch_size=7)
    rows = read_cell(folder, "images")
    model = load_model(str(run / "generation-0"), "cpu")
    source = open_source(SourceSpec(source="digits"))
    numbers = [source.ids.index(name) for name in rows.ids]
    crops = [center_crop(source.image(number), model.preprocessing) for number in numbers]
    with torch.inference_mode():
        logits = model.logits(torch.from_numpy(np.stack(crops)) / 255)
    labels = torch.from_numpy(rows.labels.astype(np.int64))
    nll = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    one_hot = torch.nn.functional.one_hot(labels, 10)
    brier = (logits.softmax(1) - one_hot).square().sum(1)
    assert rows.proper is not None
    np.testing.assert_allclose(rows.proper, torch.stack([nll, brier], 1), atol=1e-5)
    table = score(folder).tables["proper"]
    value, low, high = table["Brier score"]
    assert value == pytest.approx(float(brier.mean()), abs=1e-6)
    assert low < value < high


def test_an_unreadable_image_is_one_of_any_class() -> None:
    model: Any = SimpleNamespace(num_classes=4)
    store: Any = None
    run = ModelRun(model, store, np.arange(4), None, [])
    run.proper["images"] = [torch.zeros(2, 2), torch.ones(1, 2)]
    scores = run._proper("images", [1])
    np.testing.assert_allclose(scores, [[0, 0], [np.log(4), 0.75], [1, 1]], rtol=1e-6)
    assert run._proper("clean", []).shape == (0, 0)
