"""ImageNet-C on the fly: its 15 corruptions and the 4 extra ones, in batches, on any device.

They follow the original generators (ImageNet-C/create_c in hendrycks/robustness) and not the
package `imagecorruptions`, which differs from them in six corruptions.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch

from nsbench.corruptions import blur, digital, noise, weather
from nsbench.corruptions._tables import SIZES, TABLES, check_cell, nearest_size
from nsbench.corruptions.transform import RandomCorruption
from nsbench.names import CORRUPTIONS as NAMES
from nsbench.names import EXTRA_CORRUPTIONS as EXTRA_NAMES
from nsbench.pixels.checks import check_seed, checked_ids
from nsbench.pixels.draws import Draws, Key, is_whole
from nsbench.pixels.kinds import as_batch
from nsbench.pixels.places import maker_of
from nsbench.pixels.threads import run_in_threads, slices
from nsbench.util.errors import ArgumentError

VERSION: int = 2
"""Raised whenever an image's bytes change; goes into the fingerprints of results."""

MIN_SIZE = 32
"""Pixels of a side: the smallest size that an original generator has constants for (CIFAR-10-C)."""

# Values worked on at once, for speed and memory only: the pixels do not depend on them. On the CPU
# they are few (three images at 224 px), so that a chunk stays in the cache; but many (55 images)
# for the codecs, which gain nothing from it, since every step of a thread waits for Python's lock.
# Other devices take as many (445 images) as make launches rare and leave memory to the models.
CHUNK, CODEC_CHUNK, DEVICE_CHUNK = 2**19, 2**23, 2**26

__all__ = [
    "EXTRA_NAMES",
    "NAMES",
    "SIZES",
    "VERSION",
    "RandomCorruption",
    "apply",
    "corrupt",
    "draw",
    "jpeg",
]

I = TypeVar("I")  # noqa: E741 - images of any kind


class _Corruption(NamedTuple):
    apply: Callable[[torch.Tensor, Any, Any], torch.Tensor]
    draw: Callable[[Draws, tuple[int, int], Any], Any] | None = None
    chunk: int = CHUNK


# In the order of the paper, the four held-out ones last. Those without a function that draws give
# the same pixels for every seed and image id.
_CORRUPTIONS: dict[str, _Corruption] = {
    "gaussian_noise": _Corruption(noise.gaussian_noise, noise.draw_normal),
    "shot_noise": _Corruption(noise.shot_noise, noise.draw_words),
    "impulse_noise": _Corruption(noise.impulse_noise, noise.draw_words),
    "defocus_blur": _Corruption(blur.defocus_blur),
    "glass_blur": _Corruption(blur.glass_blur, blur.draw_offsets),
    "motion_blur": _Corruption(blur.motion_blur, blur.draw_angles),
    "zoom_blur": _Corruption(blur.zoom_blur),
    "snow": _Corruption(weather.snow, weather.draw_snow),
    "frost": _Corruption(weather.frost, weather.draw_frost),
    "fog": _Corruption(weather.fog, weather.draw_fog),
    "brightness": _Corruption(weather.brightness),
    "contrast": _Corruption(digital.contrast),
    "elastic_transform": _Corruption(digital.elastic_transform, digital.draw_elastic),
    "pixelate": _Corruption(digital.pixelate, chunk=CODEC_CHUNK),
    "jpeg_compression": _Corruption(digital.jpeg_compression, chunk=CODEC_CHUNK),
    "speckle_noise": _Corruption(noise.speckle_noise, noise.draw_normal),
    "gaussian_blur": _Corruption(blur.gaussian_blur),
    "spatter": _Corruption(weather.spatter, weather.draw_liquid),
    "saturate": _Corruption(digital.saturate),
}


def corrupt(
    images: I,
    name: str,
    severity: int,
    *,
    ids: Sequence[Key] | torch.Tensor | None = None,
    seed: int | None = None,
) -> I:
    """Corrupt an image or a batch of images, which stay what they are.

    What is random depends on (seed, image id, name, severity) alone: an image's bytes are the same
    in any batch, order or process. All devices draw the same numbers; where they sum in another
    order (defocus blur, elastic transform) a value may differ by 1, one in 1,000 at most.

    The constants are those of the original generator for 32, 64, 224 or 299 px; images of another
    size get those of the nearest of these sizes, and a `UserWarning` says so.

    Args:
        images: a PIL image; a NumPy array (H, W, 3) or (B, H, W, 3); or a tensor (3, H, W) or
            (B, 3, H, W) on any device. RGB, H and W at least 32; of uint8, or of floats in [0, 1],
            which are rounded to 255ths.
        name: one of `NAMES` or `EXTRA_NAMES`, which are those of the package `imagecorruptions`.
        severity: 1 to 5.
        ids: B image ids, strings or whole numbers (or an integer tensor); only random corruptions
            use them. By default 0, 1 and so on if a seed is given, and else new ones each time,
            from torch's global generator.
        seed: of all random draws, by default 0.

    Returns:
        The same kind of image, before any JPEG compression: arrays and tensors of the same type and
        shape, tensors on the same device. It is made there, or on the CPU where the device has no
        float64.

    Raises:
        ValueError: for images, a name, a severity or ids that are not as above.
        NsbenchError: if frost lacks its textures (package imagecorruptions-imaug) or the water of
            spatter OpenCV.

    """
    if isinstance(severity, str) and severity in TABLES:
        raise ArgumentError(
            f"the name comes before the severity here: corrupt(image, {severity!r}, {name!r})"
        )
    check_cell(name, severity)
    if seed is not None:
        check_seed(seed)
    batch, back = as_batch(images, "corruptions")
    if ids is None:
        fresh = torch.randint(2**62, (len(batch),)) if seed is None else torch.arange(len(batch))
        ids = fresh.tolist()
    chosen = checked_ids(batch, ids, "corruptions")
    if odd := _odd_size(*batch.shape[-2:]):
        warnings.warn(odd, stacklevel=2)
    made: I = back(_corrupted(batch, name, severity, chosen, seed or 0))
    return made


