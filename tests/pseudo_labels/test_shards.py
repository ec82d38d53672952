"""Shards of a label store: what is kept, how it is mapped, broken files."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nsbench.pseudo_labels.shards import (
    SHARD_SIZE,
    held_shard,
    make_shard,
    read_shard,
    smallest_k,
)
from tests.pseudo_labels.label_stores import (
    distributions,
    small_shards,
    written_store,
)


def test_a_full_shard_of_a_thousand_classes_takes_100_bytes_an_image(tmp_path: Path) -> None:
    probabilities = distributions(SHARD_SIZE, 1000, sharpness=1)  # flat: as large as shards get
    store = written_store(tmp_path, probabilities)
    used = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert next(store.shards()).ids.shape == (SHARD_SIZE, 20)
    assert used <= 100 * SHARD_SIZE


def test_the_fewest_classes_that_hold_the_mass_are_kept() -> None:
    rows = np.tile(np.array([0.9, 0.0995, 0.0005], np.float32), (100, 1))
    assert smallest_k(rows) == 2
    rows[0] = [0.5, 0.3, 0.2]  # one of 100 may lose more
    assert smallest_k(rows) == 2
    rows[1] = [0.5, 0.3, 0.2]
    assert smallest_k(rows) == 3
    assert smallest_k(np.full((10, 30), 1 / 1000, np.float32)) == 20
    assert smallest_k(np.full((10, 2), 0.4, np.float32)) == 2


def test_the_columns_of_a_shard_are_mapped_without_a_copy(tmp_path: Path) -> None:
    written_store(tmp_path, distributions(100, 10))
    path = tmp_path / "shard-00000.arrow"
    before = pa.total_allocated_bytes()
    shard = read_shard(path, 100)
    assert pa.total_allocated_bytes() == before
    assert not any(column.flags.owndata or column.flags.writeable for column in shard)


def test_many_class_ids_are_kept_whole() -> None:
    ids = np.array([[70_000, 3]])
    shard = make_shard(np.array([0]), ids, np.array([[0.7, 0.3]], np.float32), 100_000)
    assert shard.ids.dtype == np.uint32
    assert shard.ids.tolist() == [[70_000, 3]]


def test_few_shards_are_open_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_shards(monkeypatch, 1)
    store = written_store(tmp_path, distributions(300, 3))
    held_shard.__globals__["_held"].cache_clear()
    before = len(os.listdir("/proc/self/fd"))
    assert len(store.rows(np.arange(300)).ids) == 300
    assert len(os.listdir("/proc/self/fd")) - before <= 257
