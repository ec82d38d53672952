"""Compiled models, for which a new number of images is expensive."""

from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad

from nsbench.util.device import is_short_of_memory


class WholeBatches(nn.Module):
    """A module, compiled, that sees batches of as few sizes as can be.

    A batch that is smaller than an earlier one is filled up with black to its size, and the answers
    to the filling are cut off. To compile for the odd last batch of a suite takes minutes, and what
    it saves is less than a forward pass. In evaluation mode no answer depends on what else is in
    the batch, which `nsbench.models.wrap` checks of foreign models.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        # Beside the module, which stays as it is for those who use it without --compile.
        self.compiled = torch.compile(module)
        self.train(module.training)
        self._sizes: set[int] = set()

    def forward(self, images: torch.Tensor) -> Any:
        """What the module returns for images (B, 3, S, S), for B of them."""
        count = len(images)
        size = min((size for size in self._sizes if size >= count), default=count)
        try:
            output = self.compiled(pad(images, (0, 0, 0, 0, 0, 0, 0, size - count)))
        except Exception as error:
            if is_short_of_memory(error):  # smaller batches must not be filled up to this one again
                self._sizes = {known for known in self._sizes if known < size}
            raise
        self._sizes.add(size)
        # Of anything else than a row an image the caller says what is wrong.
        fits = isinstance(output, torch.Tensor) and output.ndim > 0 and len(output) == size
        return output[:count] if fits else output
