"""ONNX files by onnxruntime."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

from nsbench.data.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from nsbench.models import Classifier, ModelOptions, load_model
from nsbench.models.onnx import _provider
from nsbench.util.errors import NsbenchError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
SIZE = 64


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Path]:
    """test_resnet as PyTorch exports it, for any number of images; its tensors in a second file."""
    pytest.importorskip("onnxscript")
    path = tmp_path_factory.mktemp("onnx") / "exported.onnx"
    torch.manual_seed(0)
    module: torch.nn.Module = timm.create_model("test_resnet", num_classes=10).eval()
    shapes = {"x": {0: torch.export.Dim("batch")}}
    torch.onnx.export(
        module, (torch.rand(2, 3, SIZE, SIZE),), str(path), dynamo=True, dynamic_shapes=shapes,
        external_data=True, verbose=False,
    )  # fmt: skip
    return module, path


def write(path: Path, shape: Sequence[int | str], inputs: int = 1, half: bool = False) -> Path:
    """The mean of each colour, for images of a shape; unchecked, so that it may be nonsense."""
    kind = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["in0"], ["mean"]),
        onnx.helper.make_node("Flatten", ["mean"], ["out"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "colours",
        [onnx.helper.make_tensor_value_info(f"in{i}", kind, shape) for i in range(inputs)],
        [onnx.helper.make_tensor_value_info("out", kind, [shape[0], shape[1]])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def load(path: Path, **options: Any) -> Classifier:
    return load_model(str(path), "cpu", ModelOptions(**options))


def normal(images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (images - mean) / std


def test_the_answers_are_those_of_torch(exported: tuple[torch.nn.Module, Path]) -> None:
    module, path = exported
    model = load(path)
    assert (model.preprocessing.image_size, model.num_classes) == (SIZE, 10)
    assert not model.differentiable
    for count in (1, 5):
        images = torch.rand(count, 3, SIZE, SIZE)
        with torch.inference_mode():
            found = model.logits(images)
            assert torch.allclose(found, module(normal(images)), atol=1e-4)
            assert torch.equal(found.argmax(1), module(normal(images)).argmax(1))


def test_the_hash_covers_tensors_in_other_files(
    exported: tuple[torch.nn.Module, Path], tmp_path: Path
) -> None:
    source = exported[1]
    for file in source.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / source.name
    before = load(path)
    tensors = tmp_path / f"{source.name}.data"
    content = bytearray(tensors.read_bytes())
    content[-4:] = np.float32(1.5).tobytes()
    tensors.write_bytes(content)
    after = load(path)
    assert after.weights_hash != before.weights_hash
    assert after.results != before.results
    tensors.unlink()
    with pytest.raises(NsbenchError, match="onnxruntime cannot load"):
        load(path)


@pytest.mark.parametrize("name", ["a.bin", "n" * 150 + ".data", "deep/er/" + "n" * 100])
def test_the_hash_covers_tensors_under_any_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    kind = onnx.TensorProto.FLOAT
    values = [
        onnx.helper.make_tensor(f"w{i}", kind, [3], np.ones(3, "f4").tobytes(), True)
        for i in range(2)
    ]
    nodes = [
        onnx.helper.make_node("GlobalAveragePool", ["in"], ["mean"]),
        onnx.helper.make_node("Flatten", ["mean"], ["flat"]),
        onnx.helper.make_node("Mul", ["flat", "w0"], ["scaled"]),
        onnx.helper.make_node("Add", ["scaled", "w1"], ["out"]),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "scaled",
        [onnx.helper.make_tensor_value_info("in", kind, ["n", 3, 8, 8])],
        [onnx.helper.make_tensor_value_info("out", kind, ["n", 3])],
        values,
    )
    for number, tensor in enumerate(graph.initializer):
        onnx.external_data_helper.set_external_data(tensor, f"{name}{number}")
        (tmp_path / f"{name}{number}").write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
    opset = [onnx.helper.make_opsetid("", 17)]
    made = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    (tmp_path / "m.onnx").write_bytes(made.SerializeToString())
    hashes = {load(tmp_path / "m.onnx").weights_hash}
    for number in range(2):
        (tmp_path / f"{name}{number}").write_bytes(np.full(3, 2, "f4").tobytes())
        hashes.add(load(tmp_path / "m.onnx").weights_hash)
    assert len(hashes) == 3


@pytest.mark.parametrize("count", [1, 4, 6])
def test_a_fixed_batch_is_filled_up(count: int, tmp_path: Path) -> None:
    model = load(write(tmp_path / "m.onnx", [4, 3, 32, 32]))
    images = torch.rand(count, 3, 32, 32)
    answer = model.logits(images)
    assert answer.shape == (count, 3)
    assert torch.allclose(answer, normal(images).mean((2, 3)), atol=1e-5)


def test_rows_beyond_the_images_are_not_cut_off(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", ["n", 3, 32, 32])
    made = onnx.load(str(path))
    made.graph.node.append(onnx.helper.make_node("Concat", ["out", "out"], ["twice"], axis=0))
    made.graph.output[0].name = "twice"
    made.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "m"
    onnx.save(made, str(path))
    with pytest.raises(NsbenchError, match="ValueError: 2 rows of outputs for a batch of 1"):
        load(path)


def test_a_shortage_of_memory_is_known_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(write(tmp_path / "m.onnx", ["n", 3, 32, 32]))

    class Short:
        words = "Failed to allocate memory for requested buffer of size 8"

        def run(self, *_: Any) -> None:
            raise ValueError(self.words)

    model.module.session = Short()  # type: ignore[assignment]
    with pytest.raises(torch.OutOfMemoryError):
        model.logits(torch.rand(2, 3, 32, 32))
    monkeypatch.setattr(Short, "words", "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0")
    with pytest.raises(torch.OutOfMemoryError):
        model.logits(torch.rand(2, 3, 32, 32))
    # halves would be filled up again
    whole = load(write(tmp_path / "whole.onnx", [8, 3, 32, 32]))
    whole.module.session = Short()  # type: ignore[assignment]
    with pytest.raises(NsbenchError, match="memory for the 8 images that an ONNX file"):
        whole.logits(torch.rand(2, 3, 32, 32))


def test_half_precision(tmp_path: Path) -> None:
    model = load(write(tmp_path / "m.onnx", ["n", 3, 32, 32], half=True))
    images = torch.rand(2, 3, 32, 32)
    assert torch.allclose(model.logits(images).float(), normal(images).mean((2, 3)), atol=1e-2)


def test_a_file_for_any_size_takes_the_options(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", ["n", 3, "h", "w"])
    assert load(path).preprocessing.image_size == 224
    names = tmp_path / "names.txt"
    names.write_text("red\n\ngreen\nblue\n")
    model = load(path, image_size=48, mean=[0.5] * 3, std=(0.5,) * 3, classes=names)
    assert (model.preprocessing.image_size, model.preprocessing.mean) == (48, [0.5] * 3)
    assert model.classes == ("red", "green", "blue")
    assert model.results != load(path).results


@pytest.mark.parametrize(
    ("shape", "inputs", "sentence"),
    [
        (["n", 32, 32, 3], 1, "takes a tensor(float) of shape ['n', 32, 32, 3], where"),
        (["n", 3, 32, 48], 1, "of shape ['n', 3, 32, 48], where float images"),
        (["n", 3, 32], 1, "of shape ['n', 3, 32], where float images"),
        (["n", 3, 32, 32], 2, "has 2 inputs, where one of images is needed"),
    ],
)
def test_files_of_another_input(
    shape: list[int | str], inputs: int, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(NsbenchError) as caught:
        load(write(tmp_path / "m.onnx", shape, inputs))
    assert sentence in str(caught.value)


def test_a_fixed_size_cannot_be_changed(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", ["n", 3, 32, 32])
    with pytest.raises(NsbenchError, match=r"m\.onnx cannot take an image of 48 px: "):
        load(path, image_size=48)


def test_broken_files(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(NsbenchError, match=r"cannot read .*m\.onnx: No such file"):
        load(path)
    for content in (b"", b"<html>not found</html>"):
        path.write_bytes(content)
        with pytest.raises(NsbenchError, match=r"onnxruntime cannot load .*m\.onnx: "):
            load(path)


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "m.onnx", ["n", 3, 32, 32])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(NsbenchError, match=r"needs the package onnxruntime: run pip .*\[onnx\]"):
        load(path)


def test_a_gpu_is_never_replaced_in_silence() -> None:
    cpu, gpu = "CPUExecutionProvider", "CUDAExecutionProvider"
    assert _provider(Path("m.onnx"), torch.device("cpu"), [gpu, cpu])[0] == cpu
    assert _provider(Path("m.onnx"), torch.device("cuda:1"), [gpu, cpu]) == (gpu, {"device_id": 1})
    for device, there in (("cuda", [cpu]), ("mps", [gpu, cpu])):
        with pytest.raises(NsbenchError, match=f"cannot run m.onnx on {device}: install"):
            _provider(Path("m.onnx"), torch.device(device), there)
