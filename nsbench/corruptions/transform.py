"""A random corruption as a transform: of torchvision's pipelines, timm's loaders, or a script."""

from collections.abc import Sequence
from typing import Any, TypeVar

import torch

import nsbench.corruptions as corruptions  # for later: it imports this file
from nsbench.corruptions._tables import check_cell
from nsbench.names import CORRUPTIONS, SEVERITIES
from nsbench.util.errors import ArgumentError
from nsbench.util.text import a_type

I = TypeVar("I")  # noqa: E741 - an image of any kind


class RandomCorruption:
    """Corrupt an image by one of some corruptions at one of some severities, drawn for each image.

    Draws come from torch's global generator, which `torch.manual_seed` and the workers of a
    `DataLoader` seed. Images are of the kinds that `nsbench.corruptions.corrupt` takes; a batch is
    corrupted as one. Training on corruptions that ImageNet-C is made of makes its mCE a measure of
    training and no longer of robustness to the unknown: `names` may be the four extra ones.

    Args:
        names: of corruptions, by default the 15 of ImageNet-C.
        severities: from 1 to 5.
        p: the probability that an image is corrupted at all.

    Raises:
        ValueError: for an unknown name, another severity, or a p outside 0 to 1.

    """

    def __init__(
        self,
        names: Sequence[str] = CORRUPTIONS,
        severities: Sequence[int] = SEVERITIES,
        p: float = 1.0,
    ) -> None:
        for argument, value in (("names", names), ("severities", severities)):
            if not isinstance(value, Sequence):
                raise ArgumentError(f"{argument} is {a_type(value)}, but must be a list")
        if not isinstance(p, int | float):
            raise ArgumentError(f"p is {a_type(p)}, but must be a number from 0 to 1")
        self.names = [names] if isinstance(names, str) else list(names)
        self.severities, self.p = list(severities), p
        if not self.names or not self.severities:
            raise ArgumentError("RandomCorruption needs a name and a severity at least")
        for name in self.names:
            for severity in self.severities:
                check_cell(name, severity)
        if not 0 <= p <= 1:
            raise ArgumentError(f"p is {p}, but must be from 0 to 1")

    def __call__(self, image: I) -> I:
        """The image, corrupted or as it is."""
        if float(torch.rand(())) >= self.p:
            return image
        name = self.names[int(torch.randint(len(self.names), ()))]
        severity = self.severities[int(torch.randint(len(self.severities), ()))]
        return corruptions.corrupt(image, name, severity)

    def __repr__(self) -> str:
        """As torchvision shows transforms."""
        about: dict[str, Any] = {"names": self.names, "severities": self.severities, "p": self.p}
        return f"RandomCorruption({', '.join(f'{key}={value}' for key, value in about.items())})"
