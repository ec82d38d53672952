"""Random draws for a batch, each image from a stream of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from nsbench.randomness import generator

Array = npt.NDArray[Any]


def draw_batch(
    draw: Callable[[int, np.random.Generator], Array],
    ids: Sequence[str],
    seed: int,
    key: str,
    shape: tuple[int, ...],
) -> npt.NDArray[np.float64]:
    """Call `draw(index, stream)` for every image and stack what it returns.

    The stream depends on the seed, the image's id and `key` alone. The prefix keeps it apart
    from the streams of corruptions that have the same name as a sequence.

    Returns:
        float64 (len(ids), *shape).

    """
    batch = np.empty((len(ids), *shape), dtype=np.float64)
    for index, image_id in enumerate(ids):
        batch[index] = draw(index, generator(seed, image_id, f"sequence/{key}"))
    return batch
