"""What corruptions and sequences ask of a batch of images and their ids."""

from collections.abc import Sequence

import torch

from nsbench.pixels.draws import Key, as_keys


def checked_ids(images: torch.Tensor, ids: Sequence[Key] | torch.Tensor, what: str) -> list[Key]:
    """The ids of a batch that is uint8 (B, 3, H, W) and has one for each image.

    what: `corruptions` or `perturbations`, for errors. Raises ValueError for anything else.
    """
    keys = as_keys(ids)
    if not isinstance(images, torch.Tensor):
        raise ValueError(f"{what} need a torch tensor, not a {type(images).__name__}")
    if images.dtype != torch.uint8:
        raise ValueError(f"{what} need uint8 images, not {images.dtype}")
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"{what} need images of shape (B, 3, H, W), not {tuple(images.shape)}")
    if len(keys) != len(images):
        raise ValueError(f"there are {len(keys)} ids for {len(images)} images")
    return keys
