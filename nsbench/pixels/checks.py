"""What corruptions and sequences ask of a batch of images and their ids."""

from collections.abc import Sequence

import torch

from nsbench.pixels.draws import Key, as_keys, is_whole
from nsbench.util.errors import ArgumentError
from nsbench.util.progress import counted
from nsbench.util.text import a_type


def check_seed(seed: object) -> None:
    """Raise ArgumentError for a seed that is no whole number."""
    if not is_whole(seed):
        raise ArgumentError(f"seed is {seed!r}, but must be a whole number")


def checked_ids(images: torch.Tensor, ids: Sequence[Key] | torch.Tensor, what: str) -> list[Key]:
    """The ids of a batch that is uint8 (B, 3, H, W) and has one for each image.

    what: `corruptions` or `perturbations`, for errors. Raises ValueError for anything else.
    """
    keys = as_keys(ids)
    if not isinstance(images, torch.Tensor):
        raise ArgumentError(f"{what} need a torch tensor, not {a_type(images)}")
    if images.dtype != torch.uint8:
        raise ArgumentError(f"{what} need uint8 images, not {images.dtype}")
    if images.ndim != 4 or images.shape[1] != 3:
        raise ArgumentError(f"{what} need images of shape (B, 3, H, W), not {tuple(images.shape)}")
    if len(keys) != len(images):
        are = "is" if len(keys) == 1 else "are"
        images_text = counted(len(images), "image")
        raise ArgumentError(f"there {are} {counted(len(keys), 'id')} for {images_text}")
    return keys
