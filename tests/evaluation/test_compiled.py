"""Compiled models are compiled once, whatever the number of images in the last batch."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nsbench.evaluation.compiled import WholeBatches
from nsbench.models import load_model
from nsbench.predictions import read_cell
from nsbench.util.device import AdaptiveBatchSize
from tests.conftest import write_suite
from tests.evaluating import evaluate

FEW = 'source = "digits"\nimages_per_class = 2\n'
SUITES = {
    "accuracy": ("images", ""),
    "corruption": ("fog/1", 'image_size = 32\ncorruptions = ["fog"]\nseverities = [1]\n'),
    "perturbation": ("rotate", 'image_size = 32\nperturbations = ["rotate"]\n'),
    "attack": ("eps=4", "epsilons = [0.0, 4.0]\nheadline = 4.0\n"),
}


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The batch sizes that were compiled for, by a backend that runs what it gets as it is."""
    sizes: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        sizes.extend(len(value) for value in inputs if value.ndim == 4 and value.shape[1] == 3)
        return graph.forward

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    yield sizes
    torch._dynamo.reset()


@pytest.mark.parametrize("kind", SUITES)
def test_an_odd_last_batch_is_not_compiled_for(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: list[int]
) -> None:
    monkeypatch.chdir(tmp_path)
    cell, keys = SUITES[kind]
    suite = write_suite(tmp_path / "s.toml", f'kind = "{kind}"\n{FEW}{keys}')
    model = load_model("linear:digits", "cpu")
    found = []
    for settings in ({"compile": True, "batch_size": 8}, {"batch_size": 20}):
        (folder,) = evaluate([model], [suite], device="cpu", **settings)
        rows = read_cell(folder, cell)
        found.append((rows.top[:, 0], rows.confidence))
    assert set(compiled) == {8}
    assert len(compiled) == (2 if kind == "attack" else 1)  # with gradients, and without
    assert (found[0][0] == found[1][0]).all()
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-4)


class Sums(nn.Module):
    """As many classes as colours; no more images at once than there is memory for."""

    most = 8

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images.sum((2, 3))


def test_gradients_reach_the_images_and_not_the_filling(compiled: list[int]) -> None:
    module = WholeBatches(Sums().eval())
    assert not module.training
    module(torch.rand(8, 3, 4, 4))
    images = torch.rand(3, 3, 4, 4, requires_grad=True)
    logits = module(images)
    assert torch.equal(logits, images.sum((2, 3)))
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    assert torch.equal(gradient, torch.ones_like(images))


def test_short_of_memory_it_is_not_filled_up_to_what_did_not_fit(compiled: list[int]) -> None:
    module, memory, images = WholeBatches(Sums()), AdaptiveBatchSize(), torch.rand(8, 3, 4, 4)
    assert len(memory.in_parts(lambda rows: module(images[rows]), 8)) == 8
    Sums.most = 3
    try:
        found = memory.in_parts(lambda rows: module(images[rows]), 8)
    finally:
        Sums.most = 8
    torch.testing.assert_close(found, images.sum((2, 3)))
    assert memory.size == 2