def _odd_size(height: int, width: int) -> str | None:
    """A sentence about a size that no generator has constants for. Raises ValueError below 32."""
    if min(height, width) < MIN_SIZE:
        raise ArgumentError(
            f"corruptions need images of at least {MIN_SIZE} x {MIN_SIZE} px, not "
            f"{width} x {height}"
        )
    nearest = nearest_size(height, width)
    if nearest == min(height, width):
        return None
    return f"images of {width} x {height} px get the constants of {nearest} px"


def _corrupted(
    images: torch.Tensor, name: str, severity: int, ids: list[Key], seed: int
) -> torch.Tensor:
    """A batch of bytes, corrupted where its device can make it."""
    target, shape = images.device, (images.shape[-2], images.shape[-1])
    images = images.to(maker_of(target))

    def change(rows: slice) -> torch.Tensor:
        drawn = draw(name, severity, ids[rows], seed=seed, shape=shape, device=images.device)
        return apply(images[rows], name, severity, drawn)

    return _in_chunks(images, change, _CORRUPTIONS[name].chunk).to(target)


def jpeg(images: torch.Tensor, quality: int) -> torch.Tensor:
    """Encode as JPEG and decode, as the released ImageNet-C was stored (quality 85).

    Takes and returns uint8 (B, 3, H, W); quality is 1 to 100. Raises ValueError for others.
    """
    if not is_whole(quality) or not 1 <= quality <= 100:
        raise ArgumentError(f"quality is {quality!r}, but must be a whole number from 1 to 100")
    checked_ids(
        images, range(len(images)) if isinstance(images, torch.Tensor) else [], "JPEG files"
    )
    target, images = images.device, images.to(maker_of(images.device))
    return _in_chunks(
        images, lambda rows: digital.jpeg_compression(images[rows], quality), CODEC_CHUNK
    ).to(target)


def _in_chunks(
    images: torch.Tensor, change: Callable[[slice], torch.Tensor], cpu_chunk: int
) -> torch.Tensor:
    """What `change` makes of the rows of a batch, a chunk of values at a time."""
    # Contiguous also for channels-last images, since each thread writes whole rows of it.
    out = torch.empty_like(images, memory_format=torch.contiguous_format)

    def fill(rows: slice) -> None:
        out[rows] = change(rows)

    chunk = cpu_chunk if images.device.type == "cpu" else DEVICE_CHUNK
    per_chunk = chunk // max(1, images[:1].numel())  # max: an empty batch has no values to divide
    run_in_threads(fill, slices(len(images), per_chunk, images.device), images.device)
    return out


def draw(
    name: str,
    severity: int,
    ids: Sequence[Key],
    *,
    seed: int = 0,
    shape: tuple[int, int],
    device: torch.device,
) -> Any:
    """What is random in a corruption of images of `shape` (H, W), to be given to `apply`.

    None for corruptions without draws; else a tensor, a list or a named tuple, as the corruption's
    own `draw_…` function says. Raises ValueError for an unknown name or severity.
    """
    check_cell(name, severity)
    function = _CORRUPTIONS[name].draw
    if function is None:
        return None
    # The severity is in the key, so that the five versions of an image are independent, as those of
    # the original are, which draws anew for each.
    draws = Draws(ids, seed, f"{name}/{severity}", device)
    return function(draws, shape, _level(name, severity, shape))


def apply(images: torch.Tensor, name: str, severity: int, drawn: Any) -> torch.Tensor:
    """Corrupt images with given draws. Takes and returns uint8 (B, 3, H, W).

    Raises ValueError for an unknown name or severity.
    """
    check_cell(name, severity)
    shape = (images.shape[-2], images.shape[-1])
    return _CORRUPTIONS[name].apply(images, _level(name, severity, shape), drawn)


def _level(name: str, severity: int, shape: tuple[int, int]) -> Any:
    return TABLES[name][nearest_size(*shape)][severity - 1]
