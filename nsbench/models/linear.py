"""The reference model of the digits suites: logistic regression on the 200 labeled images.

It plays the part that AlexNet plays for ImageNet-C and ImageNet-P: a simple, fixed, outside model
whose errors normalise those of others.
"""

import numpy as np
import torch
from torch import nn

from nsbench.data.open import DigitsSource
from nsbench.data.preprocessing import Preprocessing
from nsbench.data.transforms import to_array
from nsbench.models.classifier import Classifier
from nsbench.models.names import LINEAR
from nsbench.run_folder import RESULTS
from nsbench.util.errors import missing_extra
from nsbench.util.files import sha256


class GreyLinear(nn.Module):
    """A linear classifier of the mean of the colour channels, (B, 3, H, W) to (B, C)."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of float images."""
        return nn.functional.linear(images.mean(1).flatten(1), self.weight, self.bias)


def load_linear(device: torch.device) -> Classifier:
    """Train `linear:digits`: scikit-learn's defaults (L2 with C = 1, lbfgs), 1,000 iterations."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError as error:
        raise missing_extra("scikit-learn", "quickstart", f"the model {LINEAR}") from error
    source = DigitsSource("labeled")
    images = np.stack([to_array(source.image(index)) for index in range(len(source))])
    features = images.mean(1).reshape(len(images), -1) / 255
    # Far more iterations than the fit takes (78), so that it is the converged one.
    fitted = LogisticRegression(max_iter=1000).fit(features, source.labels)
    weight = torch.tensor(fitted.coef_, dtype=torch.float32)
    bias = torch.tensor(fitted.intercept_, dtype=torch.float32)
    module = GreyLinear(weight, bias).to(device).eval()
    return Classifier(
        name=LINEAR,
        module=module,
        num_classes=10,
        classes=source.classes,
        # No normalisation: it was fitted on values in [0, 1].
        preprocessing=Preprocessing(image_size=32, mean=[0.0] * 3, std=[1.0] * 3),
        weights_hash=sha256(weight.numpy().tobytes() + bias.numpy().tobytes()),
        results=RESULTS / "linear-digits",
        info={"arch": "logistic regression", "parameters": weight.numel() + bias.numel()},
    )
