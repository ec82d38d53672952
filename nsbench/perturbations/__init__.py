"""ImageNet-P on the fly: its ten sequences and the four validation ones, in batches, on any device.

They follow the original generators (ImageNet-P/create_p in hendrycks/robustness) at the sizes of
ImageNet-P (224 px), Tiny-ImageNet-P (64) and CIFAR-10-P (32). Frames are not compressed, as those
of the published ImageNet-P are by its videos. The published CIFAR-10-P has spatter where this has
snow, as ImageNet-P does.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from nsbench.names import DIFFICULTIES, frame_count, is_noise
from nsbench.names import EXTRA_PERTURBATIONS as EXTRA_NAMES
from nsbench.names import PERTURBATION_SIZES as SIZES
from nsbench.names import PERTURBATIONS as NAMES
from nsbench.perturbations import blur, geometry, noise, weather
from nsbench.perturbations._batch import Batch
from nsbench.perturbations._settings import TABLES
from nsbench.pixels.checks import check_seed, checked_ids
from nsbench.pixels.draws import Key, is_whole
from nsbench.pixels.places import maker_of
from nsbench.pixels.threads import run_in_threads, slices
from nsbench.util.errors import ArgumentError

VERSION: int = 3
"""Raised whenever a frame's bytes change; goes into the fingerprints of results."""

# Values of a frame worked on at once, for speed and memory only: frames do not depend on them. On
# the CPU few (one image at 224 px, 85 at 32 px), to stay in the cache, as several arrays of float64
# accompany them; on other devices more (222 images at 224 px).
CHUNK, DEVICE_CHUNK = 2**18, 2**25

__all__ = ["EXTRA_NAMES", "NAMES", "SIZES", "VERSION", "frame_count", "frames", "is_noise"]

_SEQUENCES: dict[str, Callable[[Batch, Any], Iterator[torch.Tensor]]] = {
    "gaussian_noise": noise.gaussian_noise,
    "shot_noise": noise.shot_noise,
    "motion_blur": blur.motion_blur,
    "zoom_blur": blur.zoom_blur,
    "snow": weather.snow,
    "brightness": weather.brightness,
    "translate": geometry.translate,
    "rotate": geometry.rotate,
    "tilt": geometry.tilt,
    "scale": geometry.scale,
    "speckle_noise": noise.speckle_noise,
    "gaussian_blur": blur.gaussian_blur,
    "spatter": weather.spatter,
    "shear": geometry.shear,
}


def frames(
    images: torch.Tensor,
    name: str,
    *,
    ids: Sequence[Key] | torch.Tensor,
    seed: int = 0,
    difficulty: int = 1,
    size: int | None = None,
) -> Iterator[torch.Tensor]:
    """Make the frames of a sequence one by one, each for the whole batch.

    Frames are central crops of the images. Geometric sequences and zoom blur move the whole image
    and then crop it, so give them the resized photograph, e.g. 256 x 341 px, and not its crop.

    What is random depends on (seed, image id, name, difficulty) alone: a frame's bytes are the same
    in any batch, order or process, and on any device.

    At 64 px, motion blur is that of Tiny-ImageNet-C's first severity (radius 10, sigma 1):
    Tiny-ImageNet-P blurs the full-size photograph before it makes it small.

    Args:
        images: uint8 (B, 3, H, W), RGB, neither side below `size`, on any device.
        name: one of `NAMES` or `EXTRA_NAMES`.
        ids: B image ids, strings or whole numbers (or an integer tensor); only random sequences
            use them.
        seed: of all draws.
        difficulty: 1, 2 or 3 for the noises, 1 for the other sequences.
        size: height and width of a frame, 224, 64 or 32; by default the largest that fits.

    Returns:
        An iterator over `frame_count(name, size)` tensors, each uint8 (B, 3, size, size) on the
        device of `images`, made there, or on the CPU where the device has no float64. It keeps no
        earlier frame.

    Raises:
        ValueError: at once, for images, a name, ids, a difficulty or a size that are not as above.
        NsbenchError: with the first frame, if spatter lacks OpenCV.

    """
    check_seed(seed)
    chosen = checked_ids(images, ids, "perturbations")
    side = _size(images, size)
    count = frame_count(name, side)
    setting = _setting(name, side, difficulty)
    key = f"sequence/{name}/{difficulty}"
    target, images = images.device, images.to(maker_of(images.device))
    limit = CHUNK if images.device.type == "cpu" else DEVICE_CHUNK
    chunks = slices(len(images), limit // (3 * side * side), images.device)
    parts = {
        rows.start: _SEQUENCES[name](
            Batch(images[rows], side, count, chosen[rows], seed, key), setting
        )
        for rows in chunks
    }
    return (frame.to(target) for frame in _joined(images, parts, chunks, side, count))


def _joined(
    images: torch.Tensor,
    parts: dict[int, Iterator[torch.Tensor]],
    chunks: list[slice],
    size: int,
    count: int,
) -> Iterator[torch.Tensor]:
    # A frame of the batch is the next one of every part. New memory each time: callers keep frames.
    for _ in range(count):
        out = images.new_empty((len(images), 3, size, size))

        def fill(rows: slice, out: torch.Tensor = out) -> None:
            out[rows] = next(parts[rows.start])

        run_in_threads(fill, chunks, images.device)
        yield out


def _setting(name: str, size: int, difficulty: int) -> Any:
    setting = TABLES[name][size]
    if not is_whole(difficulty) or difficulty not in DIFFICULTIES:
        raise ArgumentError(f"difficulty is {difficulty}, but must be 1, 2 or 3")
    if is_noise(name):
        return setting[difficulty - 1]
    if difficulty != 1:
        raise ArgumentError(
            f"{name} has difficulty 1 only, not {difficulty}; the noises have 1 to 3"
        )
    return setting


def _size(images: torch.Tensor, size: int | None) -> int:
    height, width = images.shape[-2:]
    if size is None:
        size = max((side for side in SIZES if side <= min(height, width)), default=min(SIZES))
    if not is_whole(size) or size not in SIZES:
        raise ArgumentError(f"perturbations have sizes {', '.join(map(str, SIZES))} px, not {size}")
    if min(height, width) < size:
        raise ArgumentError(
            f"frames of {size} px need images of at least {size} x {size} px, not "
            f"{width} x {height}"
        )
    return size
