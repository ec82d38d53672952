"""What a model is to the rest of nsbench, whatever it came from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import nn

from nsbench.data.class_names import match_classes
from nsbench.data.open import Source
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.readers.given import GivenSource
from nsbench.data.transforms import normalize
from nsbench.models.foreign import foreign_code
from nsbench.util.arguments import check_fields
from nsbench.util.config import nearest
from nsbench.util.device import AdaptiveBatchSize
from nsbench.util.errors import NsbenchError
from nsbench.util.progress import counted
from nsbench.util.text import a_type

FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
"""The types of logits: with floats of 8 bits torch cannot compute."""


@dataclass
class Classifier:
    """A module in evaluation mode with all it takes to use it.

    num_classes: 0 until the outputs are counted. classes: names in the order of the outputs, None
    if unknown. weights_hash: SHA-256 of the weights, and of whatever else decides the outputs where
    weights alone do not (an architecture, a file of code). results: the folder its predictions go
    to. info: what a report says of it. differentiable: whether attacks can have gradients.
    channels_last: memory order of the input. batches: how many images go through it at once, as far
    as memory has shown.
    """

    name: str
    module: nn.Module
    num_classes: int
    classes: tuple[str, ...] | None
    preprocessing: Preprocessing
    weights_hash: str
    results: Path
    info: dict[str, Any] = field(default_factory=dict)
    differentiable: bool = True
    channels_last: bool = True
    batches: AdaptiveBatchSize = field(default_factory=AdaptiveBatchSize, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raises TypeError for a field of another type."""
        check_fields(self)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of images, as `logits` has them, without gradients unless the images want some.

        Raises TypeError for what is no tensor of floats.
        """
        if not isinstance(images, torch.Tensor):
            raise TypeError(f"images is {a_type(images)}, but must be a tensor")
        with torch.set_grad_enabled(images.requires_grad):
            return self.logits(images)

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """Float (B, C) logits of float images (B, 3, H, W) in [0, 1], of the model's input size.

        A row with a value that is not finite is nan as a whole, so that whatever is made of it
        shows, without a look at the values, for which every batch would have to wait. The tensor is
        never one that the module keeps. Raises NsbenchError if the module fails or returns anything
        but one row of num_classes floats for each image, on the images' device, and TypeError for
        images of another type.
        """
        # Their mean and deviation would be rounded to whole numbers, and the logits nan.
        if not images.is_floating_point():
            kind = str(images.dtype).removeprefix("torch.")
            raise TypeError(f"images are {kind}, but must be float in [0, 1]")
        ready = normalize(images, self.preprocessing.mean, self.preprocessing.std)
        # The memory order that convolutions are fastest in; it does not change the shape.
        if self.channels_last:
            ready = ready.contiguous(memory_format=torch.channels_last)
        asked = f"{counted(len(images), 'image')} of {images.shape[-1]} px"
        asked = asked.replace("1 image ", "an image ") if len(images) == 1 else asked
        with foreign_code(f"{self.name} cannot take {asked}"):
            output: Any = self.module(ready)
        self._check(output, images)
        logits: torch.Tensor = output
        finite = logits.isfinite().all(1, keepdim=True)
        return torch.where(finite, logits, torch.nan)

    def _check(self, output: Any, images: torch.Tensor) -> None:
        if not isinstance(output, torch.Tensor):
            raise NsbenchError(
                f"{self.name} returns {a_type(output)}: wrap it in a module that returns "
                "a tensor of logits"
            )
        # Of these torch cannot tell the shape, or the values.
        if output.is_nested or output.layout != torch.strided:
            kind = "nested" if output.is_nested else "sparse"
            raise NsbenchError(f"{self.name} returns a {kind} tensor: make it a dense one")
        columns = self.num_classes or max(1, *output.shape[1:2], 1)
        fits = output.shape == (len(images), columns) and output.dtype in FLOATS
        if not fits or output.device != images.device:
            where = "" if output.device == images.device else f" on {output.device}"
            count = "one image" if len(images) == 1 else f"{len(images):,} images"
            raise NsbenchError(
                f"{self.name} returns a {output.dtype} tensor of shape {tuple(output.shape)}"
                f"{where} for {count}: it must return float logits of shape ({len(images)}, "
                f"{self.num_classes or 'classes'}) on {images.device}"
            )


def count_parameters(module: nn.Module) -> int:
    """Number of trainable and frozen parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def serialize(module: nn.Module) -> bytes:
    """The module's tensors as the content of a safetensors file."""
    state = module.state_dict().items()
    # On the CPU and contiguous, so that the bytes, and with them the hash, depend on the values
    # alone.
    tensors = {k: v.detach().cpu().contiguous() for k, v in state if isinstance(v, torch.Tensor)}
    storages = {tensor.untyped_storage().data_ptr() for tensor in tensors.values()}
    if len(storages) < len(tensors):  # tied weights, which safetensors refuses
        tensors = {key: tensor.clone() for key, tensor in tensors.items()}
    return bytes(safetensors.torch.save(tensors))


def class_indices(model: Classifier, source: Source) -> NDArray[np.int64]:
    """For each class of the source, the model's output that stands for it.

    Classes are matched by name; a source without names labels by the model's own indices.
    Raises NsbenchError naming the first class that the model does not know.
    """
    if source.classes is None:
        # Without names only the labels say how many classes there are.
        highest = -1 if source.labels is None else int(np.max(source.labels, initial=-1))
        if highest >= model.num_classes:
            raise NsbenchError(
                f"{source.name} has {highest + 1} classes, but {model.name} has "
                f"{model.num_classes}: name a model of these classes"
            )
        return np.arange(model.num_classes)
    # Names that are the numbers themselves; or images of the program that the model comes from, in
    # which labels are what it was trained with.
    count = len(source.classes)
    of_program = isinstance(source, GivenSource)
    numbered = source.classes == tuple(map(str, range(count))) or of_program
    if model.classes is None and numbered and count == model.num_classes:
        return np.arange(count)
    if model.classes is None:
        raise NsbenchError(
            f"the names of {model.name}'s {model.num_classes} classes are not known, and "
            f"{source.name} has {len(source.classes)}: give them by --classes FILE or classes=, or "
            'write source = { source = "…", label_space = "indices" } in the suite if the labels '
            "of its images are the model's indices"
        )
    outputs = match_classes(source.classes, model.classes)
    if (outputs < 0).any():
        unknown = source.classes[int(outputs.argmin())]
        raise NsbenchError(
            f"the class '{unknown}' of {source.name} is not known to {model.name}"
            f"{nearest(unknown, model.classes)}; rename or remove that class, or write source = "
            '{ source = "…", label_space = "indices" } where labels are the model\'s indices'
        )
    return outputs
