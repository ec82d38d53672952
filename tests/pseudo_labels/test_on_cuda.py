"""A teacher labels on a GPU as on the CPU."""

from pathlib import Path

import numpy as np
import pytest
import torch

from nsbench.bench.models import photograph_spec, untrained
from nsbench.data.open import open_source
from nsbench.pseudo_labels.job import LabelingJob
from nsbench.pseudo_labels.predict import predict
from nsbench.recipes.parts import PseudoLabels

pytestmark = pytest.mark.cuda


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_labels_are_the_cpu_s(precision: str, tmp_path: Path, device: torch.device) -> None:
    source = open_source(photograph_spec(tmp_path, 64, 40))
    confidences: list[np.ndarray] = []
    for where, kind in ((torch.device("cpu"), "float32"), (device, precision)):
        teacher = untrained("test_resnet", 64, where)
        job = LabelingJob(
            source, np.arange(40), where, PseudoLabels(top_k=20), batch_size=16, precision=kind
        )
        store = predict(job, teacher, tmp_path / str(len(confidences)))
        assert (store.indices(np.arange(40)) == np.arange(40)).all()
        confidences.append(np.concatenate([shard.confidence for shard in store.shards()]))
    tolerance = {"float32": 1e-3, "bfloat16": 0.1}[precision]
    np.testing.assert_allclose(confidences[1], confidences[0], rtol=tolerance)


def test_labels_made_twice_are_the_same_bytes(tmp_path: Path, device: torch.device) -> None:
    source = open_source(photograph_spec(tmp_path, 64, 40))
    teacher = untrained("test_resnet", 64, device)
    contents = []
    for name in ("one", "two"):
        predict(LabelingJob(source, np.arange(40), device), teacher, tmp_path / name)
        files = sorted((tmp_path / name).glob("*.safetensors")) or sorted(
            path for path in (tmp_path / name).iterdir() if path.suffix != ".json"
        )
        contents.append([path.read_bytes() for path in files])
    assert contents[0]
    assert contents[0] == contents[1]
