"""A batch through a model: resized to its input size, masked, halved where memory is short."""

from collections.abc import Callable

import torch
from torch.nn.functional import interpolate

from nsbench.evaluation.model_run import ModelRun
from nsbench.evaluation.options import Options
from nsbench.models import Classifier


def logits_of(run: ModelRun, images: torch.Tensor, options: Options) -> torch.Tensor:
    """Logits (B, C) of uint8 images (B, 3, S, S), for the classes that count.

    Raises NsbenchError where a single image is too much for the device.
    """
    batches = run.model.batches
    return batches.in_parts(lambda rows: _logits(run, images[rows], options), len(images))


def _logits(run: ModelRun, images: torch.Tensor, options: Options) -> torch.Tensor:
    size = run.model.preprocessing.image_size
    with torch.inference_mode(), options.autocast():
        pixels = images / 255
        # Only in suites that fix the crop, as ImageNet-C does at 224 px. The paper too resizes its
        # images to the size that a model was trained at.
        if pixels.shape[-1] != size:
            # Bicubic overshoots: back into [0, 1], as an image file would be.
            pixels = interpolate(pixels, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
        return masked(run.model, run.columns)(pixels)


def masked(
    model: Classifier, columns: torch.Tensor | None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The model as a function of float images in [0, 1], with only the outputs that count.

    columns: which those are, None for all.
    """
    # Before the softmax, as the authors of ImageNet-A and -R do: other classes take no share of it.
    if columns is None:
        return model.logits
    return lambda images: model.logits(images)[:, columns]
