"""ONNX files by onnxruntime: outputs, but no gradients."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from nsbench.models.classifier import Classifier
from nsbench.models.options import USUAL, ModelOptions
from nsbench.models.wrap import short_name, wrap_module
from nsbench.util.device import is_short_of_memory
from nsbench.util.errors import NsbenchError, first_line, missing_extra
from nsbench.util.files import plain, read_plain

# Inputs that images can be given as; whole numbers would need another normalisation.
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxModule(nn.Module):
    """A session's first output (B, C) for its one input (B, 3, S, S), on any device.

    A file made for batches of one size gets whole batches; the last is filled up with black.
    """

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session, self.input = session, session.get_inputs()[0]
        self.batch = self.input.shape[0] if isinstance(self.input.shape[0], int) else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of normalised images."""
        array = images.detach().cpu().numpy().astype(TYPES[self.input.type])
        size = self.batch or len(array)
        parts = [self._outputs(array[at : at + size], size) for at in range(0, len(array), size)]
        return torch.from_numpy(np.concatenate(parts)).to(images.device)

    def _outputs(self, array: Any, size: int) -> Any:
        filled = np.pad(array, [(0, size - len(array)), (0, 0), (0, 0), (0, 0)])
        output = self._run(filled)
        # Rows beyond the images would otherwise be cut off as if they belonged to the filling.
        if len(output) != size:
            raise ValueError(f"{len(output)} rows of outputs for a batch of {size}")
        return output[: len(array)]

    def _run(self, array: Any) -> Any:
        try:
            return self.session.run(None, {self.input.name: array})[0]
        except Exception as error:  # onnxruntime has a class of error for each status
            # onnxruntime has words of its own for what its allocators lack.
            own = re.search("allocate memory|bad allocation|is smaller than requested", str(error))
            if not own and not is_short_of_memory(error):
                raise
            if self.batch:
                raise NsbenchError(
                    f"there is too little memory for the {self.batch} images that an ONNX file was "
                    "exported for: export it for fewer, or for any number of images"
                ) from error
            raise torch.OutOfMemoryError(first_line(error)) from error


def load_onnx(path: Path, device: torch.device, options: ModelOptions) -> Classifier:
    """An ONNX classifier of normalised (B, 3, S, S) images; a fixed S is its input size.

    Weights are named by the hash of the file, and of the files beside it that hold its tensors.
    Raises NsbenchError without onnxruntime, for a file that it cannot run, or another input.
    """
    weights_hash = _hash(path)
    session, version = _session(path, device)
    side = _side(path, session.get_inputs())
    return wrap_module(
        short_name(path),
        OnnxModule(session),
        device,
        options,
        label=path.stem,
        weights_hash=weights_hash,
        preprocessing=USUAL.model_copy(update={"image_size": side or USUAL.image_size}),
        info={"arch": "ONNX", "onnxruntime": version},
        differentiable=False,
        channels_last=False,
    )


def _session(path: Path, device: torch.device) -> tuple[Any, str]:
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_extra("onnxruntime", "onnx", f"the model {path}") from error
    provider = _provider(path, device, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # not all cores, if torch may not either
    options.log_severity_level = 4  # fatal only: errors are raised as well, and said once
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[provider])
    except Exception as error:  # onnxruntime has a class of error for each status
        raise NsbenchError(f"onnxruntime cannot load {path}: {first_line(error)}") from error
    if provider[0] not in session.get_providers():  # it falls back to the CPU by itself
        raise NsbenchError(f"onnxruntime cannot use {device} here: try --device cpu")
    return session, onnxruntime.__version__


def _provider(path: Path, device: torch.device, available: list[str]) -> tuple[str, dict[str, int]]:
    if device.type == "cpu":
        return "CPUExecutionProvider", {}
    if device.type != "cuda" or "CUDAExecutionProvider" not in available:
        raise NsbenchError(
            f"the onnxruntime installed here cannot run {path} on {device}: install "
            "onnxruntime-gpu in its place, or use --device cpu"
        )
    return "CUDAExecutionProvider", {"device_id": device.index or 0}


def _side(path: Path, inputs: list[Any]) -> int | None:
    """The file's fixed image size, None if it takes any. Raises NsbenchError for other inputs."""
    if len(inputs) != 1:
        raise NsbenchError(f"{path} has {len(inputs)} inputs, where one of images is needed")
    shape, kind = inputs[0].shape, inputs[0].type
    fixed = [side for side in shape[2:] if isinstance(side, int)]  # others are names or None
    images = len(shape) == 4 and (shape[1] == 3 or not isinstance(shape[1], int))
    if kind not in TYPES or not images or len(set(fixed)) > 1:
        raise NsbenchError(
            f"{path} takes a {kind} of shape {shape}, where float images of shape (batch, 3, size, "
            "size) are needed: export it with channels first"
        )
    return fixed[0] if fixed else None


def _hash(path: Path) -> str:
    try:
        content = read_plain(path)
    except OSError as error:
        raise NsbenchError(f"cannot read {path}: {error.strerror}") from error
    digest = hashlib.sha256(content)
    for file in sorted(_tensor_files(path, content)):
        with plain(file).open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()


def _tensor_files(path: Path, content: bytes) -> set[Path]:
    """Files beside an ONNX file that hold its tensors, as its protocol buffer names them."""
    # By the bytes of a key "location" (field 1, 8 bytes) and its value (field 2), so that the
    # package onnx is not needed. What matches by chance names no file.
    hits = re.finditer(rb"\n\x08location\x12([\x80-\xff]*[\x00-\x7f])", content, re.S)
    names = {content[hit.end() : hit.end() + _varint(hit[1])] for hit in hits}
    return {path.parent / os.fsdecode(name) for name in names if _is_file(path.parent, name)}


def _varint(content: bytes) -> int:
    """A whole number of a protocol buffer: 7 bits a byte, the lowest first."""
    return sum((byte & 127) << 7 * place for place, byte in enumerate(content))


def _is_file(folder: Path, name: bytes) -> bool:
    try:
        return (folder / os.fsdecode(name)).is_file()
    except (OSError, ValueError):  # longer than names can be, or with a zero byte
        return False
