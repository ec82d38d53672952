"""What a sequence is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from nsbench.pixels.draws import Draws, Key


@dataclass(frozen=True)
class Batch:
    """Resized images and what their frames depend on.

    Attributes:
        resized: uint8 (B, 3, H, W), neither side below `size`.
        size: height and width of a frame in pixels.
        count: the number of frames.
        ids: one id per image.
        seed: of all draws.
        key: the purpose of the draws.

    """

    resized: torch.Tensor
    size: int
    count: int
    ids: Sequence[Key]
    seed: int
    key: str

    @property
    def corner(self) -> tuple[int, int]:
        """The top and the left of the central crop in the resized images, as in torchvision."""
        height, width = self.resized.shape[-2:]
        # Python's rounding, halves to the even number, is torchvision's too; it matters where the
        # margin is odd.
        return round((height - self.size) / 2.0), round((width - self.size) / 2.0)

    def crop(self) -> torch.Tensor:
        """The central crops in new memory, uint8 (B, 3, size, size)."""
        top, left = self.corner
        inner = self.resized[..., top : top + self.size, left : left + self.size]
        # A copy, as it is yielded as a frame, which a caller may write to.
        return inner.clone(memory_format=torch.contiguous_format)

    def draws(self) -> Draws:
        """The streams of the images, at their beginnings."""
        return Draws(self.ids, self.seed, self.key, self.resized.device)
