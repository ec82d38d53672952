"""Images of any usual kind as a batch of bytes, and back as what they were."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image

from nsbench.util.errors import ArgumentError
from nsbench.util.text import a_type

Back = Callable[[torch.Tensor], Any]


def as_batch(images: Any, what: str) -> tuple[torch.Tensor, Back]:
    """Images as uint8 (B, 3, H, W), and what turns such a batch into the kind that they were.

    images: a PIL image; an array (H, W, 3) or (B, H, W, 3); a tensor (3, H, W) or (B, 3, H, W), on
    any device. Arrays and tensors hold uint8, or floats in [0, 1], which are rounded to 255ths.
    what: `corruptions` or the like, for errors. Raises ValueError for anything else.
    """
    if isinstance(images, Image.Image):
        pixels = np.asarray(images.convert("RGB"))
        gray = images.mode == "L"
        batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
        return batch, lambda made: _pil(made, "L" if gray else "RGB")
    if isinstance(images, np.ndarray):
        return _of_array(images, what)
    if not isinstance(images, torch.Tensor):
        raise ArgumentError(
            f"images is {a_type(images)}, but {what} need a torch tensor, a NumPy array "
            "or a PIL image"
        )
    # Of these torch cannot tell the least and greatest value.
    if images.layout != torch.strided or images.is_nested:
        raise ArgumentError(f"{what} need dense tensors: give images.to_dense()")
    single = images.ndim == 3
    batch = images[None] if single else images
    if batch.ndim != 4 or batch.shape[1] != 3:
        raise ArgumentError(
            f"{what} need tensors of shape (3, H, W) or (B, 3, H, W), not {tuple(images.shape)}"
        )
    made, back = _bytes(batch, what)
    return made, lambda changed: back(changed)[0] if single else back(changed)


def _of_array(images: np.ndarray[Any, Any], what: str) -> tuple[torch.Tensor, Back]:
    if images.ndim not in (3, 4) or images.shape[-1] != 3:
        raise ArgumentError(
            f"{what} need arrays of shape (H, W, 3) or (B, H, W, 3), not {images.shape}"
        )
    single = images.ndim == 3
    try:
        whole = np.ascontiguousarray(images)
        # What a PIL image gives may not be written, of which torch warns.
        tensor = torch.from_numpy(whole if whole.flags.writeable else whole.copy())
    except TypeError as error:  # texts, objects, types that torch does not have
        raise ArgumentError(f"{what} need uint8 or float images, not {images.dtype}") from error
    batch, back = _bytes((tensor[None] if single else tensor).permute(0, 3, 1, 2), what)

    def to_array(made: torch.Tensor) -> np.ndarray[Any, Any]:
        array: np.ndarray[Any, Any] = back(made).permute(0, 2, 3, 1).contiguous().numpy()
        return array[0] if single else array

    return batch, to_array


def _bytes(
    images: torch.Tensor, what: str
) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    if images.dtype == torch.uint8:
        return images, lambda made: made
    if not images.is_floating_point():
        raise ArgumentError(f"{what} need uint8 images, or floats in [0, 1], not {images.dtype}")
    if images.numel() and not (images.min() >= 0 and images.max() <= 1):
        raise ArgumentError(
            f"{what} need floats in [0, 1], but these reach from {float(images.min()):.3g} to "
            f"{float(images.max()):.3g}: corrupt images before they are normalised"
        )
    kind = images.dtype
    # In float32, as half precision has no 255ths near 1.
    return (images.float() * 255).round().byte(), lambda made: (made.float() / 255).to(kind)


def _pil(made: torch.Tensor, mode: str) -> Image.Image:
    return Image.fromarray(made[0].permute(1, 2, 0).contiguous().numpy()).convert(mode)
