"""Random draws for a batch, each image from streams of its own.

A stream depends on (seed, image id, purpose of the draw) alone. On the CPU it is NumPy's SFC64,
whose values are the same on every machine; on other devices it is torch's generator of that device.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from nsbench.util.randomness import stable_hash

Key = int | str


def as_keys(ids: Sequence[Key] | torch.Tensor) -> list[Key]:
    """Image ids as Python strings and whole numbers. Raises ValueError for anything else."""
    if isinstance(ids, str):  # a sequence too, of its letters
        raise ValueError("ids are one for each image: give a list, not one string")
    chosen = ids.tolist() if isinstance(ids, torch.Tensor | np.ndarray) else list(ids)
    wrong = [key for key in chosen if not isinstance(key, str) and not is_whole(key)]
    if wrong:
        raise ValueError(f"ids are strings or whole numbers, not {wrong[0]!r}")
    return [key if isinstance(key, str) else int(key) for key in chosen]


def is_whole(value: object) -> bool:
    """Whether a value is an integer of Python or NumPy, and not a Boolean."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


class Draws:
    """The streams of a batch of images.

    Every method returns one value or field for each image, stacked along the first dimension, and
    advances the streams.

    Args:
        ids: one id per image.
        seed: of all draws.
        key: the purpose of the draws, e.g. `fog/3`.
        device: where the fields are made.

    Attributes:
        streams: one NumPy generator for each image, for numbers that are drawn on the CPU whatever
            the device is.

    """

    def __init__(self, ids: Sequence[Key], seed: int, key: str, device: torch.device) -> None:
        self._hashes = [stable_hash(seed, image_id, key) for image_id in ids]
        self.device = device
        # SFC64 is among the fastest of NumPy's generators.
        self.streams = [np.random.Generator(np.random.SFC64(value)) for value in self._hashes]

    def host(self, draw: Callable[[np.random.Generator], float]) -> list[float]:
        """One number for each image, drawn on the CPU whatever the device is."""
        return [float(draw(stream)) for stream in self.streams]

    def normal(self, *shape: int) -> torch.Tensor:
        """Standard normal float32 (B, *shape)."""

        def fill(out: torch.Tensor, stream: np.random.Generator) -> None:
            stream.standard_normal(dtype=np.float32, out=out.numpy())

        return self._fields(shape, torch.float32, fill, torch.Tensor.normal_)

    def uniform(self, *shape: int) -> torch.Tensor:
        """Uniform float32 (B, *shape) in [0, 1)."""

        def fill(out: torch.Tensor, stream: np.random.Generator) -> None:
            stream.random(dtype=np.float32, out=out.numpy())

        return self._fields(shape, torch.float32, fill, torch.Tensor.uniform_)

    def words(self, *shape: int) -> torch.Tensor:
        """32 random bits each, as int32 (B, *shape)."""

        def fill(out: torch.Tensor, stream: np.random.Generator) -> None:
            bits = np.frombuffer(stream.bytes(4 * out.numel()), np.int32)
            # A copy, since memory of `bytes` is read-only, which torch has no tensors for.
            out.copy_(torch.from_numpy(bits.copy()).view(out.shape))

        def fill_on_device(out: torch.Tensor, *, generator: torch.Generator) -> None:
            out.random_(-(2**31), 2**31, generator=generator)  # all values of an int32

        return self._fields(shape, torch.int32, fill, fill_on_device)

    def integers(self, low: int, high: int, *shape: int) -> torch.Tensor:
        """Whole numbers int8 (B, *shape), each in [low, high)."""

        # int8 because glass blur draws two numbers for each pixel and iteration, all below 6.
        def fill(out: torch.Tensor, stream: np.random.Generator) -> None:
            out.copy_(torch.from_numpy(stream.integers(low, high, out.shape, dtype=np.int8)))

        def fill_on_device(out: torch.Tensor, *, generator: torch.Generator) -> None:
            out.random_(low, high, generator=generator)

        return self._fields(shape, torch.int8, fill, fill_on_device)

    def _fields(
        self,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        fill: Callable[[torch.Tensor, np.random.Generator], None],
        fill_on_device: Callable[..., object],
    ) -> torch.Tensor:
        # Image by image, each from its own stream: one draw for the batch would make an image's
        # numbers depend on its position in it.
        fields = torch.empty(len(self._hashes), *shape, dtype=dtype, device=self.device)
        if self.device.type == "cpu":
            for field, stream in zip(fields, self.streams, strict=True):
                fill(field, stream)
        else:
            for field, generator in zip(fields, self._generators(), strict=True):
                fill_on_device(field, generator=generator)
        return fields

    def _generators(self) -> list[torch.Generator]:
        # Made when first asked for, which numbers drawn on the CPU never do; and kept, so that a
        # second field goes on where the first one ended.
        if not hasattr(self, "_on_device"):
            self._on_device = [torch.Generator(self.device) for _ in self._hashes]
            for generator, value in zip(self._on_device, self._hashes, strict=True):
                generator.manual_seed(value % 2**63)  # what fits into torch's signed 64 bits
        return self._on_device
