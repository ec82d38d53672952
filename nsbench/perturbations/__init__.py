"""The ten ImageNet-P sequences at the CIFAR-10-P settings, for images of 32 x 32 pixels.

All settings are those of ImageNet-P/create_p/make_cifar_p.py in hendrycks/robustness, first
difficulty. The published CIFAR-10-P has spatter where this has snow, as ImageNet-P does.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch

from nsbench.names import PERTURBATIONS, frame_count, is_noise
from nsbench.perturbations.blur import motion_blur_frames, zoom_blur
from nsbench.perturbations.geometry import rotate, scale, tilt, translate
from nsbench.perturbations.noise import gaussian_noise, shot_noise
from nsbench.perturbations.weather import brightness, snow

VERSION: int = 1
"""Raised whenever a frame's bytes change; goes into the fingerprints of results."""

__all__ = ["NAMES", "VERSION", "frame_count", "frames", "is_noise"]

NAMES = PERTURBATIONS

_SHAPE = (3, 32, 32)

_RANDOM: dict[str, Callable[..., Iterator[torch.Tensor]]] = {
    "gaussian_noise": partial(gaussian_noise, scale=0.02),
    "shot_noise": partial(shot_noise, photons=700.0),
    "snow": partial(snow, zoom=2.0, radius=10.0, sigma=2.0),
}
_FIXED: dict[str, Callable[..., Iterator[torch.Tensor]]] = {
    "motion_blur": partial(motion_blur_frames, radius=6.0, sigma=1.8, step=9.0),
    "zoom_blur": partial(zoom_blur, step=0.004),
    "brightness": partial(brightness, percent=1.5),
    "translate": partial(translate, start=-7),
    "rotate": rotate,
    "tilt": partial(tilt, step=0.75),
    "scale": partial(scale, start=70.0, step=2.0),
}


def frames(
    images: torch.Tensor, name: str, *, ids: Sequence[str], seed: int = 0
) -> Iterator[torch.Tensor]:
    """Make the frames of a sequence one by one, each for the whole batch.

    A frame's bytes depend on the image, its id, the name and the seed, never on the rest of
    the batch.

    Args:
        images: uint8 (B, 3, 32, 32), on any device.
        name: one of `NAMES`.
        ids: B image ids, which random draws depend on.
        seed: the seed of all random draws.

    Returns:
        An iterator over `frame_count(name)` tensors, each uint8 (B, 3, 32, 32) on the device
        of `images`. It keeps no earlier frame.

    Raises:
        ValueError: at once, if there is no sequence of that name, or if the images or the
            number of ids are not as above.

    """
    count = frame_count(name)
    _check_batch(images, ids)
    if name in _RANDOM:
        return _RANDOM[name](images, ids, seed, count=count)
    return _FIXED[name](images, count=count)


def _check_batch(images: torch.Tensor, ids: Sequence[str]) -> None:
    if images.dtype != torch.uint8:
        raise ValueError(f"Perturbations need uint8 images, not {images.dtype}.")
    if images.ndim != 4 or images.shape[1:] != _SHAPE:
        raise ValueError(
            f"Perturbations need images of shape (B, 3, 32, 32), not {tuple(images.shape)}."
        )
    if len(ids) != len(images):
        raise ValueError(f"There are {len(ids)} ids for {len(images)} images.")
