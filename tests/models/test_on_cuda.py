"""ONNX files on a GPU, where an onnxruntime for GPUs is installed."""

from pathlib import Path

import pytest
import timm
import torch

from nsbench.models import load_model

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.cuda


def test_an_onnx_file_answers_as_torch(tmp_path: Path, device: torch.device) -> None:
    provider = f"{device.type.upper()}ExecutionProvider"
    if provider not in onnxruntime.get_available_providers():
        pytest.skip("the onnxruntime installed here is not that for GPUs")
    torch.manual_seed(0)
    module = timm.create_model("test_resnet", num_classes=10).eval()
    path = tmp_path / "exported.onnx"
    shapes = {"x": {0: torch.export.Dim("batch")}}
    torch.onnx.export(
        module, (torch.rand(2, 3, 64, 64),), str(path), dynamo=True, dynamic_shapes=shapes,
        verbose=False,
    )  # fmt: skip
    model = load_model(str(path), str(device))
    images = torch.rand(5, 3, 64, 64, device=device)
    preprocessing = model.preprocessing
    mean, std = (
        torch.tensor(part).view(3, 1, 1) for part in (preprocessing.mean, preprocessing.std)
    )
    with torch.inference_mode():
        expected = module((images.cpu() - mean) / std)
        found = model.logits(images)
    assert found.device.type == device.type
    torch.testing.assert_close(found.cpu(), expected, atol=1e-2, rtol=1e-2)
