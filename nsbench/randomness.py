"""Random draws that depend on what is drawn for, never on batch size, rank or order."""

from hashlib import blake2b

import numpy as np


def stable_hash(*keys: object) -> int:
    """A 128-bit hash of the keys' text, the same in every process and on every machine."""
    text = "\x1f".join(str(key) for key in keys)
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")


def generator(seed: int, *keys: object) -> np.random.Generator:
    """The random stream of (seed, keys), e.g. `generator(0, image_id, "fog/3")`."""
    return np.random.default_rng(stable_hash(seed, *keys))
