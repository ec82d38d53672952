"""Label stores and teachers for the tests of pseudo-labels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from nsbench.data.preprocessing import Preprocessing
from nsbench.data.readers.npy import ArraySource
from nsbench.models import Classifier
from nsbench.pseudo_labels import store
from nsbench.pseudo_labels.shards import make_shard, write_shard
from nsbench.pseudo_labels.store import LabelStore, shard_path, shard_rows
from nsbench.util.sealed import write_record


def small_shards(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Shards of so few images that a test has several."""
    monkeypatch.setattr(store, "SHARD_SIZE", size)


def written_store(
    folder: Path,
    probabilities: NDArray[np.float32],
    images: NDArray[np.int64] | None = None,
    top_k: int | None = None,
) -> LabelStore:
    """A store of distributions (N, C)."""
    count, size = probabilities.shape
    images = np.arange(count) if images is None else images
    ids = np.argsort(-probabilities, 1, kind="stable")
    ranked = np.take_along_axis(probabilities, ids, 1)
    for number, rows in enumerate(shard_rows(count)):
        shard = make_shard(images[rows], ids[rows], ranked[rows], size, top_k)
        write_shard(shard_path(folder, number), shard, {"unreadable": {}})
    write_record(folder / "manifest.json", {"teacher": "t", "images": count, "num_classes": size})
    return LabelStore(folder)


def distributions(
    count: int, size: int, seed: int = 0, sharpness: float = 3
) -> NDArray[np.float32]:
    logits = np.random.default_rng(seed).normal(size=(count, size)) * sharpness
    exponents = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(exponents / exponents.sum(1, keepdims=True), np.float32)


class Linear(nn.Module):
    """Logits of 8 px images by a fixed matrix."""

    def __init__(self, size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm, self.dropout = nn.BatchNorm2d(3), nn.Dropout(dropout)
        self.head = nn.Linear(3 * 64, size)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.dropout(self.norm(images).flatten(1)))
        return logits


def linear_teacher(size: int = 5, seed: int = 0, dropout: float = 0.0) -> Classifier:
    torch.manual_seed(seed)
    module = Linear(size, dropout).eval()
    return Classifier(
        name=f"linear {seed}",
        module=module,
        num_classes=size,
        classes=tuple(f"class {index}" for index in range(size)),
        preprocessing=Preprocessing(image_size=8),
        weights_hash=f"{seed}" * 64,
        results=Path("unused"),
    )


def noise_source(folder: Path, count: int) -> ArraySource:
    """Random images of 8 px, unlabeled."""
    pixels = np.random.default_rng(3).integers(0, 256, (count, 8, 8, 3), np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", pixels)
    return ArraySource(folder / "images.npy")
