"""Models that nsbench did not train: what they leave unsaid is asked of them, or of the user."""

import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nsbench.data.class_names import imagenet_classes
from nsbench.data.preprocessing import Preprocessing
from nsbench.models.classifier import Classifier
from nsbench.models.options import USUAL, ModelOptions
from nsbench.run_folder import RESULTS
from nsbench.util.errors import NsbenchError
from nsbench.util.files import fingerprint


def wrap_module(
    name: str,
    module: nn.Module,
    device: torch.device,
    options: ModelOptions,
    *,
    label: str,
    weights_hash: str,
    preprocessing: Preprocessing = USUAL,
    info: dict[str, Any],
    differentiable: bool = True,
    channels_last: bool = True,
) -> Classifier:
    """A module on its device, in evaluation mode, as a Classifier.

    label: what the folder of its results is named after, beside a hash. preprocessing: the
    model's own, before the options. The outputs are counted by a forward pass; 1,000 are taken
    for ImageNet-1k in the usual order, unless the options name the classes.
    Raises NsbenchError for options that do not fit, or a module that does not classify images.
    """
    model = Classifier(
        name=name,
        module=module,
        num_classes=0,  # until the outputs are counted
        classes=None,
        preprocessing=options.preprocessing(preprocessing),
        weights_hash=weights_hash,
        results=_results(label, weights_hash, options),
        info=info | options.replaced,
        differentiable=differentiable,
        channels_last=channels_last,
    )
    model.num_classes = _count_outputs(model, device)
    names = options.class_names(name, model.num_classes)
    model.classes = names or (imagenet_classes() if model.num_classes == 1000 else None)
    return model


def adjusted(model: Classifier, options: ModelOptions, device: torch.device) -> Classifier:
    """A model that knows its classes, with the preprocessing that the options ask for.

    Raises NsbenchError if it does not take images of that size.
    """
    if not options.replaced:
        return model
    changed = replace(
        model,
        preprocessing=options.preprocessing(model.preprocessing),
        results=_results(model.name, model.weights_hash, options),
        info=model.info | options.replaced,
    )
    _count_outputs(changed, device)
    return changed


def short_name(path: Path) -> str:
    """A file's name with its folder's, as generations are named."""
    return f"{path.resolve().parent.name}/{path.name}"


def _results(label: str, weights_hash: str, options: ModelOptions) -> Path:
    # The hash keeps apart what a report would otherwise take for one model; 8 hex digits do so
    # among the results of one folder.
    plain = re.sub(r"[^A-Za-z0-9_.=+]+", "-", label).strip("-.")
    return RESULTS / f"{plain}-{fingerprint([weights_hash, options.replaced])[:8]}"


def _check_alone(model: Classifier, alone: torch.Tensor, beside: torch.Tensor) -> None:
    """Refuse dropout or statistics of a batch that are left on: answers would depend on chance."""
    # Kernels for other batch sizes round otherwise, in half precision by thousandths of the largest
    # logit; the noise of training is far above 5%.
    allowed = 0.05 * alone.float().abs().max()
    if (beside[:1].float() - alone.float()).abs().max() > allowed:
        raise NsbenchError(
            f"{model.name} gives an image other logits when another one is beside it: put all of "
            "it into evaluation mode, without dropout and statistics of the batch"
        )


def _count_outputs(model: Classifier, device: torch.device) -> int:
    """Number of logits for one black image, whose logits are the same beside another image.

    Raises NsbenchError for other outputs.
    """
    size = model.preprocessing.image_size
    images = torch.zeros(2, 3, size, size, device=device)
    images[1, :, ::2] = 1  # stripes, so that statistics of the batch would differ
    with torch.inference_mode():
        output, beside = model.logits(images[:1]), model.logits(images)
    if not output.isfinite().all():
        raise NsbenchError(
            f"{model.name} gives a black image outputs that are not finite: check its weights"
        )
    _check_alone(model, output, beside)
    # Logits that are all positive and sum to 1 would be chance; 1e-3 leaves room for the rounding
    # of 1,000 probabilities in half precision. Only a warning, as predictions are right all the
    # same.
    if output.min() >= 0 and abs(float(output.float().sum()) - 1) < 1e-3:
        warnings.warn(
            f"{model.name} seems to return probabilities, not logits: leave out its softmax, or "
            "its confidence and calibration will be wrong",
            stacklevel=2,
        )
    return output.shape[1]
